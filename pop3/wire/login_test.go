package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sidepop/pop3"
)

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
