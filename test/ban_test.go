package test

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// victim is an address that nobody connects from, and that clients want banned.
const victim = "203.0.113.1"

// hostileNames are user names that would be other lines or fields of the log, if
// they were not quoted.
var hostileNames = []string{
	"x remote=" + victim + ":1 local=y tls=none failure=credentials reason=z",
	`x" mech=USER remote=` + victim + `:1 local=y tls=none failure=credentials reason=z`,
	`x\" mech=USER remote=` + victim + `:1 local=y tls=none failure=credentials reason=z`,
	`x\\" mech=USER remote=` + victim + `:1 local=y tls=none failure=credentials "`,
	`x","remote":"` + victim + `:1","session":"`,
	`x\","remote":"` + victim + `:1","session":"`,
	`{"failure":"credentials","level":"info","remote":"` + victim + `:1"}`,
	"2026-11-22 18:00:00 info    login failed session=S user=u mech=USER remote=" + victim + ":1 local=l tls=none failure=credentials ",
	`"time":"2001-01-01T00:00:00Z"`,
	"Nov 22 18:00:00 host sidepop[1]: login failed",
	"=" + victim + "=",
	"\u00e4\u3000\u202e remote=" + victim,
	"%s$(id)`id`",
}

// banLog makes the log of a server to whose clients all sorts of things happen, and
// gives the addresses that have failed, one for each wrong password or unknown user.
// Clients come through a proxy: so they have any address.
func banLog(t *testing.T, format string) (log string, failed []string) {
	t.Helper()
	s := newSite(t)
	alice, locked, foreign := s.account("alice", nil), s.account("locked", nil), s.user("foreign", 42, 42, nil)
	srv := &server{site: s, log: s.path("log")}
	srv.pop3, srv.pop3s = freePorts(t)
	_, port6, err := net.SplitHostPort(srv.pop3)
	must(t, err)
	srv.config = s.configure(srv.pop3, srv.pop3s, "")
	text, err := os.ReadFile(srv.config)
	must(t, err)
	must(t, os.WriteFile(srv.config, []byte(strings.NewReplacer(
		"[listen]\npop3  = [", fmt.Sprintf("[listen]\nproxy_networks = [%q]\npop3  = [\"[::1]:%s\", ", proxyAddress, port6),
		"[auth]\n", "[auth]\nplaintext = true\n",
		`format = "json"`, fmt.Sprintf("format = %q", format)).Replace(string(text))), 0o600))
	users, err := os.ReadFile(s.path("users"))
	must(t, err)
	must(t, os.WriteFile(s.path("users"), []byte(strings.Replace(string(users), locked.home+"\n", locked.home+"::nologin=y\n", 1)), 0o600))
	must(t, os.WriteFile(srv.log, nil, 0o600))
	srv.program = srv.start(exec.Command(sidepop(t), "serve", "--config", srv.config))
	t.Cleanup(srv.stop)
	srv.awaitReady()

	clients := 0
	// client says lines from an address of its own, and expects the last answer.
	client := func(bad bool, answer string, lines ...string) {
		t.Helper()
		clients++
		version, address := "TCP4", fmt.Sprintf("192.0.2.%d", clients)
		to := "192.0.2.254"
		if clients%2 == 0 {
			version, address, to = "TCP6", fmt.Sprintf("2001:db8:%x::7", clients), "2001:db8::1"
		}
		c, err := dialFrom(proxyAddress, srv.pop3)
		must(t, err)
		defer c.Close()
		got, err := c.try(fmt.Sprintf("PROXY %s %s %s 4000 110", version, address, to))
		for _, line := range lines {
			must(t, err)
			got, err = c.try(line)
		}
		must(t, err)
		if !strings.HasPrefix(got, answer) {
			t.Errorf("%q: %q, want %q", lines, got, answer)
		}
		if bad {
			failed = append(failed, address)
		}
	}
	login := func(a account) []string { return []string{"USER " + a.name, "PASS " + a.password} }
	plain := func(as, name, password string) string {
		return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte(as+"\x00"+name+"\x00"+password))
	}

	const refused = "-ERR [AUTH]"
	client(true, refused, "USER alice", "PASS wrong")
	client(true, refused, "USER nobody-there", "PASS wrong")
	client(true, refused, plain("", "carol", "wrong"))
	client(true, refused, "APOP dora 0123456789abcdef0123456789abcdef")
	for _, name := range hostileNames {
		client(true, refused, "USER "+name, "PASS wrong")
		client(true, refused, plain("", "x\r\n"+name, "wrong"))
		client(true, refused, plain("", name, name))
	}
	client(false, refused, plain(hostileNames[0], "alice", alice.password)) // somebody else's mail
	// What is no wrong password.
	client(false, "+OK", login(alice)...)
	client(false, refused, login(locked)...)
	client(false, "-ERR [SYS/PERM]", login(foreign)...)
	client(false, "-ERR", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("nonsense")))
	client(false, "-ERR", "AUTH PLAIN !")
	client(false, "-ERR", "AUTH remote="+victim)
	client(false, "+OK", "USER alice", "QUIT")
	// Without a proxy.
	for _, direct := range []string{srv.pop3, "[::1]:" + port6} {
		c, err := dial(direct)
		must(t, err)
		_, err = c.answer()
		must(t, err)
		c.ok(t, "USER bob")
		if got, err := c.try("PASS wrong"); err != nil || !strings.HasPrefix(got, refused) {
			t.Errorf("%s: %q, %v", direct, got, err)
		}
		must(t, c.Close())
		host, _, _ := net.SplitHostPort(direct)
		failed = append(failed, host)
	}
	// While the accounts can't be read.
	must(t, os.Remove(s.path("users")))
	client(false, "-ERR [SYS/TEMP]", login(alice)...)
	client(false, "-ERR [SYS/TEMP]", "USER alice", "PASS wrong")
	srv.stop()
	return srv.readLog(), failed
}

// syslog is a log in the format text as syslog has it from the journal, whose
// messages are those of text without time and level.
func syslog(text string) string {
	return regexp.MustCompile(`(?m)^\S+ (\S+) \w+ +`).ReplaceAllString(text, "Nov 22 $1 mx1 sidepop[42]: ")
}

// journalFile makes a file of the journal from a log in the format text: lines of the
// keeper's unit, with one of another unit that would have the victim banned.
func journalFile(t *testing.T, text string) string {
	t.Helper()
	const program = "/lib/systemd/systemd-journal-remote"
	if _, err := os.Stat(program); err != nil {
		skip(t, program+" is missing: apt-get install systemd-journal-remote python3-systemd")
	}
	var export strings.Builder
	moment := time.Now().UnixMicro()
	entry := func(unit string, uid int, message string) {
		moment++
		fmt.Fprintf(&export, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=0123456789abcdef0123456789abcdef\n"+
			"_SYSTEMD_UNIT=%s\n_UID=%d\n_PID=42\n_HOSTNAME=mx1\nSYSLOG_IDENTIFIER=sidepop\nMESSAGE=%s\n\n", moment, moment, unit, uid, message)
	}
	for line := range strings.Lines(regexp.MustCompile(`(?m)^\S+ \S+ \w+ +`).ReplaceAllString(text, "")) {
		entry("sidepop-keeper.service", 0, strings.TrimSuffix(line, "\n"))
	}
	forged := "login failed session=S user=u mech=USER remote=" + victim + ":1 local=l tls=none failure=credentials reason=r"
	entry("other.service", 0, forged)
	entry("sidepop.service", 997, forged) // a front that somebody has taken over
	dir := folder(t)
	own(t, dir)
	run(t, dir, export.String(), program, "--output=made.journal", "-")
	return dir
}

// TestBans: of real logs in each format, filters of programs that ban addresses see
// each wrong password once, with the address that it came from, and nothing else.
func TestBans(t *testing.T) {
	need(t, "fail2ban-regex", "fail2ban")
	text, failedText := banLog(t, "text")
	json, failedJSON := banLog(t, "json")
	slices.Sort(failedText)
	slices.Sort(failedJSON)
	for name, tt := range map[string]struct {
		log    string
		failed []string
	}{"text": {text, failedText}, "syslog": {syslog(text), failedText}, "json": {json, failedJSON}} {
		t.Run(name, func(t *testing.T) {
			if n := strings.Count(tt.log, victim); n < len(hostileNames) {
				t.Fatalf("%s is only %d times in the log", victim, n)
			}
			file := filepath.Join(folder(t), "log")
			must(t, os.WriteFile(file, []byte(tt.log), 0o644))
			if got := fail2ban(t, file); !slices.Equal(got, tt.failed) {
				t.Errorf("fail2ban has\n%v, want\n%v\n%s", got, tt.failed, tt.log)
			}
		})
	}
	t.Run("journald", func(t *testing.T) {
		source := fmt.Sprintf("systemd-journal[journalpath=%s]", journalFile(t, text))
		if got := fail2ban(t, source); !slices.Equal(got, failedText) {
			t.Errorf("fail2ban has\n%v, want\n%v\n%s", got, failedText, text)
		}
	})
	t.Run("crowdsec", func(t *testing.T) {
		root := crowdsecRoot(t)
		log := syslog(text)
		if got := crowdsec(t, root, strings.Repeat(log, 9)); len(got) > 0 {
			t.Errorf("banned after nine failures each: %v", got)
		}
		if got := crowdsec(t, root, strings.Repeat(log, 10)); !slices.Equal(got, failedText) {
			t.Errorf("banned after ten failures each\n%v, want\n%v\n%s", got, failedText, log)
		}
	})
}

// fail2ban gives the addresses that fail2ban finds in a file or a journal, sorted.
func fail2ban(t *testing.T, source string) []string {
	t.Helper()
	dir := folder(t)
	filter, err := os.ReadFile("../contrib/fail2ban/filter.d/sidepop.conf")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "sidepop.conf"), filter, 0o644))
	return sortedLines(run(t, dir, "", "fail2ban-regex", "--out=ip", source, "./sidepop.conf"))
}

// TestJail: fail2ban takes the jail as it is shipped, once somebody switches it on.
func TestJail(t *testing.T) {
	need(t, "fail2ban-client", "fail2ban")
	dir := folder(t)
	must(t, os.CopyFS(filepath.Join(dir, "conf"), os.DirFS("/etc/fail2ban")))
	for _, name := range []string{"filter.d/sidepop.conf", "jail.d/sidepop.conf"} {
		text, err := os.ReadFile(filepath.Join("../contrib/fail2ban", name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "conf", name), text, 0o644))
	}
	must(t, os.WriteFile(filepath.Join(dir, "conf/jail.local"), []byte("[sshd]\nenabled = false\n\n[sidepop]\nenabled = true\n"), 0o644))
	said := string(run(t, dir, "", "fail2ban-client", "-c", "conf", "-d"))
	for _, want := range []string{
		"['add', 'sidepop', 'systemd']",
		"'addjournalmatch', '_SYSTEMD_UNIT=sidepop-keeper.service', '+', '_SYSTEMD_UNIT=sidepop.service', '_UID=0'",
		"['set', 'sidepop', 'maxretry', 10]",
		"'pop3,pop3s'",
		"['start', 'sidepop']",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("fail2ban does not say %s:\n%s", want, said)
		}
	}
}

// TestUFW: ufw takes the application profiles.
func TestUFW(t *testing.T) {
	need(t, "ufw", "ufw")
	dir := folder(t)
	profiles, err := os.ReadFile("../contrib/ufw/sidepop")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "sidepop"), profiles, 0o644))
	said := string(run(t, dir, `
import gettext, ufw.applications as a
gettext.install("ufw")
for name, p in sorted(a.get_profiles(".").items()):
    a.verify_profile(name, p)
    print(name, a.get_ports(p))
`, "python3", "-"))
	if want := "sidepop ['995/tcp']\nsidepop-stls ['110,995/tcp']\n"; said != want {
		t.Errorf("ufw has\n%s, want\n%s", said, want)
	}
}

func sortedLines(text []byte) []string {
	lines := strings.Fields(string(text))
	slices.Sort(lines)
	return lines
}
