package exim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests of this file compare with what an installed exim4 does. They change
// /etc/exim4, users and mail: they run only as root of a machine or root folder of
// their own with Debian's exim4, and only when asked to by this variable.
const truthVariable = "SIDEPOP_TEST_EXIM"

// truthUser is who mail is sent to. exim folds the case of local parts.
const truthUser = "alice"

// machine is the exim4 of this machine.
type machine struct {
	*testing.T
	mails int
}

func truth(t *testing.T) *machine {
	t.Helper()
	if os.Getenv(truthVariable) != "1" {
		t.Skipf("%s=1 runs this test, which changes the exim4 of the machine", truthVariable)
	}
	if os.Geteuid() != 0 {
		t.Fatal("only root can change exim's configuration")
	}
	m := &machine{T: t}
	if _, err := user.Lookup(truthUser); err != nil {
		m.command("", "useradd", "--create-home", truthUser)
	}
	_ = os.Remove(siteConfig)
	t.Cleanup(func() { _ = os.Remove(siteConfig) })
	return m
}

// siteConfig is looked for before Debian's own.
const siteConfig = "/etc/exim4/exim4.conf"

// command runs a program and gives what it prints, status 0 or not.
func (m *machine) command(input, name string, args ...string) string {
	m.Helper()
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(input)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.Fatal(err)
	}
	return string(out)
}

func (m *machine) write(path, content string) {
	m.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		m.Fatal(err)
	}
}

// debian makes Debian's configuration.
func (m *machine) debian(localDelivery string) {
	m.Helper()
	m.write(debianSettings, "dc_eximconfig_configtype='internet'\ndc_other_hostnames='mail.test : second.test'\n"+
		"dc_local_interfaces='127.0.0.1'\nCFILEMODE='640'\ndc_use_split_config='false'\ndc_localdelivery='"+localDelivery+"'\n")
	m.command("", "update-exim4.conf")
}

// site makes a configuration of our own: routers and transports, and what precedes
// them.
func (m *machine) site(main, routers, transports string) {
	m.Helper()
	m.write(siteConfig, "primary_hostname = mx.test\nqualify_domain = mail.test\n"+main+
		"\nbegin routers\n"+routers+"\nbegin transports\n"+transports)
}

func (m *machine) open() *Exim {
	m.Helper()
	e, err := Open(context.Background(), Options{})
	if err != nil {
		m.Fatal(err)
	}
	m.Logf("exim %s, %s", e.Version(), e.ConfigFile())
	return e
}

// deliver sends a message to the user and finds the file that it is in.
func (m *machine) deliver(to string) string {
	m.Helper()
	m.mails++
	token := fmt.Sprintf("token-%d-%d", time.Now().UnixNano(), m.mails)
	said := m.command("Subject: test\n\n"+token+"\n", "/usr/sbin/sendmail", "-odi", "-f", "root@mail.test", to)
	var found string
	for _, root := range []string{"/var/mail", "/home", "/srv"} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if content, err := os.ReadFile(path); err == nil && strings.Contains(string(content), token) {
					found = path
				}
			}
			return nil
		})
	}
	if found == "" {
		log, _ := os.ReadFile("/var/log/exim4/mainlog")
		m.Fatalf("the message is nowhere: %s\n%s", said, log[max(0, len(log)-1000):])
	}
	return found
}

// expected is the file or Maildir that a delivery means for the user.
func (d Delivery) expected(home, domain string) string {
	path := strings.NewReplacer("%u", truthUser, "%d", domain, "%h", home, "%%", "%").Replace(d.Template)
	if rest, ok := strings.CutPrefix(path, "~"); ok {
		path = home + rest
	}
	return path
}

// check delivers and compares with what Local says.
func (m *machine) check(d Delivery, domain string) {
	m.Helper()
	u, err := user.Lookup(truthUser)
	if err != nil {
		m.Fatal(err)
	}
	file, want := m.deliver(truthUser+"@"+domain), d.expected(u.HomeDir, domain)
	m.Logf("%s: %s", d.Setting, file)
	if d.Maildir {
		file = strings.TrimSuffix(filepath.Dir(file), "/new")
	}
	if d.Template == "" || file != want {
		m.Errorf("the message is in %s, and %+v means %s", file, d, want)
	}
}

func TestTruthDebian(t *testing.T) {
	m := truth(t)
	for _, name := range []string{"mail_spool", "maildir_home"} {
		m.debian(name)
		d := m.open().Local()
		m.check(d, "mail.test")
		if d.File != debianSettings || d.Setting != "dc_localdelivery='"+name+"'" || d.Maildir != (name == "maildir_home") {
			t.Errorf("got %+v", d)
		}
	}
	for _, name := range []string{"procmail_pipe", "maildrop_pipe"} {
		m.debian(name)
		if d := m.open().Local(); d.Template != "" || d.Maildir || d.Setting != "dc_localdelivery='"+name+"'" {
			t.Errorf("got %+v", d)
		}
	}
}

const truthRouter = "local:\n driver = accept\n domains = +local_domains\n check_local_user\n transport = box\n"

func TestTruthSite(t *testing.T) {
	m := truth(t)
	m.command("", "install", "-d", "-m", "1777", "/srv/m%l", "/srv/mail")
	for _, tc := range []struct{ router, transport string }{
		{"", "directory = $home/Maildir\n maildir_format"},
		{"", "directory = \"${home}/mail dir/\"\n maildir_format = yes"},
		{"", "directory = /srv/m%l/${lc:$local_part_data}/box\n maildir_format"},
		{"", "directory = ${home}-mail\n maildir_format"},
		{"", "file = $home/inbox"},
		{"", "file = /srv/mail/$local_part_data.mbox"},
		{"transport_home_directory = /srv/mail/h-$local_part_data", "directory = $home/Maildir\n maildir_format"},
		{"router_home_directory = /srv/mail/r-$local_part_data", "directory = $home/Maildir2\n maildir_format"},
		{"transport_home_directory = /srv/mail/h-$local_part_data", "home_directory = /srv/mail/t-$local_part_data\n directory = $home/Maildir\n maildir_format"},
		{"local_parts = ! root", "directory = $home/Maildir3\n maildir_format"},
		{"local_part_suffix = +*\n local_part_suffix_optional", "directory = $home/Maildir4\n maildir_format"},
	} {
		// The parent of /home/alice-mail is root's.
		router := truthRouter + " " + tc.router + "\n"
		if strings.Contains(tc.transport, "-mail") {
			m.command("", "install", "-d", "-o", truthUser, "/home/"+truthUser+"-mail")
		}
		m.site("domainlist local_domains = mail.test", router, "box:\n driver = appendfile\n current_directory = /\n "+tc.transport+"\n")
		m.check(m.open().Local(), "mail.test")
	}
}

// TestTruthDomains compares with the router that exim says it takes.
func TestTruthDomains(t *testing.T) {
	m := truth(t)
	m.write("/tmp/domains", "looked.test: x\nlooked2.test: y\n")
	main := "domainlist local_domains = @ : @[] : localhost : *.sub.test : !no.test : lsearch;/tmp/domains : ^re[0-9]+\\\\.test\\$\n" +
		"domainlist expanded = ${if exists{/tmp/domains}{there.test}{not.test}} : ! mail.test\n" +
		"domainlist nested = ! last.test : +local_domains : <weird.test\n" +
		"domainlist semicolons = <; mail.test ; localhost\n" +
		"domainlist negative = mail.test : ! last.test\n"
	rest := "rest:\n driver = redirect\n data = :fail: not here\n"
	open := strings.Replace(truthRouter, " domains = +local_domains\n", "", 1)
	for name, routers := range map[string]string{
		"list":        truthRouter,
		"expanded":    strings.Replace(truthRouter, "+local_domains", "+expanded", 1),
		"nested":      strings.Replace(truthRouter, "+local_domains", "+nested", 1),
		"semicolons":  strings.Replace(truthRouter, "+local_domains", "+semicolons", 1),
		"negative":    strings.Replace(truthRouter, "+local_domains", "+negative", 1),
		"written out": strings.Replace(truthRouter, "+local_domains", "mail.test : *.sub.test : !no.test", 1),
		"no_more":     "remote:\n driver = redirect\n domains = ! +local_domains\n data = :unknown: x\n no_more\n" + open,
		"accepting":   "remote:\n driver = manualroute\n domains = last.test : a.sub.test\n route_data = 127.0.0.1\n self = send\n transport = smtp\n no_more\n" + open,
	} {
		m.site(main, routers+rest, "box:\n driver = appendfile\n directory = $home/Maildir\n maildir_format\nsmtp:\n driver = smtp\n")
		e := m.open()
		local := 0
		for _, domain := range []string{"mx.test", "mail.test", "localhost", "sub.test", "a.sub.test", "b.a.SUB.test", "no.test", "looked.test",
			"looked2.test", "looked3.test", "re1.test", "re.test", "there.test", "not.test", "last.test", "other.test", "LOCALHOST", "localhost.test"} {
			said := m.command("", "exim4", "-bt", truthUser+"@"+domain)
			want := strings.Contains(said, "router = local,")
			got, err := e.LocalDomain(context.Background(), domain)
			if got != want || err != nil {
				t.Errorf("%s: %s: got %v, %v; exim: %s", name, domain, got, err, said)
			}
			if want {
				local++
			}
		}
		if local == 0 || local == 18 {
			t.Errorf("%s: %d of 18 domains are local: the case tests nothing", name, local)
		}
	}
}

// TestTruthConfined asks as sidepop's keeper does: root with CAP_SETUID and
// CAP_SETGID, which no program that it starts inherits, and no_new_privs.
func TestTruthConfined(t *testing.T) {
	m := truth(t)
	m.debian("maildir_home")
	e := m.open()
	ask := func() {
		for domain, want := range map[string]bool{"mail.test": true, "second.test": true, "other.test": false} {
			if got, err := e.LocalDomain(context.Background(), domain); got != want || err != nil {
				t.Errorf("%s: got %v, %v", domain, got, err)
			}
		}
	}
	confined(t, ask)
	m.debian("mail_spool")
	confined(t, ask)
	if got := e.Local().Template; got != "/var/mail/%u" {
		t.Errorf("after a change: got %q", got)
	}
	confined(t, func() {
		if _, err := Open(context.Background(), Options{}); !errors.Is(err, ErrTemporary) || !strings.Contains(err.Error(), "setgroups") {
			t.Errorf("Open: got %v, want what exim says about setgroups", err)
		}
	})
}

// confined does something on a thread that has what the keeper's sandbox leaves.
func confined(t *testing.T, do func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := confineThread()
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// confineThread takes rights from this thread.
func confineThread() error {
	const kept = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	const noRoot = 1 << 0 // SECBIT_NOROOT
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noRoot, 0, 0, 0); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: kept, Permitted: kept}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// TestTruthUnreadable: a configuration that exim's user may not read.
func TestTruthUnreadable(t *testing.T) {
	m := truth(t)
	m.site("domainlist local_domains = mail.test", truthRouter, "box:\n driver = appendfile\n directory = $home/Maildir\n maildir_format\n")
	if err := os.Chmod(siteConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := m.open().LocalDomain(context.Background(), "mail.test")
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), siteConfig) {
		t.Errorf("got %v", err)
	}
}
