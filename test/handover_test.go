package test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestHandover: while a front that was given its sockets is told to end and started
// again, over and over, every client is served whole: nobody is refused, and no
// connection ends that was accepted.
func TestHandover(t *testing.T) {
	const (
		clients  = 40
		restarts = 8
		between  = 150 * time.Millisecond
	)
	s := newSite(t)
	mails := sample()[:5]
	a := s.account("bob", mails)
	m := s.manage("[limits]\nsessions_per_user = 1000\nconnections_per_address = 1000\n")
	m.program = m.roles[roleFront]
	m.awaitReady()

	var stop atomic.Bool
	var sessions atomic.Int64
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			for !stop.Load() {
				if err := m.whole(a, mails[0], i%2 == 0); err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				sessions.Add(1)
			}
		})
	}
	for range restarts {
		time.Sleep(between) // of load
		m.end(roleFront, syscall.SIGTERM)
		m.begin(roleFront)
	}
	time.Sleep(between)
	stop.Store(true)
	running.Wait()
	t.Logf("%d restarts, %d sessions", restarts, sessions.Load())
	if n := sessions.Load(); n < 2*clients {
		t.Errorf("only %d sessions", n)
	}
}

// TestHandoverFromTheSilent: who is logged in to a front that ends and says nothing,
// or hangs in a handshake, holds up those that wait for the next one by seconds, not
// by all of limits.shutdown_time; and is told.
func TestHandoverFromTheSilent(t *testing.T) {
	const (
		clients = 10
		bound   = 10 * time.Second // 5 for the login, 2 for the last words, and what a busy machine takes
	)
	t.Parallel()
	s := newSite(t)
	mails := sample()[:5]
	a := s.account("bob", mails)
	m := s.manage("[limits]\nsessions_per_user = 100\nshutdown_time = \"1m\"\n")
	m.program = m.roles[roleFront]
	m.awaitReady()
	silent, working := m.login(a), m.login(a)
	silent.ok(t, "DELE 1")
	hangs, err := dial(m.pop3s)
	must(t, err)
	defer hangs.Close()
	m.logged(msgConnection, 4) // with that of awaitReady

	must(t, m.roles[roleFront].process.Signal(syscall.SIGTERM))
	m.logged("stopping", 1)
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			begun := time.Now()
			if err := m.whole(a, mails[0], i%2 == 0); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			if took := time.Since(begun); took > bound {
				t.Errorf("client %d took %v", i, took)
			}
		})
	}
	for range 5 { // longer than silence may last
		time.Sleep(time.Second)
		working.ok(t, "NOOP")
	}
	working.ok(t, "QUIT")
	if got, err := silent.answer(); err != nil || !strings.HasPrefix(got, temporary) {
		t.Errorf("who was silent: %q, %v", got, err)
	}
	if !m.roles[roleFront].ended(bound) {
		t.Error("the front has not ended")
	}
	m.begin(roleFront)
	running.Wait()
	mustBeThere(t, a.maildir, mails)
}

// whole is one session from the connection to its end. All of it has to work.
func (s *server) whole(a account, first mail, implicit bool) error {
	connect := func() (*conn, error) { return dial(s.pop3) }
	if implicit {
		connect = s.dialTLS
	}
	c, err := connect()
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer c.Close()
	if got, err := c.answer(); err != nil || !strings.HasPrefix(got, "+OK") {
		return fmt.Errorf("greeting: %q, %w", got, err)
	}
	for _, command := range []string{"USER " + a.name, "PASS " + a.password, "RETR 1", "QUIT"} {
		got, err := c.try(command)
		verb, _, _ := strings.Cut(command, " ")
		if err != nil || !strings.HasPrefix(got, "+OK") {
			return fmt.Errorf("%s: %q, %w", verb, got, err)
		}
		if verb != "RETR" {
			continue
		}
		if message, err := c.message(); err != nil || !bytes.Equal(message, first.octets()) {
			return fmt.Errorf("RETR: %d octets, %w", len(message), err)
		}
	}
	return nil
}

// TestHandoverWaits: a client that has connected to a front which is told to end
// logs in and goes on; one that connects then waits for the next front; one that
// does nothing holds it up for as long as a login may take.
func TestHandoverWaits(t *testing.T) {
	const grace = 5 * time.Second
	t.Parallel()
	s := newSite(t)
	mails := sample()[:3]
	a := s.account("bob", mails)
	m := s.manage("")
	m.program = m.roles[roleFront]
	m.awaitReady()
	early, session := m.connect(), m.login(a)
	silent, err := dial(m.pop3s) // in the middle of a handshake, for ever
	must(t, err)
	defer silent.Close()
	m.logged(msgConnection, 4) // with that of awaitReady

	front := m.roles[roleFront]
	must(t, front.process.Signal(syscall.SIGTERM))
	begun := time.Now()
	m.logged("stopping", 1)
	late, err := dial(m.pop3)
	must(t, err)
	defer late.Close()
	m.logIn(early, a)
	session.ok(t, "RETR 1")
	_, err = session.message()
	must(t, err)
	session.ok(t, "QUIT")
	early.ok(t, "NOOP")
	if front.ended(0) {
		t.Fatal("the front did not wait for its sessions")
	}
	early.ok(t, "QUIT")
	if !front.ended(grace + time.Second) {
		t.Fatalf("the front runs %v after SIGTERM", time.Since(begun))
	}
	if took := time.Since(begun); took < grace-time.Second {
		t.Errorf("a client in its handshake had %v", took)
	}
	if front.exit != nil {
		t.Error(front.exit)
	}
	m.begin(roleFront)
	greeting, err := late.answer()
	if err != nil || !strings.HasPrefix(greeting, "+OK") {
		t.Fatalf("who waited: %q, %v", greeting, err)
	}
	m.logIn(late, a).ok(t, "QUIT")
}

// TestKeeperHandover: while a keeper that was given its socket is told to end and
// started again, no connection of a client ends, and no login is told that a
// password is wrong; those that wait for the next keeper succeed.
func TestKeeperHandover(t *testing.T) {
	const restarts = 4
	s := newSite(t)
	mails := sample()[:5]
	a := s.account("bob", mails)
	m := s.manage("[limits]\nsessions_per_user = 1000\nconnections_per_address = 1000\n",
		msgUnreachable, msgFault, msgLoginFailed)
	m.program = m.roles[roleFront]
	m.awaitReady()
	l := &load{m: m, a: a, want: mails[0].octets(), frontOK: true}
	l.begin(20)
	for range restarts {
		time.Sleep(150 * time.Millisecond) // of load
		m.end(roleKeeper, syscall.SIGTERM)
		waits := m.connect()
		waits.ok(t, "USER "+a.name)
		answered := make(chan string, 1)
		go func() {
			got, _ := waits.try("PASS " + a.password)
			answered <- got
		}()
		m.begin(roleKeeper)
		if got := <-answered; !strings.HasPrefix(got, "+OK") {
			t.Errorf("a login while there is no keeper: %q", got)
		}
	}
	l.end()
	t.Logf("%d restarts: %d whole sessions, %d refused for the time being", restarts, l.done.Load(), l.temporary.Load())
	m.fetchOne(a, mails[0])
	if m.roles[roleFront].ended(0) {
		t.Error("the front has ended")
	}
}
