package config

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sidepop/cmd/sidepop/internal/certs"
)

// TestCheck has configurations that do not fit the machine beside the messages
// they must give. $D stands for a folder with the files below, $U for the user id
// that runs the test, $N for that of nobody.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"1", "2"} {
		if err := certs.WriteLocal(filepath.Join(dir, "cert"+n), filepath.Join(dir, "key"+n)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"users":   "",
		"jwks":    `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, // RFC 8037, appendix A.2
		"damaged": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	const (
		other = 12345 // the user id of nobody in particular

		tokens = "auth.oauth_issuer = \"i\"\nauth.oauth_audience = [\"a\"]\n"
		asking = "auth.oauth_introspection = \"https://id.example.org/\"\nauth.oauth_client_id = \"c\"\n"
	)
	nobody := userID(t, "nobody")
	const makes = ": useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "
	noDefault := ""
	if _, err := user.Lookup(DefaultUser); err != nil {
		noDefault = `f: user: this machine has no user "sidepop"` + makes + `sidepop`
	}
	tests := []struct {
		euid       int
		text, want string // want is the message, or ""
	}{
		{0, ``, noDefault},
		{0, `user = "nobody"`, ``},
		{0, `user = "nosuchuser"`, `f:4: user: this machine has no user "nosuchuser"` + makes + `nosuchuser`},
		{0, `user = "root"`, `f:4: user: "root" has the user id 0, expected a user without root's rights, and one that owns nothing`},
		{other, ``, ``}, // nobody is made another user but by root
		{other, `user = "nosuchuser"`, ``},
		{other, `user = "root"`, ``},

		{0, "user = \"daemon\"\nmail_user = \"nobody\"", ``},
		{0, "user = \"daemon\"\nmail_user = \"nobody\"\nminimum_uid = $N", ``},
		{0, "user = \"daemon\"\nmail_user = \"nosuchuser\"",
			`f:5: mail_user: "nosuchuser", expected a user of this machine (getent passwd lists them)`},
		{0, "user = \"daemon\"\nmail_user = \"root\"",
			`f:5: mail_user: "root" has the user id 0, expected one from minimum_uid = 1000 on`},
		{0, "user = \"daemon\"\nmail_user = \"root\"\nminimum_uid = 1",
			`f:5: mail_user: "root" has the user id 0, expected one from minimum_uid = 1 on`},
		{0, "user = \"daemon\"\nmail_user = \"nobody\"\nminimum_uid = 2147483647",
			`f:5: mail_user: "nobody" has the user id $N, expected one from minimum_uid = 2147483647 on`},
		{0, "user = \"nobody\"\nmail_user = \"nobody\"",
			`f:5: mail_user: "nobody" is user too, expected another one: what speaks to the network must not own mail`},
		{nobody, `mail_user = "nobody"`, ``},
		{nobody, "user = \"nobody\"\nmail_user = \"nobody\"", ``},        // there is one user for all
		{nobody, "mail_user = \"nobody\"\nminimum_uid = 2147483647", ``}, // it reads what it may
		{other, `mail_user = "nobody"`,
			`f:4: mail_user: "nobody", expected sidepop to be started as that user or as root; it runs as user id 12345`},
		{other, `mail_user = "nosuchuser"`,
			`f:4: mail_user: "nosuchuser", expected a user of this machine (getent passwd lists them)`},

		{other, `tls = {certificate = "$D/cert1", key = "$D/key1"}`, ``},
		{other, `tls = {certificate = "$D/cert1", key = "$D/key2"}`,
			`f:4: tls.key: $D/key2 is not the key of $D/cert1, expected its private key without passphrase in PEM (private key does not match public key)`},
		{other, `tls = {certificate = "$D/none", key = "$D/key1"}`,
			`f:4: tls.certificate: $D/none can't be read by user id $U (no such file or directory), expected a file that it may read`},
		{other, `tls = {certificate = "$D/cert1", key = "$D"}`,
			`f:4: tls.key: $D can't be read by user id $U (is a directory), expected a file that it may read`},
		{other, `tls = {certificate = "$D/key1", key = "$D/key1"}`,
			`f:4: tls.certificate: $D/key1 has no certificate, expected PEM with -----BEGIN CERTIFICATE-----`},
		{other, `tls = {certificate = "$D/damaged", key = "$D/key1"}`,
			`f:4: tls.certificate: $D/damaged is damaged: x509: malformed certificate`},
		{other, `tls = {certificate = "$D/cert1", key = "$D/cert1"}`,
			`f:4: tls.key: $D/cert1 is not the key of $D/cert1, expected its private key without passphrase in PEM (found a certificate rather than a key in the PEM for the private key)`},

		{other, `passwd = "$D/none"`,
			`f:3: auth.passwd_file: $D/none can't be read by user id $U (no such file or directory), expected a file that it may read`},
		{other, `passwd = "$D"`,
			`f:3: auth.passwd_file: $D is not a file, expected the file with the users and their password hashes`},
		{other, `passwd = "$D/%d"`, ``},
		{other, `passwd = "$D/passwd.%d/users"`, ``},
		{other, `passwd = "$D/none/%d"`,
			`f:3: auth.passwd_file: $D/none can't be read by user id $U (no such file or directory), expected a file that it may read`},
		{other, `passwd = "$D/users/%d"`,
			`f:3: auth.passwd_file: $D/users is not a folder, expected the folder with the domains' files`},

		{other, tokens + `auth.oauth_jwks = "$D/jwks"`, ``},
		{other, tokens + `auth.oauth_jwks = "$D/none"`,
			`f:6: auth.oauth_jwks: $D/none can't be read by user id $U (no such file or directory), expected a file that it may read`},
		{other, tokens + `auth.oauth_jwks = "$D"`, `f:6: auth.oauth_jwks: $D is not a file`},
		{other, tokens + `auth.oauth_jwks = "$D/users"`,
			`f:6: auth.oauth_jwks: account or accounts file is misconfigured: $D/users: not a JWK Set, expected {"keys": [...]} (RFC 7517, section 5)`},
		{other, tokens + `auth.oauth_jwks = "https://id.example.org/"`,
			`f:6: auth.oauth_jwks: a URL, which needs auth.network = true from the start on: without it what checks logins has no network`},
		{other, tokens + "auth.network = true\nauth.oauth_jwks = \"https://id.example.org/\"", ``},
		{other, asking + `auth.oauth_client_secret_file = "$D/users"`,
			`f:4: auth.oauth_introspection: a URL, which needs auth.network = true from the start on: without it what checks logins has no network`},
		{other, asking + "auth.network = true\nauth.oauth_client_secret_file = \"$D/users\"", ``},
		{other, asking + "auth.network = true\nauth.oauth_client_secret_file = \"$D/none\"",
			`f:7: auth.oauth_client_secret_file: $D/none can't be read by user id $U (no such file or directory), expected a file that it may read`},

		{0, "user = \"root\"\nmail_user = \"nosuchuser\"\ntls = {certificate = \"$D/cert1\", key = \"$D/key2\"}", // all at once
			`f:4: user: "root" has the user id 0, expected a user without root's rights, and one that owns nothing
f:5: mail_user: "nosuchuser", expected a user of this machine (getent passwd lists them)
f:6: tls.key: $D/key2 is not the key of $D/cert1, expected its private key without passphrase in PEM (private key does not match public key)`},
	}
	for _, tt := range tests {
		passwd, line := `"$D/users"`, tt.text
		if rest, ok := strings.CutPrefix(tt.text, "passwd = "); ok {
			passwd, line = rest, ""
		}
		fill := strings.NewReplacer("$D", dir, "$U", me.Uid, "$N", strconv.Itoa(nobody))
		text := fmt.Sprintf("\nlisten.pop3 = [\"[::]:110\"]\nauth.passwd_file = %s\n%s\n", passwd, line)
		c, err := Parse("f", fill.Replace(text))
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		got := ""
		if err := c.Check(tt.euid); err != nil {
			got = err.Error()
		}
		if want := fill.Replace(tt.want); got != want {
			t.Errorf("%s as %d:\n got %s\nwant %s", tt.text, tt.euid, got, want)
		}
	}
}

// userID is the user id of one of the users that every machine has.
func userID(t *testing.T, name string) int {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
