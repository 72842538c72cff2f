package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	manPage    = "../../../../contrib/man/sidepop.toml.5"
	sampleFile = "../../../../contrib/sidepop.toml"
	readme     = "../../../../README.md"
)

// withoutDefault are the keys that an operator has to decide on.
var withoutDefault = []string{
	"mail_user", "listen.pop3", "auth.passwd_file", "auth.passwd_domains", "auth.password_maps", "auth.virtual_domains",
	"auth.allow", "auth.deny", "auth.user_networks", "listen.proxy_networks", "tls.curves", "tls.minimum_version",
	"auth.master_users", "auth.certificate_users", "tls.client_ca",
	"auth.oauth_issuer", "auth.oauth_audience", "auth.oauth_jwks", "auth.oauth_introspection", "auth.oauth_client_id",
	"auth.oauth_client_secret_file", "auth.oauth_scope",
}

// foundOut are the keys whose values depend on the machine where they are not given.
var foundOut = []string{
	"mailbox", "tls.certificate", "tls.key", "tls.certificates", "auth.sources", "auth.pam_helper", "auth.pam_domains", "auth.postfix",
}

func keyNames() (names []string) {
	for _, k := range Default().keys() {
		names = append(names, k.name)
	}
	return names
}

func readText(t *testing.T, file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// equalDefaults says whether c has the defaults in all that has one.
func equalDefaults(t *testing.T, c *Config) bool {
	want, err := Parse("f", "")
	if err != nil {
		t.Fatal(err)
	}
	got := *c
	got.file, got.lines = want.file, want.lines
	return reflect.DeepEqual(&got, want)
}

// TestManPage finds every key in the manual page, in the order of the code,
// with the code's default.
func TestManPage(t *testing.T) {
	items := regexp.MustCompile(`(?ms)^\.It Ic (\S+)$(.*?)^\.(?:It|El)`)
	defaults := regexp.MustCompile(`(?m)^Default:\n\.Li (.*)$`)
	// The end of an item is the beginning of the next: doubled, to be found.
	page := strings.ReplaceAll(readText(t, manPage), "\n.It", "\n.El\n.It")
	var documented []string
	text := ""
	for _, item := range items.FindAllStringSubmatch(page, -1) {
		key, body := item[1], item[2]
		documented = append(documented, key)
		found := defaults.FindStringSubmatch(body)
		switch {
		case slices.Contains(withoutDefault, key):
			if found != nil || !strings.Contains(strings.ToLower(body), "there is no default") {
				t.Errorf("%s does not say that it has no default", key)
			}
		case slices.Contains(foundOut, key):
			if found != nil || !strings.Contains(strings.Join(strings.Fields(body), " "), "Where it is not given it is found out") {
				t.Errorf("%s does not say that it is found out", key)
			}
		case key == "hostname":
			if !strings.Contains(body, "The default is the machine's own name.") {
				t.Errorf("%s does not say what its default is", key)
			}
		case found == nil:
			t.Errorf("%s has no default", key)
		default:
			text += key + " = " + strings.ReplaceAll(found[1], `\(dq`, `"`) + "\n"
		}
	}
	if want := keyNames(); !slices.Equal(documented, want) {
		t.Errorf("keys:\n got %v\nwant %v", documented, want)
	}
	c, err := Parse(manPage, text)
	if err != nil {
		t.Fatal(err)
	}
	if !equalDefaults(t, c) {
		t.Errorf("defaults:\n got %+v\nwant %+v", c, Default())
	}
}

// TestSample parses the sample configuration as it is, and with everything that
// is commented out.
func TestSample(t *testing.T) {
	sample := readText(t, sampleFile)
	full := regexp.MustCompile(`(?m)^##?([a-z0-9_]+ = )`).ReplaceAllString(sample, "$1")
	defaults := regexp.MustCompile(`(?m)^#([a-z0-9_]+ = )`).ReplaceAllString(sample, "$1")
	for _, text := range []string{sample, defaults, full} {
		c, err := Parse(sampleFile, strings.ReplaceAll(text, "hostname = \"mx.example.org\"\n", "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if text != full && !equalDefaults(t, c) {
			t.Errorf("not the defaults: %+v", c)
		}
		if text == full {
			for _, key := range keyNames() {
				if _, ok := c.lines[key]; !ok && key != "hostname" {
					t.Errorf("%s is not in the sample", key)
				}
			}
		}
	}
	if !strings.Contains(sample, "\n#hostname = ") {
		t.Error("hostname is not in the sample")
	}
}

// TestExamples parses the configurations that the manual page and README.md
// show, which are for mail that belongs to one user.
func TestExamples(t *testing.T) {
	for file, pattern := range map[string]string{
		manPage: `(?ms)^\.Bd -literal.*?$(.*?)^\.Ed`,
		readme:  "(?ms)^```toml$(.*?)^```",
	} {
		examples := regexp.MustCompile(pattern).FindAllStringSubmatch(readText(t, file), -1)
		if len(examples) != 1 {
			t.Errorf("%s: %d examples, expected one", file, len(examples))
			continue
		}
		c, err := Parse(file, examples[0][1])
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if c.User != DefaultUser || c.MailUser == "" || c.TLS.Certificate == "" {
			t.Errorf("%s: %+v", file, c)
		}
	}
}
