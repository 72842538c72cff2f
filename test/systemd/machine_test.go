package systemd

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sidepop/test/internal/machine"
)

const (
	marker = "/etc/sidepop-test-root" // says what is in a root of make-root

	// commandTime is how long a command may take: the installation of a package,
	// beside other machines.
	commandTime = 2 * time.Minute
)

var (
	must  = machine.Must
	await = machine.Await
)

// need skips a test that is not in a machine of in-machine, and gives the MTA that is.
func need(t *testing.T) (mta string) {
	t.Helper()
	found, err := os.ReadFile(marker)
	mta, booted := strings.CutSuffix(strings.TrimSpace(string(found)), "-systemd")
	if err != nil || !booted {
		t.Skip("this installs packages and restarts services: test/run systemd has machines for it")
	}
	return mta
}

// result is how a command ended.
type result struct {
	output string // standard output, then standard error
	status int    // of the exit; -1 after a signal
}

// try runs a command to its end, whatever that is.
func try(t testing.TB, stdin, program string, args ...string) result {
	t.Helper()
	stdout, stderr, status := machine.Try(t, commandTime, stdin, program, args...)
	return result{stdout + stderr, status}
}

// run runs a command that must succeed, and gives what it says.
func run(t testing.TB, stdin, program string, args ...string) string {
	t.Helper()
	r := try(t, stdin, program, args...)
	if r.status != 0 {
		t.Fatalf("%s %q: exit status %d\n%s", program, args, r.status, r.output)
	}
	return r.output
}

// write writes a file that everybody may read, in place of one that is there.
func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

// person is somebody who gets mail.
type person struct{ name, password string }

// passwords are all that were made, none of which may be in the journal.
var passwords []string

// addPerson adds a user of the system. The password's hash is one that costs little:
// what PAM makes of others is not what is tested here.
func addPerson(t testing.TB, name string) person {
	t.Helper()
	p := person{name, "secret-" + rand.Text()}
	passwords = append(passwords, p.password)
	run(t, "", "useradd", "--create-home", "--shell", "/bin/bash", name)
	run(t, p.name+":"+p.password, "chpasswd", "--crypt-method", "SHA256", "--sha-rounds", "1000")
	return p
}

// maildir is where both MTAs are told to deliver.
func (p person) maildir() string { return filepath.Join("/home", p.name, "Maildir") }

// stored are the paths of a person's messages.
func (p person) stored() []string {
	found, _ := filepath.Glob(p.maildir() + "/[nc][eu][wr]/*") // the pattern is right
	return found
}

// sendmail has the MTA deliver a letter, as programs of the machine do.
func (p person) sendmail(t testing.TB) {
	t.Helper()
	before := len(p.stored())
	run(t, "Subject: A letter\n\n.\nGrüße\n", "/usr/sbin/sendmail", "-i", p.name)
	await(t, "a letter is in "+p.maildir(), func() bool { return len(p.stored()) > before })
}

// entry is a line of the journal.
type entry map[string]any

// journal is what sidepop's services have said so far.
func journal(t testing.TB) (all []entry) {
	t.Helper()
	run(t, "", "journalctl", "--sync")
	for line := range strings.Lines(run(t, "", "journalctl", "--output", "json", "--unit", front, "--unit", keeper)) {
		var e entry
		must(t, json.Unmarshal([]byte(line), &e))
		all = append(all, e)
	}
	return all
}

// showJournal shows the end of the journal when the test has failed, and checks that
// no password is in it.
func showJournal(t testing.TB) {
	begin := time.Now().Format(time.DateTime)
	t.Cleanup(func() {
		all := run(t, "", "journalctl", "--no-pager", "--output", "short-monotonic", "--since", begin)
		for _, p := range passwords {
			if strings.Contains(all, p) {
				t.Error("a password is in the journal")
			}
		}
		if t.Failed() {
			lines := slices.DeleteFunc(strings.SplitAfter(all, "\n"), func(line string) bool {
				return strings.Contains(line, " login session=") || strings.Contains(line, " session closed ") // thousands
			})
			const most = 150
			t.Logf("end of the journal, without logins:\n%s", strings.Join(lines[max(0, len(lines)-most):], ""))
		}
	})
}
