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

// truthEntries are keys and mailboxes, in the format of postmap(1).
const truthEntries = `
user@a.example           user/
user+ext@a.example       user.ext/
other-one@a.example      other.one/
other@a.example          other/
mbox@a.example           mbox.file
deep@a.example           a/b//c/./d/
Mixed@a.example          mixed/
"john smith"@a.example   john.smith/
"quo\"te"@a.example      quote/
"john"@a.example         never/
mailer@a.example         mailer/
owner@a.example          owner/
list@a.example           list/
dots@a.example           ..x/...y/
mëd@a.example            med/
local                    local/
local+x                  local.x/
user                     user.alone/
"with space"             with.space/
@b.example               catchall/
user@b.example           b.user/
a.example                domain
`

var truthAddresses = []string{
	"user@a.example", "other@a.example", "USER@A.Example", "user+ext@a.example", "user+other@a.example", "user+ext+more@a.example",
	"user-ext@a.example", "user+@a.example", "user-+x@a.example", "+user@a.example", "User+EXT@a.example",
	"other-one@a.example", "other-one-two@a.example", "other-two@a.example", "other+one-two@a.example",
	"mbox@a.example", "deep@a.example", "mixed@a.example", "Mixed@a.example", "mixed+x@a.example",
	`"john smith"@a.example`, `"john smith+x"@a.example`, `"John Smith"@a.example`, `"quo\"te"@a.example`, "john@a.example",
	`"user"@a.example`, `"user+ext"@a.example`, "nobody@a.example", "nobody+x@a.example",
	"mailer-daemon@a.example", "mailer-x@a.example", "owner-x@a.example", "owner+x@a.example", "Owner-X@a.example",
	"list-request@a.example", "list-other@a.example", "list+x-request@a.example",
	"dots@a.example", "mëd@a.example", "MËD@a.example", "mëd+x@a.example",
	"local@local.example", "local+x@local.example", "local+y@local.example", "local@a.example", "user@local.example",
	"LOCAL+y@mx.example.org", `"with space"@local.example`, `"with space+x"@local.example`, "a.example@local.example",
	"anybody@b.example", "any+x@b.example", "user@b.example", "user+x@b.example", `"x y"@b.example`, "a@c.example", "user@a.example.",
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

// truthTables makes the table of the entries in each type, and gives its name.
var truthTables = map[string]func(t *testing.T) string{
	"hash": indexed("hash"), "btree": indexed("btree"), "lmdb": indexed("lmdb"), "cdb": indexed("cdb"),
	"texthash":       plain("texthash:" + truthDir + "/vmailbox"),
	"proxy texthash": plain("proxy:texthash:" + truthDir + "/vmailbox"),
	"inline":         func(*testing.T) string { return inlineTruth() },
	"several": func(t *testing.T) string {
		return "inline:{{other@a.example = first/}} , " + indexed("hash")(t) + " static:rest/"
	},
	"unionmap": func(t *testing.T) string {
		return "unionmap:{" + plain("texthash:"+truthDir+"/vmailbox")(t) + "}"
	},
	"pipemap": func(t *testing.T) string {
		write(t, truthDir+"/second", "user/ piped/\nother.one/ one/\ncatchall/ all/\n")
		tool(t, "postmap", "hash:"+truthDir+"/second")
		return "pipemap:{" + indexed("hash")(t) + " hash:" + truthDir + "/second}"
	},
	"sqlite": sqliteTruth,
	"regexp": patternTruth("regexp"),
	"pcre":   patternTruth("pcre"),
	"union of patterns": func(t *testing.T) string {
		return "unionmap:{" + patternTruth("pcre")(t) + "}"
	},
	"missing":       func(*testing.T) string { return "hash:/nonexistent/table" },
	"missing text":  func(*testing.T) string { return "texthash:/nonexistent/table" },
	"unknown type":  func(*testing.T) string { return "inline:{{other@a.example=x/}} nosuch:x" },
	"fail":          func(*testing.T) string { return "inline:{{other@a.example=x/}} fail:always" },
	"duplicate key": func(t *testing.T) string { return duplicateTruth(t) },
	"empty value":   func(*testing.T) string { return "inline:{{user@a.example=}, other@a.example=x/}" },
	"tcp":           func(*testing.T) string { return "inline:{{other@a.example=x/}} tcp:127.0.0.1:1" },
}

func indexed(kind string) func(*testing.T) string {
	return func(t *testing.T) string {
		write(t, truthDir+"/vmailbox", truthEntries)
		tool(t, "postmap", kind+":"+truthDir+"/vmailbox")
		return kind + ":" + truthDir + "/vmailbox"
	}
}

func plain(name string) func(*testing.T) string {
	return func(t *testing.T) string {
		write(t, truthDir+"/vmailbox", truthEntries)
		return name
	}
}

func inlineTruth() string {
	var entries []string
	for _, line := range logicalLines(truthEntries) {
		end, _ := quotedIndex(line, spaces)
		entries = append(entries, "{"+line[:end]+" = "+strings.TrimSpace(line[end:])+"}")
	}
	return "inline:{" + strings.Join(entries, ", ") + "}"
}

func duplicateTruth(t *testing.T) string {
	write(t, truthDir+"/twice", "user@a.example a/\nother@a.example b/\nuser@a.example c/\n")
	return "texthash:" + truthDir + "/twice"
}

func sqliteTruth(t *testing.T) string {
	if _, err := exec.LookPath("sqlite3"); err != nil {
		t.Skip("no sqlite3")
	}
	database := truthDir + "/mail.sqlite"
	os.Remove(database)
	statements := []string{"create table box (name text, path text);"}
	for _, line := range logicalLines(truthEntries) {
		end, _ := quotedIndex(line, spaces)
		// Here a key may have spaces without quotes.
		name := strings.ReplaceAll(line[:end], `"john smith"`, "john smith")
		statements = append(statements, fmt.Sprintf("insert into box values ('%s', '%s');", name, strings.TrimSpace(line[end:])))
	}
	tool(t, "sqlite3", database, strings.Join(statements, "\n"))
	write(t, truthDir+"/sqlite.cf", "dbpath = "+database+"\nquery = SELECT path FROM box WHERE name = '%s'\n")
	return "sqlite:" + truthDir + "/sqlite.cf"
}

func patternTruth(kind string) func(*testing.T) string {
	return func(t *testing.T) string {
		write(t, truthDir+"/patterns", `
/^user@a\.example$/      user/
/^USER@b\.example$/      upper/
/^user\+ext@a\.example$/ ext/
/^local/!/local\+y/      local/
if /a\.example$/
/^nobody/                no$$body/
endif
/^"john smith"@/         quoted/
/^john/                  john/
/@b\.example$/
  catch/
`)
		return kind + ":" + truthDir + "/patterns"
	}
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

// Who a mailbox is written as. Not asked is what has changed between versions:
// Postfix 3.7 takes "5002x" for 5002, and 4294967296 for root.
func TestTruthOwners(t *testing.T) {
	needTruth(t)
	write(t, truthDir+"/main.cf", truthMain)
	write(t, truthDir+"/uids", "one@a.example 5002\ntwo+x@a.example 5003\n@b.example 5004\nlocal 5005\n"+
		"low@a.example 99\nroot@a.example 0\nleast@a.example 100\nword@a.example vmail\nminus@a.example -1\n")
	var boxes strings.Builder
	addresses := []string{
		"one@a.example", "two@a.example", "two+x@a.example", "two+y@a.example", "any@b.example", "local@local.example",
		"local+x@local.example", "low@a.example", "root@a.example", "least@a.example", "word@a.example",
		"minus@a.example", "none@a.example",
	}
	for i, address := range addresses {
		fmt.Fprintf(&boxes, "%s box%d/\n", address, i)
	}
	write(t, truthDir+"/boxes", boxes.String())
	startPostfix(t, `
virtual_mailbox_maps = texthash:`+truthDir+`/boxes
virtual_uid_maps = texthash:`+truthDir+`/uids
virtual_gid_maps = inline:{{one@a.example = 0}, {two@a.example = 77}, {two+x@a.example = 78}, {@a.example = 79}, {@b.example=80}, {local=81}}
`)
	if err := os.Chmod(truthBase, 0o777); err != nil {
		t.Fatal(err)
	}
	compare(t, openTruth(t), addresses, deliver(t, addresses))
}

// Which domains are local, and which virtual.
func TestTruthDomains(t *testing.T) {
	needTruth(t)
	write(t, truthDir+"/main.cf", truthMain)
	write(t, truthDir+"/domains", "# a list\nfile.example, file2.example\n  continued.example\n!not.example\n"+truthDir+"/more\n")
	write(t, truthDir+"/more", "more.example\nhash:"+truthDir+"/domains.hash\n")
	write(t, truthDir+"/domains.hash", "hash.example x\nTable.Example x\n.dot.example x\n")
	tool(t, "postmap", "hash:"+truthDir+"/domains.hash")
	write(t, truthDir+"/domains.pcre", "/^p[0-9]+\\.example$/ x\n")
	main := `
local_transport = discard:local
virtual_transport = discard:virtual
default_transport = discard:other
transport_maps =
mydestination = $myhostname, LOCAL.example sub.example, .under.example, !no.example, texthash:` + truthDir + `/domains.hash
    !inline:{{refused.example=x}}, fail:always, both.example
virtual_mailbox_maps = inline:{{user@v.example=x}, {map.example=x}}
virtual_mailbox_domains = $virtual_mailbox_maps ` + truthDir + `/domains !` + truthDir + `/more
    pcre:` + truthDir + `/domains.pcre, proxy:inline:{{proxy.example=x}}, both.example, not.example,
    [1.2.3.4], ünï.example, !last.example, last.example
proxy_interfaces = 5.6.7.8
`
	good := strings.Replace(main, "fail:always, ", "", 1)
	domains := []string{
		"mx.example.org", "local.example", "Local.Example", "x.local.example", "under.example", "x.under.example", "no.example",
		"hash.example", "table.example", "x.dot.example", "refused.example", "both.example", "map.example", "v.example",
		"file.example", "file2.example", "continued.example", "not.example", "more.example", "x.more.example", "p1.example",
		"p.example", "x.p1.example", "proxy.example", "[1.2.3.4]", "[5.6.7.8]", "[127.0.0.1]", "[9.9.9.9]", "ünï.example",
		"ÜNÏ.example", "last.example", "other.example", "local.example.",
	}
	for name, content := range map[string]string{"good": good, "broken": main} {
		t.Run(name, func(t *testing.T) {
			startPostfix(t, content)
			p := openTruth(t)
			var addresses []string
			for _, domain := range domains {
				addresses = append(addresses, "user@"+domain)
			}
			for i, d := range deliver(t, addresses) {
				local, err := p.LocalDomain(t.Context(), domains[i])
				var virtual bool
				if err == nil && !local {
					virtual, err = p.VirtualDomain(t.Context(), domains[i])
				}
				got := "other"
				switch {
				case err != nil:
					got = "deferred"
				case local:
					got = "local"
				case virtual:
					got = "virtual"
				}
				// discard(8) logs what stands after its name.
				if d.status == "sent" && got != d.text || d.status != "sent" && got != d.status {
					t.Errorf("%s: %s (%s), but it is said to be %s (%v)", domains[i], d.status, d.text, got, err)
				}
			}
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
