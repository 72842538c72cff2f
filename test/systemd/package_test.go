package systemd

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mostUpgrade bounds the longest session under an upgrade with a silent session open:
// the front waits 3 seconds for that one, and 2 for it to read of its end.
const mostUpgrade = 12 * time.Second

// TestUpgrade installs a later version under load, with a session open and silent.
func TestUpgrade(t *testing.T) {
	setUp(t)
	alice := addPerson(t, "alice")
	alice.sendmail(t)
	before := version(t)
	l := startLoad(addClients(t), true)
	open, err := alice.logIn(net.IPv4(127, 0, 0, 1))
	must(t, err)
	defer open.Close()
	l.more(t, betweenRounds)
	frontID, keeperID := process(t, front), process(t, keeper)

	install(t, later)
	if err := open.expect(statusTemporary); err != nil {
		t.Errorf("the open session was not told of its end: %v", err)
	}
	l.more(t, betweenRounds)
	l.end(t, 0)
	if l.slowest > mostUpgrade {
		t.Errorf("the slowest session took %v, want at most %v", l.slowest, mostUpgrade)
	}
	if after := version(t); after == before {
		t.Errorf("the version is %s still", after)
	}
	for unit, than := range map[string]string{front: frontID, keeper: keeperID} {
		awaitAnother(t, unit, than)
		if exe, err := os.Readlink("/proc/" + process(t, unit) + "/exe"); err != nil || strings.HasSuffix(exe, " (deleted)") {
			t.Errorf("%s runs %q: %v", unit, exe, err)
		}
	}
	expectLogin(t, alice)
}

// version is that of the installed package.
func version(t testing.TB) string {
	t.Helper()
	return run(t, "", "dpkg-query", "--show", "--showformat", "${Version}", "sidepop")
}

// TestRemove removes the package, installs it again, and purges it.
func TestRemove(t *testing.T) {
	need(t)
	alice := addPerson(t, "alice")
	before := files(t)
	setUp(t)
	alice.sendmail(t)
	mail := hashes(t, alice)
	expectLogin(t, alice)
	configure(t, "[limits]", "bad_commands = 7")

	run(t, "", "apt-get", "remove", "--yes", "sidepop")
	if _, err := net.Dial("tcp", pop3sAddress); err == nil {
		t.Errorf("%s listens without the package", pop3sAddress)
	}
	for _, unit := range []string{front, keeper, pop3sSocket, keeperSocket} {
		if state := property(t, unit, "ActiveState"); state != "inactive" {
			t.Errorf("%s is %s without the package", unit, state)
		}
	}
	for _, kept := range []string{configFile, "/etc/pam.d/sidepop", "/var/lib/sidepop"} {
		if !exists(kept) {
			t.Errorf("%s is not there after the removal", kept)
		}
	}

	install(t, earlier)
	expectLogin(t, alice)
	if content, err := os.ReadFile(configFile); err != nil || !strings.Contains(string(content), "bad_commands = 7") {
		t.Errorf("the configuration after another installation is %q, %v", content, err)
	}

	run(t, "", "apt-get", "purge", "--yes", "sidepop")
	after := files(t)
	for path, was := range before {
		if now, ok := after[path]; !ok {
			t.Errorf("%s is gone", path)
		} else if now != was {
			t.Errorf("%s was %s and is %s", path, was, now)
		}
	}
	for path, now := range after {
		if _, ok := before[path]; !ok {
			t.Errorf("%s is left behind: %s", path, now)
		}
	}
	for path, was := range mail {
		if now := hashes(t, alice)[path]; now != was {
			t.Errorf("the letter %s has become %q", path, now)
		}
	}
}

// others are files that change whatever is installed.
var others = regexp.MustCompile(`^/(` + strings.Join([]string{
	"dev", "proc", "run", "srv", "sys", "tmp", // not on a disk, or of the tests
	"home",                      // mail
	"var/(cache|log|spool|tmp)", // of the MTA, of apt
	"var/lib/(apt|dpkg|exim4|postfix|ucf|systemd/(timers|catalog|random-seed))",
	"etc/(passwd|group|shadow|gshadow|subuid|subgid)-?", "etc/\\.pwd\\.lock", // the user sidepop stays
	"etc/postfix/main\\.cf", // has Maildirs now
	"etc/ld\\.so\\.cache",
}, "|") + `)(/|$)`)

// files are all files of the machine, each with what is to be seen of it.
func files(t testing.TB) map[string]string {
	t.Helper()
	all := make(map[string]string)
	must(t, filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if others.MatchString(path) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		s := info.Sys().(*syscall.Stat_t)
		what := fmt.Sprintf("%v of %d:%d", info.Mode(), s.Uid, s.Gid)
		switch {
		case info.Mode().IsRegular():
			what += " " + hash(t, path)
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			must(t, err)
			what += " to " + to
		}
		all[path] = what
		return nil
	}))
	return all
}

// hashes are those of a person's messages.
func hashes(t testing.TB, p person) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, path := range p.stored() {
		all[path] = hash(t, path)
	}
	return all
}

func hash(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(content))
}
