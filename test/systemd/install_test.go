package systemd

import (
	"os"
	"strings"
	"testing"
)

// TestInstall installs the package and reads mail: nothing else is done.
func TestInstall(t *testing.T) {
	setUp(t)
	expectStates(t, map[string]string{
		pop3sSocket:  "active enabled",
		keeperSocket: "active enabled",
		pop3Socket:   "inactive disabled",
		front:        "inactive static",
		keeper:       "inactive static",
	})
	alice := addPerson(t, "alice")
	alice.sendmail(t)
	alice.expectLetter(t, "pop3s://localhost/1")
	expectStates(t, map[string]string{front: "active static", keeper: "active static"})

	if r := try(t, "user = alice:wrong\n", "curl", append(curlOptions, "pop3s://localhost/")...); r.status != curlDenied {
		t.Errorf("curl with a wrong password: exit status %d\n%s", r.status, r.output)
	}
	expectEntries(t, []entry{
		{"_SYSTEMD_UNIT": keeper, "SIDEPOP_EVENT": "ready", "SIDEPOP_ROLE": "keeper", "PRIORITY": "6"},
		{"_SYSTEMD_UNIT": front, "SIDEPOP_EVENT": "ready", "SIDEPOP_ROLE": "front", "PRIORITY": "6"},
		{"_SYSTEMD_UNIT": front, "SIDEPOP_EVENT": "login", "SIDEPOP_USER": "alice", "PRIORITY": "6"},
		{"_SYSTEMD_UNIT": front, "SIDEPOP_EVENT": "session closed", "SIDEPOP_USER": "alice", "SIDEPOP_RETR": "1", "SIDEPOP_DELE": "0"},
		{"_SYSTEMD_UNIT": keeper, "SIDEPOP_EVENT": "login failed", "SIDEPOP_USER": "alice"},
	})
	for _, e := range journal(t) {
		event, fromSidepop := e["SIDEPOP_EVENT"].(string)
		switch {
		case !fromSidepop:
		case event == "login" && (e["SIDEPOP_REMOTE"] == nil || e["SIDEPOP_SESSION"] == nil || e["SIDEPOP_MECH"] == nil ||
			!strings.HasPrefix(e["SIDEPOP_TLS"].(string), "TLS1.3 ")):
			t.Errorf("a login without its fields: %v", e)
		case e["PRIORITY"].(string) < "5" && !tolerated[event]:
			t.Errorf("unexpected in the journal: %v", e)
		}
	}
}

// tolerated are the events of warnings at a first start that need nobody's attention
// at once.
var tolerated = map[string]bool{
	"self-signed certificate": true, // exim4 has none
}

// curlOptions are for any certificate: the machine has none that somebody else has
// signed. The rest comes on standard input.
var curlOptions = []string{"--disable", "--silent", "--show-error", "--insecure", "--max-time", "30", "--config", "-"}

// curlDenied is curl's exit status when a login is refused.
const curlDenied = 67

// curl fetches what is at a URL, as a person.
func (p person) curl(t testing.TB, url string) string {
	t.Helper()
	return run(t, "user = "+p.name+":"+p.password+"\n", "curl", append(curlOptions, url)...)
}

// expectLetter fetches a person's one letter, as message 1.
func (p person) expectLetter(t testing.TB, url string) {
	t.Helper()
	file, err := os.ReadFile(p.stored()[0])
	must(t, err)
	if got, want := p.curl(t, url), strings.ReplaceAll(string(file), "\n", "\r\n"); got != want {
		t.Errorf("curl has fetched %q from %s, want %q", got, url, want)
	}
}

// expectEntries checks that the journal has entries with fields.
func expectEntries(t testing.TB, wants []entry) {
	t.Helper()
	all := journal(t)
	for _, want := range wants {
		found := false
		for _, e := range all {
			found = found || e.has(want)
		}
		if !found {
			t.Errorf("no entry has %v", want)
		}
	}
}

// has tells whether an entry has some fields.
func (e entry) has(fields entry) bool {
	for name, value := range fields {
		if e[name] != value {
			return false
		}
	}
	return true
}
