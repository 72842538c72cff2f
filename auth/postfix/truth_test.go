package postfix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests in this file ask an installed Postfix what is right: they configure
// it, deliver, and see where the mail went. They write over /etc/postfix, so
// they run only where SIDEPOP_TEST_POSTFIX=1 says that this is somewhere to
// throw away: as root, in a root file system with Debian's Postfix, its table
// types and sqlite3, and a network of its own.

const (
	truthDir  = "/etc/postfix"
	truthBase = "/srv/vmail"
	truthLog  = "/var/log/postfix.log"
)

func needTruth(t testing.TB) {
	t.Helper()
	if os.Getenv("SIDEPOP_TEST_POSTFIX") != "1" {
		t.Skip("SIDEPOP_TEST_POSTFIX is not 1: this is no place to write over /etc/postfix")
	}
	if os.Getuid() != 0 {
		t.Skip("not root")
	}
	if _, ok := Find(); !ok {
		t.Skip("no Postfix here")
	}
}

func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.WaitDelay = time.Second // a daemon that it starts may keep its output open
	out, err := c.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// truthMain is what all tests have in main.cf.
const truthMain = `
compatibility_level = 3.6
smtputf8_enable = yes
maillog_file = ` + truthLog + `
maillog_file_prefixes = /var/log
myhostname = mx.example.org
inet_interfaces = loopback-only
alias_maps =
local_recipient_maps =
mydestination = mx.example.org, local.example
transport_maps = inline:{{local.example=virtual:}, {mx.example.org=virtual:}}
virtual_mailbox_domains = a.example, b.example, c.example
virtual_mailbox_base = ` + truthBase + `
virtual_uid_maps = static:5000
virtual_gid_maps = static:5001
recipient_delimiter = +-
`

// startPostfix configures and starts Postfix, without SMTP, and stops it at the
// end of the test.
func startPostfix(t *testing.T, main string) {
	t.Helper()
	write(t, truthDir+"/main.cf", truthMain+main)
	_ = exec.Command("postconf", "-M#", "smtp/inet").Run()
	tool(t, "postconf", "-F", "*/*/chroot=n")
	_ = exec.Command("postfix", "stop").Run()
	os.RemoveAll(truthBase)
	os.Remove(truthLog)
	if err := os.MkdirAll(truthBase, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(truthBase, 5000, 5001); err != nil {
		t.Fatal(err)
	}
	tool(t, "postfix", "start")
	t.Cleanup(func() {
		tool(t, "postfix", "stop")
		_ = exec.Command("postsuper", "-d", "ALL").Run()
	})
}

// delivery is what became of a message.
type delivery struct {
	path    string // of the mailbox; "" if there was none
	maildir bool
	status  string // sent, bounced or deferred
	text    string
}

var statusLine = regexp.MustCompile(`(?m)to=<[^\n]*>, (?:orig_to=<[^\n]*>, )?relay=[^,]*,.* status=(\w+) \((.*)\)$`)

// deliver sends a message to each address and says what became of it.
func deliver(t *testing.T, addresses []string) []delivery {
	t.Helper()
	for i, address := range addresses {
		c := exec.Command("sendmail", "-i", "-f", "", "--", address)
		c.Stdin = strings.NewReader(fmt.Sprintf("Subject: test\nMessage-Id: <m%d@test>\n\ntruth %d.\n", i, i))
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("sendmail %q: %v\n%s", address, err, out)
		}
	}
	waitQueue(t)
	log, err := os.ReadFile(truthLog)
	if err != nil {
		t.Fatal(err)
	}
	done := make([]delivery, len(addresses))
	for i := range done {
		id := regexp.MustCompile(fmt.Sprintf(`(\w+): message-id=<m%d@test>`, i)).FindSubmatch(log)
		if id == nil {
			t.Fatalf("%q: Postfix's log does not have it:\n%s", addresses[i], log)
		}
		for line := range bytes.Lines(log) {
			if m := statusLine.FindSubmatch(bytes.TrimSpace(line)); m != nil && bytes.Contains(line, append(id[1], ": to="...)) {
				done[i].status, done[i].text = string(m[1]), string(m[2])
			}
		}
	}
	err = filepath.WalkDir(truthBase, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for i := range done {
			if !bytes.Contains(content, fmt.Appendf(nil, "\ntruth %d.\n", i)) {
				continue
			}
			done[i].path = path
			if folder := filepath.Dir(path); filepath.Base(folder) == "new" {
				done[i].path, done[i].maildir = filepath.Dir(folder), true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// waitQueue waits until Postfix has tried all messages once.
func waitQueue(t *testing.T) {
	t.Helper()
	empty := 0
	for range 1200 {
		left := 0
		for _, queue := range []string{"maildrop", "incoming", "active"} {
			files, err := os.ReadDir("/var/spool/postfix/" + queue)
			if err != nil {
				t.Fatal(err)
			}
			left += len(files)
		}
		if left == 0 {
			empty++
		} else {
			empty = 0
		}
		if empty > 3 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("Postfix does not finish its queue")
}

// compare checks that Mailbox says what happened.
func compare(t *testing.T, p *Postfix, addresses []string, done []delivery) {
	t.Helper()
	delivered := 0
	for i, address := range addresses {
		d := done[i]
		m, err := p.Mailbox(context.Background(), address)
		switch {
		case d.status == "sent" && d.path != "":
			delivered++
			if err != nil || m.Path != d.path || m.Maildir != d.maildir {
				t.Errorf("%s: delivered to %s (Maildir %v), but Mailbox: %+v %v", address, d.path, d.maildir, m, err)
				continue
			}
			var owner syscall.Stat_t
			if err := syscall.Stat(d.path, &owner); err != nil || m.UID != owner.Uid || m.GID != owner.Gid {
				t.Errorf("%s: written as %d:%d, but Mailbox: %d:%d (%v)", address, owner.Uid, owner.Gid, m.UID, m.GID, err)
			}
		case d.status == "bounced":
			if !errors.Is(err, ErrUnknown) {
				t.Errorf("%s: bounced (%s), but Mailbox: %+v %v", address, d.text, m, err)
			}
		case d.status == "deferred":
			if !errors.Is(err, ErrConfig) && !errors.Is(err, ErrTemporary) {
				t.Errorf("%s: deferred (%s), but Mailbox: %+v %v", address, d.text, m, err)
			}
		default:
			t.Errorf("%s: cannot tell what happened: %+v", address, d)
		}
	}
	t.Logf("%d of %d addresses have a mailbox", delivered, len(addresses))
}

func openTruth(t testing.TB) *Postfix {
	t.Helper()
	p, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTruthTables(t *testing.T) {
	needTruth(t)
	names := []string{}
	for name := range truthTables {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			write(t, truthDir+"/main.cf", truthMain) // for postmap
			table := truthTables[name](t)
			startPostfix(t, "virtual_mailbox_maps = "+strings.ReplaceAll(table, "$", "$$")+"\n")
			p := openTruth(t)
			t.Logf("Postfix %s", p.Version())
			compare(t, p, truthAddresses, deliver(t, truthAddresses))
		})
	}
}

func BenchmarkTruth(b *testing.B) {
	needTruth(b)
	write(b, truthDir+"/vmailbox", truthEntries)
	for name, tc := range map[string]struct {
		table string
		cache time.Duration
	}{
		"texthash": {"texthash:" + truthDir + "/vmailbox", 0},
		"cached":   {"hash:" + truthDir + "/vmailbox", time.Hour},
		"postmap":  {"hash:" + truthDir + "/vmailbox", -1},
	} {
		b.Run(name, func(b *testing.B) {
			write(b, truthDir+"/main.cf", truthMain+"virtual_mailbox_maps = "+tc.table+"\n")
			tool(b, "postmap", "hash:"+truthDir+"/vmailbox")
			p := openTruth(b)
			p.cacheTime = tc.cache
			settle()
			for b.Loop() {
				if _, err := p.Mailbox(b.Context(), "user@a.example"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
