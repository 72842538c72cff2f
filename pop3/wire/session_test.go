package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
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

// TestErrors: the front learns the public part, can compare it, and knows that
// the reason was told.
func TestErrors(t *testing.T) {
	own := &pop3.Error{Code: "AUTH", Text: "come back with a token"}
	for _, test := range []struct{ err, want error }{
		{pop3.ErrCredentials, pop3.ErrCredentials},
		{fmt.Errorf("%w: the secret reason", pop3.ErrInUse), pop3.ErrInUse},
		{fmt.Errorf("the secret reason: %w", pop3.ErrLoginDelay), pop3.ErrLoginDelay},
		{pop3.ErrPermanent, pop3.ErrPermanent},
		{errors.New("the secret reason"), pop3.ErrTemporary},
		{own, own},
		{&pop3.Error{Text: strings.Repeat("x", maxText+1)}, pop3.ErrTemporary},
	} {
		b := &scripted{
			password: func(context.Context, pop3.Peer, string, string) (pop3.Maildrop, error) { return nil, test.err },
			sasl:     func(context.Context, pop3.Peer, string) (pop3.Exchange, error) { return nil, test.err },
		}
		k := newKeeper(t, b)
		c := &Client{Path: k.path}
		_, err := c.Password(background, peer, "alice", "secret-1")
		var public *pop3.Error
		if !errors.As(err, &public) || *public != *test.want.(*pop3.Error) || !Told(err) || strings.Contains(err.Error(), "reason") {
			t.Errorf("%v became %v", test.err, err)
		}
		if test.want != own && !errors.Is(err, test.want) {
			t.Errorf("%v is not %v", err, test.want)
		}
		x, err := c.SASL(background, peer, "PLAIN")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = x.Step(background, nil); !errors.As(err, &public) || *public != *test.want.(*pop3.Error) || !Told(err) {
			t.Errorf("SASL: %v became %v", test.err, err)
		}
		if _, _, err = x.Step(background, nil); !errors.Is(err, pop3.ErrTemporary) {
			t.Errorf("a step after the end: %v", err)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		want := fmt.Sprintf("login %s USER \"alice\": %v\nlogin %[1]s PLAIN \"\": %[2]v", peer.Session, test.err)
		if told := k.events.String(); told != want {
			t.Errorf("told: %s", told)
		}
	}
}

// TestSASL: challenges and responses cross unchanged, nil and empty ones too.
func TestSASL(t *testing.T) {
	var got noted[[]string]
	steps := 0
	b := &scripted{sasl: func(_ context.Context, p pop3.Peer, mechanism string) (pop3.Exchange, error) {
		got.set([]string{mechanism + " " + p.Session})
		return &scriptedExchange{step: func(response []byte) ([]byte, pop3.Maildrop, error) {
			got.set(append(got.get(), fmt.Sprintf("%#v", response)))
			if steps++; steps < 3 {
				return []byte(strings.Repeat("c", steps-1)), nil, nil
			}
			return nil, &scriptedDrop{messages: 7}, nil
		}}, nil
	}}
	k := newKeeper(t, b)
	c := &Client{Path: k.path}
	x, err := c.SASL(background, peer, "SCRAM-SHA-256")
	if err != nil {
		t.Fatal(err)
	}
	for i, response := range [][]byte{nil, {}, make([]byte, maxResponse)} {
		challenge, m, err := x.Step(background, response)
		if err != nil || (m != nil) != (i == 2) || (challenge != nil) != (i < 2) || len(challenge) != i%2 {
			t.Fatalf("step %d: %q, %v, %v", i, challenge, m, err)
		}
		if m != nil {
			defer m.Close()
		}
	}
	if x.User() != "alice" {
		t.Errorf("user %q", x.User())
	}
	if err := x.Close(); err != nil { // the maildrop stays
		t.Error(err)
	}
	want := []string{"SCRAM-SHA-256 " + peer.Session, "[]byte(nil)", "[]byte{}", fmt.Sprintf("%#v", make([]byte, maxResponse))}
	if got := got.get(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%.200v", got)
	}
	if n := len(k.Sessions()); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

type scriptedExchange struct {
	step func(response []byte) ([]byte, pop3.Maildrop, error)
}

func (x *scriptedExchange) Step(_ context.Context, r []byte) ([]byte, pop3.Maildrop, error) {
	return x.step(r)
}
func (x *scriptedExchange) User() string { return "alice" }
func (x *scriptedExchange) Close() error { return nil }

// TestTooLong: what no account has is refused without asking the keeper.
func TestTooLong(t *testing.T) {
	c := &Client{Path: "/none"}
	long := strings.Repeat("x", maxSecret+1)
	_, err1 := c.Password(background, peer, long, "")
	_, err2 := c.Password(background, peer, "", long)
	_, err3 := c.APOP(background, peer, "", long, "")
	_, err4 := c.SASL(background, peer, long)
	_, _, err5 := (&exchange{client: c}).Step(background, make([]byte, maxResponse+1))
	for i, err := range []error{err1, err2, err3, err4, err5} {
		if !errors.Is(err, pop3.ErrCredentials) {
			t.Errorf("%d: %v", i+1, err)
		}
	}
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

// TestLoginDeadline: the keeper's context ends when the front's does, or when
// MaxLogin has passed.
func TestLoginDeadline(t *testing.T) {
	var remaining noted[time.Duration]
	var cause noted[error]
	b := &scripted{password: func(ctx context.Context, _ pop3.Peer, _, wait string) (pop3.Maildrop, error) {
		deadline, _ := ctx.Deadline()
		remaining.set(time.Until(deadline))
		if wait == "wait" {
			<-ctx.Done()
			cause.set(ctx.Err())
		}
		return nil, pop3.ErrCredentials
	}}
	k := newKeeper(t, b)
	c := &Client{Path: k.path}
	for _, want := range []time.Duration{0, 20 * time.Second, 2 * MaxLogin} {
		ctx, cancel := context.WithTimeout(background, want)
		if want == 0 {
			ctx = background
		}
		if want == 0 || want > MaxLogin {
			want = MaxLogin
		}
		if _, err := c.Password(ctx, peer, "alice", ""); !errors.Is(err, pop3.ErrCredentials) {
			t.Fatal(err)
		}
		cancel()
		if left := remaining.get(); left > want || left < want-patience {
			t.Errorf("%v are left of %v", left, want)
		}
	}
	ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	if _, err := c.Password(ctx, peer, "alice", "wait"); !errors.Is(err, pop3.ErrTemporary) && !errors.Is(err, pop3.ErrCredentials) {
		t.Error(err)
	}
	waitFor(t, "told", func() bool { return strings.Count(k.events.String(), "login") == 4 })
	if cause := cause.get(); !errors.Is(cause, context.DeadlineExceeded) {
		t.Errorf("cause %v", cause)
	}
}

// TestLateLogin: a login that succeeds when the front has given up leaves
// nothing open.
func TestLateLogin(t *testing.T) {
	release := make(chan struct{})
	b := &scripted{password: func(context.Context, pop3.Peer, string, string) (pop3.Maildrop, error) {
		<-release
		return &scriptedDrop{}, nil
	}}
	k := newKeeper(t, b)
	ctx, cancel := context.WithTimeout(background, 10*time.Millisecond)
	defer cancel()
	if _, err := (&Client{Path: k.path}).Password(ctx, peer, "alice", ""); !errors.Is(err, pop3.ErrTemporary) {
		t.Error(err)
	}
	close(release)
}

// TestBackends: another backend is for logins from then on, and before the first
// one they fail.
func TestBackends(t *testing.T) {
	k := &keeper{TB: t, Server: &Server{}}
	k.folder()
	k.serve(alice())
	t.Cleanup(k.stop)
	c := &Client{Path: k.path}
	old := logIn(t, c)
	defer old.Close()
	k.SetBackend(dropFor(&scriptedDrop{messages: 77}))
	m := logIn(t, c)
	defer m.Close()
	if n, _ := m.Stat(); n != 77 {
		t.Errorf("%d messages", n)
	}
	r, _, err := old.Open(background, 2)
	if err != nil {
		t.Fatalf("the session before: %v", err)
	}
	_ = r.Close()
	k.backend.Store(nil)
	if _, err := c.Password(background, peer, "alice", "secret"); !errors.Is(err, pop3.ErrTemporary) || !Told(err) {
		t.Errorf("without a backend: %v", err)
	}
}

// TestSessions: those that are logged in are listed.
func TestSessions(t *testing.T) {
	k := newKeeper(t, alice())
	c := &Client{Path: k.path}
	dialRaw(t, k)
	m := logIn(t, c)
	list := k.Sessions()
	if len(list) != 1 || list[0].User != "alice" || list[0].Peer != peer || time.Since(list[0].Since) > patience {
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
	k := newKeeper(t, newFileBackend(t, 100_000))
	t.Run("wait", func(t *testing.T) {
		t.Run("silent", func(t *testing.T) {
			t.Parallel()
			f := dialRaw(t, k)
			_ = f.SetDeadline(time.Now().Add(firstWait + patience))
			f.hearEnd()
		})
		t.Run("deaf", func(t *testing.T) {
			t.Parallel()
			f := dialRaw(t, k)
			f.say(loginPacket("alice", "secret"))
			f.hear(verbLoggedIn)
			for range 100 {
				f.say(request(verbUIDLs, 0, 100_000))
			}
			waitForLong(t, func() bool { return len(k.Sessions()) == 0 })
		})
	})
	if told := k.events.String(); strings.Count(told, "within 10s") != 2 {
		t.Errorf("told: %s", told)
	}
}

func waitForLong(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(sendWait + patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come about")
		}
	}
}
