package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sidepop/pop3"
)

// scripted is a backend of which a test replaces what it is about.
type scripted struct {
	pop3.Backend
	password func(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error)
	sasl     func(ctx context.Context, p pop3.Peer, mechanism string) (pop3.Exchange, error)
}

func (s *scripted) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	return s.password(ctx, p, user, password)
}

func (s *scripted) SASL(ctx context.Context, p pop3.Peer, mechanism string) (pop3.Exchange, error) {
	return s.sasl(ctx, p, mechanism)
}

// dropFor is a backend that gives everybody m.
func dropFor(m pop3.Maildrop) *scripted {
	return &scripted{password: func(context.Context, pop3.Peer, string, string) (pop3.Maildrop, error) { return m, nil }}
}

// scriptedDrop is a maildrop of which a test replaces what it is about.
type scriptedDrop struct {
	pop3.Maildrop
	messages int
	octets   func(first, n int) iter.Seq2[int64, error]
	uidls    func(first, n int) iter.Seq2[string, error]
	open     func(i int) (io.ReadCloser, int64, error)
	commit   func(ctx context.Context, remove, retrieved []int) (int, error)
	close    func() error
}

func (d *scriptedDrop) User() string       { return "alice" }
func (d *scriptedDrop) Stat() (int, int64) { return d.messages, 0 }
func (d *scriptedDrop) Octets(_ context.Context, first, n int) iter.Seq2[int64, error] {
	return d.octets(first, n)
}
func (d *scriptedDrop) UIDLs(_ context.Context, first, n int) iter.Seq2[string, error] {
	return d.uidls(first, n)
}
func (d *scriptedDrop) Open(_ context.Context, i int) (io.ReadCloser, int64, error) { return d.open(i) }
func (d *scriptedDrop) Commit(ctx context.Context, remove, retrieved []int) (int, error) {
	return d.commit(ctx, remove, retrieved)
}
func (d *scriptedDrop) Close() error {
	if d.close == nil {
		return nil
	}
	return d.close()
}

// TestPanics: one of the backend ends its session alone, is told, and leaves
// nothing open.
func TestPanics(t *testing.T) {
	bad := func() { panic("a defect") }
	drop := func() *scriptedDrop { return &scriptedDrop{messages: 3} }
	for name, test := range map[string]struct {
		b   *scripted
		ask func(m pop3.Maildrop) error
	}{
		"password": {&scripted{password: func(context.Context, pop3.Peer, string, string) (pop3.Maildrop, error) { bad(); return nil, nil }}, nil},
		"nothing":  {&scripted{password: func(context.Context, pop3.Peer, string, string) (pop3.Maildrop, error) { return nil, nil }}, nil},
		"octets": {dropFor(drop()), func(m pop3.Maildrop) error {
			for _, err := range m.Octets(background, 0, 3) {
				return err
			}
			return nil
		}},
		"open":   {dropFor(drop()), func(m pop3.Maildrop) error { _, _, err := m.Open(background, 0); return err }},
		"commit": {dropFor(drop()), func(m pop3.Maildrop) error { _, err := m.Commit(background, []int{1}, nil); return err }},
		"close": {dropFor(&scriptedDrop{messages: 1, close: func() error { bad(); return nil }}), func(m pop3.Maildrop) error {
			_ = m.Close()
			return pop3.ErrTemporary
		}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(t, test.b)
			c := &Client{Path: k.path}
			m, err := c.Password(background, peer, "alice", "secret")
			if test.ask != nil {
				if err != nil {
					t.Fatal(err)
				}
				err = test.ask(m)
				_ = m.Close()
			}
			if !errors.Is(err, pop3.ErrTemporary) || Told(err) {
				t.Errorf("%v", err)
			}
			waitFor(t, "told", func() bool { return k.events.String() != "" })
			if told := k.events.String(); strings.Count(told, "panic:")+strings.Count(told, "broken") != 1 {
				t.Errorf("told: %s", told)
			}
		})
	}
}

// TestSessions: those that are logged in are listed.
func TestSessions(t *testing.T) {
	k := newKeeper(t, alice())
	c := &Client{Path: k.path}
	dialRaw(t, k)
	m := logIn(t, c)
	list := k.Sessions()
	if len(list) != 1 || list[0].User != "alice" || !reflect.DeepEqual(list[0].Peer, peer) || time.Since(list[0].Since) > patience {
		t.Errorf("%+v", list)
	}
	_ = m.Close()
	waitFor(t, "end", func() bool { return len(k.Sessions()) == 0 })
}

// TestShutdown: a removal under way is waited for, and its result arrives; all
// else ends.
func TestShutdown(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var closed atomic.Int32
	b := dropFor(&scriptedDrop{
		messages: 3,
		commit: func(ctx context.Context, remove, _ []int) (int, error) {
			close(begun)
			<-release
			return 1, ctx.Err()
		},
		close: func() error { closed.Add(1); return nil },
	})
	k := newKeeper(t, b)
	c := &Client{Path: k.path}
	idle, removing := logIn(t, c), logIn(t, c)
	result := make(chan int, 1)
	go func() {
		failed, err := removing.Commit(background, []int{0, 2}, nil)
		if err != nil {
			failed = -1
		}
		result <- failed
	}()
	<-begun
	ctx, cancel := context.WithTimeout(background, 10*time.Millisecond)
	defer cancel()
	over := make(chan error, 1)
	server := k.Server
	go func() { over <- server.Shutdown(ctx) }()
	waitFor(t, "idle session's end", func() bool { _, _, err := idle.Open(background, 0); return err != nil })
	<-ctx.Done()
	select {
	case err := <-over:
		t.Errorf("Shutdown did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	if failed := within(t, "removal", result); failed != 1 {
		t.Errorf("%d failed", failed)
	}
	if err := within(t, "shutdown", over); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if n := closed.Load(); n != 2 {
		t.Errorf("%d maildrops were closed", n)
	}
	if _, err := c.Password(background, peer, "alice", "secret"); !errors.Is(err, pop3.ErrTemporary) {
		t.Errorf("after the end: %v", err)
	}
}

// TestRestart: a session of the keeper before fails, and new ones work.
func TestRestart(t *testing.T) {
	b := alice()
	k := newKeeper(t, b)
	c := &Client{Path: k.path}
	m := logIn(t, c)
	k.stop()
	k.Server = &Server{}
	k.serve(b)
	if _, _, err := m.Open(background, 0); !errors.Is(err, pop3.ErrTemporary) || Told(err) {
		t.Errorf("open: %v", err)
	}
	if failed, err := m.Commit(background, []int{0}, nil); failed != 1 || !errors.Is(err, pop3.ErrTemporary) {
		t.Errorf("commit: %d, %v", failed, err)
	}
	if err := logIn(t, c).Close(); err != nil {
		t.Error(err)
	}
	if n := len(b.Messages("alice")); n != 3 {
		t.Errorf("%d messages are left", n)
	}
}

// TestSilence: who says nothing has to go, and so has who does not read.
func TestSilence(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, newFileBackend(t, 100_000))
	state := State{Certificates: slices.Repeat([]tls.Certificate{issue(t, "x", keys()["RSA"])}, MaxCertificates)}
	if err := k.Push(state); err != nil {
		t.Fatal(err)
	}
	dialRaw(t, k)
	deaf := dialRaw(t, k)
	deaf.say(loginPacket("alice", "secret"))
	deaf.hear(verbLoggedIn)
	for range 100 {
		deaf.say(request(verbUIDLs, 0, 100_000))
	}
	dialRaw(t, k).say(request(verbControl))

	time.Sleep(max(firstWait, sendWait)) // which is what is tested
	silent := fmt.Sprintf(`broken "": nothing was asked within %v`, firstWait)
	waitFor(t, silent, func() bool { return strings.Contains(k.events.String(), silent) })
	for _, user := range []string{"", "alice"} {
		want := fmt.Sprintf("broken %q: an answer was not read within %v", user, sendWait)
		waitFor(t, want, func() bool { return strings.Contains(k.events.String(), want) })
	}
}
