package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sidepop/pop3"
)

// waiting is how many connections of a front wait for a session.
func (c *Client) waiting() int {
	c.idle.mu.Lock()
	defer c.idle.mu.Unlock()
	return len(c.idle.links)
}

// connections gives the connections that a keeper has.
func (k *keeper) connections() map[*conn]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make(map[*conn]bool)
	for x := range k.sessions {
		all[x.conn] = true
	}
	return all
}

// TestOneConnectionAfterAnother: sessions that follow one another share a connection,
// also after a removal; those at the same time don't.
func TestOneConnectionAfterAnother(t *testing.T) {
	b := alice()
	k := newKeeper(t, b)
	c := &Client{Path: k.path}
	defer c.idle.clear()
	var first map[*conn]bool
	for i, user := range []string{"alice", "bob", "alice", "bob"} {
		password := map[string]string{"alice": "secret", "bob": "other"}[user]
		m, err := c.Password(background, peer, user, password)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"alice": 3, "bob": 1}[user]
		if i == 2 {
			want-- // of three, one was removed
		}
		if n, _ := m.Stat(); m.User() != user || n != want {
			t.Errorf("session %d is of %q with %d messages", i, m.User(), n)
		}
		if list := k.Sessions(); len(list) != 1 || list[0].User != user {
			t.Errorf("session %d: %+v", i, list)
		}
		now := k.connections()
		if first == nil {
			first = now
		}
		for conn := range now {
			if len(now) != 1 || !first[conn] {
				t.Errorf("session %d has a connection of its own: %d", i, len(now))
			}
		}
		if i == 0 {
			if failed, err := m.Commit(background, []int{0}, nil); failed != 0 || err != nil {
				t.Errorf("%d, %v", failed, err)
			}
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}

	one, another := logIn(t, c), logIn(t, c)
	if n := len(k.connections()); n != 2 {
		t.Errorf("two sessions have %d connections", n)
	}
	_, _ = one.Close(), another.Close()
	if told := k.events.String(); told != "" {
		t.Error(told)
	}
}

// TestClosedMaildrop: what was a session's is no longer asked on its connection.
func TestClosedMaildrop(t *testing.T) {
	k := newKeeper(t, alice())
	c := &Client{Path: k.path}
	over := logIn(t, c)
	for range 2 {
		if err := over.Close(); err != nil {
			t.Error(err)
		}
	}
	now := logIn(t, c)
	defer now.Close()
	for what, err := range map[string]error{
		"open":   second(over.Open(background, 0)),
		"commit": only(over.Commit(background, []int{0}, nil)),
	} {
		if !errors.Is(err, pop3.ErrTemporary) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, err := range over.UIDLs(background, 0, 1) {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("UIDLs: %v", err)
		}
	}
	if r, _, err := now.Open(background, 0); err != nil {
		t.Error(err)
	} else {
		_ = r.Close()
	}
	if n := len(k.connections()); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func second(_ io.ReadCloser, _ int64, err error) error { return err }
func only(_ int, err error) error                      { return err }

// TestIdleConnectionsOfBefore: a login that finds connections to a keeper that has
// ended takes none of them, and the next keeper's answer.
func TestIdleConnectionsOfBefore(t *testing.T) {
	const sessions = keepers + 2
	k := newKeeper(t, alice())
	c := &Client{Path: k.path}
	var all []pop3.Maildrop
	for range sessions {
		all = append(all, logIn(t, c))
	}
	for _, m := range all {
		_ = m.Close()
	}
	if n := c.waiting(); n != sessions {
		t.Fatalf("%d connections wait", n)
	}
	k.stop()
	k.Server = &Server{}
	k.serve(alice())
	m := logIn(t, c)
	if n := c.waiting(); n != 0 {
		t.Errorf("%d of the old connections wait", n)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// TestNothingStays: what a session has asked for is not there for the next one on its
// connection.
func TestNothingStays(t *testing.T) {
	b := alice()
	k := newKeeper(t, b)
	f := dialRaw(t, k)
	f.logIn()
	f.say(request(verbNumbers, toRemove, 1))
	f.say(request(verbLeave))
	f.logIn()
	f.say(request(verbCommit, 1, 0))
	f.hearEnd()
	waitFor(t, "broken", func() bool { return strings.Contains(k.events.String(), "removal of other messages") })
	if n := len(b.Messages("alice")); n != 3 {
		t.Errorf("%d messages are left", n)
	}
}

// TestIdleConnectionsEnd: those that nobody used for a while are closed, and the keeper
// says nothing. There is a bound of how many wait.
func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, alice())
	c := &Client{Path: k.path}
	var all []pop3.Maildrop
	for range maxIdle + 1 {
		all = append(all, logIn(t, c))
	}
	for _, m := range all {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := c.waiting(); n != maxIdle {
		t.Errorf("%d connections wait", n)
	}
	waitFor(t, "the connection that is too much", func() bool { return len(k.connections()) == maxIdle })
	time.Sleep(idleWait / 2)
	used := logIn(t, c)
	time.Sleep(idleWait / 2) // which is what is tested
	_ = used.Close()
	waitFor(t, "the end of those that were not used", func() bool { return len(k.connections()) <= 1 })
	_ = logIn(t, c).Close()
	waitFor(t, "the end of the last", func() bool { return len(k.connections()) == 0 })
	c.idle.mu.Lock()
	if c.idle.sweep != nil || len(c.idle.links) != 0 {
		t.Errorf("%d connections wait", len(c.idle.links))
	}
	c.idle.mu.Unlock()
	if told := k.events.String(); told != "" {
		t.Error(told)
	}
}

// TestIdleConnectionsOfFront: a front that ends leaves none behind.
func TestIdleConnectionsOfFront(t *testing.T) {
	k := newKeeper(t, alice())
	c := &Client{Path: k.path}
	ctx, cancel := context.WithCancel(background)
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	_ = logIn(t, c).Close()
	cancel()
	running.Wait()
	if n := c.waiting(); n != 0 {
		t.Errorf("%d connections wait", n)
	}
	waitFor(t, "their end", func() bool { return len(k.connections()) == 0 })
}
