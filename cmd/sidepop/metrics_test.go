package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"sidepop/cmd/sidepop/internal/metrics"
	"sidepop/pop3"
	"sidepop/pop3/memory"
)

// TestListenerNames: figures name the kinds of listeners as everything else does.
func TestListenerNames(t *testing.T) {
	n := 0
	for _, k := range listenerKinds {
		if k.name == metricsSocket {
			continue
		}
		if n >= len(metrics.Listeners) || metrics.Listeners[n] != k.name {
			t.Errorf("kind %d is %s, of %q", n, k.name, metrics.Listeners)
		}
		n++
	}
	if n != len(metrics.Listeners) {
		t.Errorf("%d kinds of listeners, and %q", n, metrics.Listeners)
	}
}

// TestCountsByListener: a connection counts with its listener, and one without any
// with the first.
func TestCountsByListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var c counts
	e := &frontEvents{noEvents{}, &c}
	for i, kind := range metrics.Listeners {
		p := pop3.Peer{Listener: withKind(l, kind).Addr()}
		for range i + 1 {
			e.Connected(p)
			e.Connected(p)
			e.Refused(p, errors.New("full"))
			e.Closed(p, pop3.Summary{Reason: pop3.ReasonHandshake})
		}
		if n := testing.AllocsPerRun(10, func() { _ = c.of(p) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
	}
	for i, got := range c.wire().Listeners {
		n := uint64(i + 1)
		if got.Open != n || got.Accepted != 2*n || got.Refused != n || got.HandshakesFailed != n {
			t.Errorf("%s: %+v", metrics.Listeners[i], got)
		}
	}
	e.Refused(pop3.Peer{}, errors.New("full"))
	if got := c.wire().Listeners[0].Refused; got != 2 {
		t.Errorf("%d refused", got)
	}
	e.LoggedIn(pop3.Peer{}, "USER", "a")
	e.LoggedIn(pop3.Peer{}, "USER", "a")
	e.Closed(pop3.Peer{}, pop3.Summary{User: "a", Retr: 1, Top: 2, Dele: 3, Octets: 4})
	e.LoginFailed(pop3.Peer{}, "USER", "a", pop3.ErrTemporary)
	e.LoginFailed(pop3.Peer{}, "USER", strings.Repeat("a", 10000), pop3.ErrCredentials)
	if got := c.wire(); got.LoggedIn != 1 || got.Retrieved != 1 || got.Tops != 2 || got.Removed != 3 || got.Octets != 4 || got.Unanswered != 1 {
		t.Errorf("%+v", got)
	}
}

// noEvents is told what happens, and tells nobody.
type noEvents struct{}

func (noEvents) AcceptFailed(net.Addr, error)                 {}
func (noEvents) Refused(pop3.Peer, error)                     {}
func (noEvents) Connected(pop3.Peer)                          {}
func (noEvents) LoggedIn(pop3.Peer, string, string)           {}
func (noEvents) LoginFailed(pop3.Peer, string, string, error) {}
func (noEvents) Failed(pop3.Peer, string, string, error)      {}
func (noEvents) Closed(pop3.Peer, pop3.Summary)               {}

// TestTimed: logins that are right are counted when the mailbox is open, whatever the
// number of steps, and others are not.
func TestTimed(t *testing.T) {
	b := memory.New()
	b.Add("alice", "secret", "one\n")
	figures := metrics.NewKeeper("v1", []string{"USER", "PLAIN"})
	m := timed{b, figures}
	ctx := context.Background()
	for _, password := range []string{"secret", "wrong"} {
		drop, err := m.Password(ctx, pop3.Peer{Secure: true}, "alice", password)
		if (err == nil) != (password == "secret") {
			t.Errorf("%s: %v", password, err)
		}
		if drop != nil {
			_ = drop.Close()
		}
	}
	x := &timedExchange{Exchange: &steps{drop: memoryDrop(t, b)}, backend: m, mechanism: "PLAIN"}
	for range 2 {
		if _, _, err := x.Step(ctx, nil); err != nil {
			t.Error(err)
		}
	}
	if x.took < 2*stepTime {
		t.Errorf("the exchange took %v", x.took)
	}
	text, err := figures.Write(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`sidepop_logins_total{mechanism="USER",outcome="ok"} 1`, `sidepop_logins_total{mechanism="PLAIN",outcome="ok"} 1`,
		`sidepop_login_duration_seconds_count 2`,
	} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
}

const stepTime = 2 * time.Millisecond

// steps is an exchange of two steps.
type steps struct {
	pop3.Exchange
	n    int
	drop pop3.Maildrop
}

func (s *steps) Step(context.Context, []byte) ([]byte, pop3.Maildrop, error) {
	time.Sleep(stepTime)
	if s.n++; s.n < 2 {
		return []byte("more"), nil, nil
	}
	return nil, s.drop, nil
}

func memoryDrop(t *testing.T, b pop3.Backend) pop3.Maildrop {
	t.Helper()
	drop, err := b.Password(context.Background(), pop3.Peer{}, "alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = drop.Close() })
	return drop
}
