package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// notices is what roles tell a service manager, sd_notify(3).
type notices struct {
	mu  sync.Mutex
	all map[string][]string // by role
}

// tell makes a manager's roles tell a service manager how they are, and give a sign
// of life within a time.
func (m *manager) tell(within time.Duration) *notices {
	m.t.Helper()
	n := &notices{all: make(map[string][]string)}
	m.environment = make(map[string][]string)
	for _, role := range []string{roleFront, roleKeeper} {
		path := m.path("notify-" + role)
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		must(m.t, err)
		m.t.Cleanup(func() { _ = l.Close() })
		m.environment[role] = []string{"NOTIFY_SOCKET=" + path, fmt.Sprint("WATCHDOG_USEC=", within.Microseconds())}
		go func() {
			buf := make([]byte, 4096)
			for {
				length, err := l.Read(buf)
				if err != nil {
					return
				}
				n.mu.Lock()
				n.all[role] = append(n.all[role], strings.Trim(string(buf[:length]), "\n"))
				n.mu.Unlock()
			}
		}()
	}
	return n
}

// of is what a role has told so far.
func (n *notices) of(role string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string{}, n.all[role]...)
}

// heard waits for a notice of a role that matches, among those after the first
// skipped. It gives how many there were up to it.
func (n *notices) heard(t *testing.T, role, pattern string, skipped int) (next int) {
	t.Helper()
	match := regexp.MustCompile("^(?:" + pattern + ")$")
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for i, notice := range n.of(role) {
			if i >= skipped && match.MatchString(notice) {
				return i + 1
			}
		}
	}
	t.Fatalf("the %s has not told %s: %q", role, pattern, n.of(role))
	return 0
}

// TestNotices: what a service manager is told: ready, what the roles do, that they
// live, that they read the configuration again and what came of it, and that they
// end.
func TestNotices(t *testing.T) {
	const within = time.Second
	s := newSite(t)
	mails := sample()[:2]
	a := s.account("bob", mails)
	m := s.managerOf("[limits]\nshutdown_time = \"7s\"\n", msgConfig, msgUnreachable)
	n := m.tell(within)
	for _, role := range []string{roleKeeper, roleFront} {
		m.begin(role)
	}
	m.program = m.roles[roleFront]
	m.awaitReady()
	for _, role := range []string{roleKeeper, roleFront} {
		n.heard(t, role, "READY=1", 0)
		n.heard(t, role, "WATCHDOG=1", 0)
	}
	n.heard(t, roleFront, "STATUS=0 connections, 0 logged in", 0)
	n.heard(t, roleKeeper, "STATUS=0 sessions, watched mailboxes: 1", 0)
	c := m.login(a)
	n.heard(t, roleFront, "STATUS=1 connection, 1 logged in", 0)
	n.heard(t, roleKeeper, "STATUS=1 session, watched mailboxes: 1", 0)

	const reloading = `RELOADING=1\nMONOTONIC_USEC=[0-9]+`
	hangup := func(text string) (next int) {
		t.Helper()
		next = len(n.of(roleKeeper))
		must(t, os.WriteFile(m.config, []byte(text), 0o600))
		must(t, m.roles[roleKeeper].process.Signal(syscall.SIGHUP))
		next = n.heard(t, roleKeeper, reloading, next)
		return n.heard(t, roleKeeper, "READY=1", next)
	}
	good, err := os.ReadFile(m.config)
	must(t, err)
	next := hangup(string(good) + "\nnonsense = 1\n")
	next = n.heard(t, roleKeeper, `STATUS=1 session, .*; the configuration was refused and the one before holds: \S+sidepop\.toml:[0-9]+: .*nonsense.*`, next)
	c.ok(t, "NOOP")
	m.fetchOne(a, mails[0])
	next = hangup(string(good))
	n.heard(t, roleKeeper, "STATUS=1 session, watched mailboxes: 1", next)

	// The front says so when the keeper is gone, and lives on.
	m.end(roleKeeper, syscall.SIGTERM)
	n.heard(t, roleKeeper, `STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000`, next)
	next = n.heard(t, roleFront, "STATUS=1 connection, 1 logged in; the keeper is not reachable.*", 0)
	n.heard(t, roleFront, "WATCHDOG=1", next)
	c.ok(t, "QUIT")
	m.end(roleFront, syscall.SIGTERM)
	n.heard(t, roleFront, `STOPPING=1\nEXTEND_TIMEOUT_USEC=67000000`, next)
	for _, e := range m.entries() {
		if strings.HasPrefix(e.Remote, "0.0.0.0") {
			t.Errorf("the front's own connection is logged: %+v", e)
		}
	}
	for _, role := range []string{roleFront, roleKeeper} {
		for _, notice := range n.of(role) {
			if strings.Contains(notice, a.password) {
				t.Errorf("a password: %s", notice)
			}
		}
	}
}

// TestJournal: a front in its sandbox, and a keeper, write to the journal with its
// fields, also when the journal's file is out of sight.
func TestJournal(t *testing.T) {
	needRoot(t) // to put a journal in its place
	need(t, "unshare", "util-linux")
	s := newSite(t)
	a := s.account("bob", sample()[:1])
	srv := s.prepare("", msgConnection)
	text, err := os.ReadFile(srv.config)
	must(t, err)
	must(t, os.WriteFile(srv.config, []byte(strings.Replace(string(text), `"json"`, `"journald"`, 1)), 0o600))
	dir := folder(t)
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "socket"), Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	// The folder of the journal's socket is there on every Debian with systemd, and
	// made in the mount namespace where it is not.
	const place = "mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/journal && mount --bind $0 /run/systemd/journal && exec \"$@\""
	if err := os.MkdirAll("/run/systemd", 0o755); err != nil {
		skip(t, err.Error())
	}
	entries := make(chan string, 1000) // all there are: who writes waits for the reader
	go func() {
		defer close(entries)
		for buf := make([]byte, 64<<10); ; {
			length, err := l.Read(buf)
			if err != nil {
				return
			}
			entries <- string(buf[:length])
		}
	}()
	srv.program = srv.start(exec.Command("unshare", "--mount", "--", "/bin/sh", "-c", place, dir, sidepop(t), "serve", "--config", srv.config))
	t.Cleanup(srv.stop)
	srv.awaitReady()
	srv.login(a).ok(t, "QUIT")
	missing := map[string]string{
		"SIDEPOP_EVENT=login\n":                         "SIDEPOP_USER=bob\n",
		"SIDEPOP_EVENT=session closed\n":                "SIDEPOP_REASON=quit\n",
		"SIDEPOP_EVENT=sandboxed\nSIDEPOP_ROLE=front\n": "SIDEPOP_HELD=",
		"SIDEPOP_EVENT=ready\nSIDEPOP_ROLE=keeper\n":    "SIDEPOP_VERSION=",
	}
	late := time.After(settleTime)
	for len(missing) > 0 {
		var entry string
		select {
		case entry = <-entries:
		case <-late:
			t.Fatalf("not in the journal: %q", missing)
		}
		for event, field := range missing {
			if within(entry, event) && strings.Contains(entry, field) && strings.Contains(entry, "PRIORITY=6\n") {
				delete(missing, event)
			}
		}
	}
	if log := srv.readLog(); log != "" {
		t.Errorf("on standard error too: %s", log)
	}
}

// within says whether an entry has all lines.
func within(entry, lines string) bool {
	for line := range strings.Lines(lines) {
		if !strings.Contains(entry, line) {
			return false
		}
	}
	return true
}
