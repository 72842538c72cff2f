package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// manager starts the roles as a service manager does: it has their sockets, and
// starts at once, and as often as it is told, what has ended.
type manager struct {
	*server
	sockets map[string][]*os.File // of each role, with names
	names   map[string][]string
	roles   map[string]*program

	environment map[string][]string // of each role, beside this process's
}

// manage starts a server of two services.
func (s *site) manage(tables string, tolerated ...string) *manager {
	s.t.Helper()
	m := s.managerOf(tables, tolerated...)
	for _, role := range []string{roleKeeper, roleFront} {
		m.begin(role)
	}
	s.t.Cleanup(func() {
		for _, role := range []string{roleFront, roleKeeper} {
			m.end(role, syscall.SIGTERM)
		}
	})
	return m
}

// managerOf prepares a server of two services.
func (s *site) managerOf(tables string, tolerated ...string) *manager {
	s.t.Helper()
	m := &manager{server: s.prepare(tables, tolerated...), sockets: make(map[string][]*os.File), names: make(map[string][]string), roles: make(map[string]*program)}
	for i, address := range []string{m.pop3, m.pop3s} {
		to, err := net.ResolveTCPAddr("tcp", address)
		must(s.t, err)
		l, err := net.ListenTCP("tcp", to)
		must(s.t, err)
		m.add(roleFront, []string{"pop3", "pop3s"}[i], l)
	}
	must(s.t, os.Mkdir(s.path("run"), 0o755))
	path := s.path("run/keeper.sock")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: path})
	must(s.t, err)
	l.SetUnlinkOnClose(false)
	if os.Getuid() == 0 {
		_, gid := identityOf(s.t, frontUser)
		must(s.t, os.Chown(path, 0, gid))
		must(s.t, os.Chmod(path, 0o660))
	}
	m.add(roleKeeper, "keeper", l)
	return m
}

// add gives a socket to a role.
func (m *manager) add(role, name string, l interface {
	io.Closer
	File() (*os.File, error)
}) {
	m.t.Helper()
	f, err := l.File()
	must(m.t, err)
	must(m.t, l.Close())
	m.t.Cleanup(func() { _ = f.Close() })
	m.sockets[role], m.names[role] = append(m.sockets[role], f), append(m.names[role], name)
}

// begin starts a role, sd_listen_fds(3).
func (m *manager) begin(role string) {
	m.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", sidepop(m.t), role, "--config", m.config)
	cmd.Env = append(os.Environ(), fmt.Sprint("LISTEN_FDS=", len(m.sockets[role])), "LISTEN_FDNAMES="+strings.Join(m.names[role], ":"))
	cmd.Env = append(cmd.Env, m.environment[role]...)
	cmd.ExtraFiles = m.sockets[role]
	m.roles[role] = m.start(cmd)
}

// end ends a role, and kills it if it does not in time.
func (m *manager) end(role string, how syscall.Signal) {
	m.t.Helper()
	p := m.roles[role]
	_ = p.process.Signal(how)
	if !p.ended(stopTime) {
		m.t.Errorf("the %s runs %v after %v", role, stopTime, how)
		_ = p.process.Kill()
		<-p.exited
	}
}

// killAndBegin kills a role and starts it.
func (m *manager) killAndBegin(role string) {
	m.t.Helper()
	m.end(role, syscall.SIGKILL)
	if role == roleFront {
		m.forgetSessions()
	}
	m.begin(role)
}

// load is clients that log in, fetch and leave, over and over.
type load struct {
	m       *manager
	a       account
	want    []byte // message 1
	stop    atomic.Bool
	clients sync.WaitGroup
	frontOK bool // the front lives all the time

	done, temporary, cut atomic.Int64 // sessions: whole, refused for the time being, ended by the front's end
}

// begin starts clients.
func (l *load) begin(clients int) {
	for i := range clients {
		l.clients.Go(func() {
			for !l.stop.Load() {
				if err := l.session(i%2 == 0); err != nil {
					l.m.t.Errorf("client %d: %v", i, err)
					return
				}
			}
		})
	}
}

// end waits for the clients.
func (l *load) end() {
	l.stop.Store(true)
	l.clients.Wait()
}

// session is one session. Its error is what must not be.
func (l *load) session(quit bool) error {
	c, err := dial(l.m.pop3)
	if err != nil {
		return fmt.Errorf("the listeners are there all the time: %w", err)
	}
	defer c.Close()
	commands := []string{"", "USER " + l.a.name, "PASS " + l.a.password, "STAT", "RETR 1", "QUIT"}
	if !quit {
		commands = commands[:len(commands)-1]
	}
	for _, command := range commands {
		var got string
		if command == "" {
			got, err = c.answer()
		} else {
			got, err = c.try(command)
		}
		verb, _, _ := strings.Cut(command, " ")
		switch {
		case err != nil && !l.frontOK:
			l.cut.Add(1)
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", verb, err)
		case strings.HasPrefix(got, temporary) && verb != "" && verb != "USER" && verb != "STAT":
			l.temporary.Add(1)
			return nil
		case !strings.HasPrefix(got, "+OK"):
			return fmt.Errorf("%s: %q", verb, got)
		}
		if verb != "RETR" {
			continue
		}
		message, err := c.message()
		switch {
		case err != nil && !l.frontOK:
			l.cut.Add(1)
			return nil
		case err != nil || !bytes.Equal(message, l.want):
			return fmt.Errorf("RETR: %d octets, %v", len(message), err)
		}
	}
	l.done.Add(1)
	return nil
}

// TestRestartsUnderLoad: while one role ends again and again, clients are served,
// or refused for the time being, and never told that their password is wrong. The
// other role lives on and keeps nothing of it.
func TestRestartsUnderLoad(t *testing.T) {
	const (
		clients        = 50
		keeperRestarts = 10
		frontRestarts  = 5
		between        = 200 * time.Millisecond
	)
	s := newSite(t)
	mails := sample()[:5]
	a := s.account("bob", mails)
	m := s.manage("[limits]\nsessions_per_user = 1000\nconnections_per_address = 1000\n",
		msgEnded, msgUnreachable, msgFault, msgLoginFailed, "index repaired")
	m.program = m.roles[roleFront]
	m.awaitReady()
	for range 5 {
		m.fetchOne(a, mails[0])
	}
	run := func(killed, other string, restarts int) {
		pid := m.roles[other].process.Pid
		before := m.settled(pid, 0)
		l := &load{m: m, a: a, want: mails[0].octets(), frontOK: killed == roleKeeper}
		l.begin(clients)
		for range restarts {
			time.Sleep(between) // of load
			m.killAndBegin(killed)
		}
		time.Sleep(between)
		l.end()
		t.Logf("%d restarts of the %s: %d whole sessions, %d refused for the time being, %d cut off",
			restarts, killed, l.done.Load(), l.temporary.Load(), l.cut.Load())
		if l.done.Load() < clients {
			t.Errorf("only %d whole sessions", l.done.Load())
		}
		m.fetchOne(a, mails[0])
		m.awaitTLS()
		if m.roles[other].ended(0) {
			t.Fatalf("the %s has ended", other)
		}
		if after := m.settled(pid, before+3); after > before+3 { // the poller's, and what the runtime opens once
			t.Errorf("the %s had %d descriptors and has %d: %v", other, before, after, descriptors(t, pid))
		}
	}
	run(roleKeeper, roleFront, keeperRestarts)
	run(roleFront, roleKeeper, frontRestarts)
	for role, most := range map[string]int{roleFront: 25, roleKeeper: 40} {
		n := m.goroutines(role)
		t.Logf("%s: %d goroutines", role, n)
		if n < 3 || n > most {
			t.Errorf("the %s has %d goroutines without a client, expected 3 to %d", role, n, most)
		}
		m.begin(role)
	}
	m.awaitReady()
	m.fetchOne(a, mails[0])
}

// settled is how many descriptors a process has when it has given up what was its
// clients', at most so many if that comes about in time. Root alone can count
// them, since the roles are undumpable.
func (m *manager) settled(pid, most int) (n int) {
	m.t.Helper()
	if os.Getuid() != 0 {
		return 0
	}
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		last := n
		if n = len(descriptors(m.t, pid)); n <= most || most == 0 && n == last {
			break
		}
	}
	return n
}

// goroutines ends a role with SIGQUIT, at which the runtime lists its goroutines,
// and counts them. The list is taken out of the log.
func (m *manager) goroutines(role string) (n int) {
	m.t.Helper()
	m.end(role, syscall.SIGQUIT)
	if role == roleFront {
		m.forgetSessions()
	}
	var kept strings.Builder
	for line := range strings.Lines(m.readLog()) {
		if strings.HasPrefix(line, "goroutine ") {
			n++
		}
		if strings.HasPrefix(line, "{") {
			kept.WriteString(line)
		}
	}
	must(m.t, os.WriteFile(filepath.Clean(m.log), []byte(kept.String()), 0o600))
	return n
}
