package pop3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidepop/pop3"
)

// hooked calls a function before each call of the backend's methods.
type hooked struct {
	pop3.Backend
	before func(call string)
}

type hookedDrop struct {
	pop3.Maildrop
	h hooked
}

type hookedExchange struct {
	pop3.Exchange
	h hooked
}

func (h hooked) drop(m pop3.Maildrop, err error) (pop3.Maildrop, error) {
	if m == nil {
		return nil, err
	}
	return hookedDrop{m, h}, err
}

func (h hooked) Offer(p pop3.Peer) pop3.Offer { h.before("Offer"); return h.Backend.Offer(p) }

func (h hooked) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	h.before("Password")
	return h.drop(h.Backend.Password(ctx, p, user, password))
}

func (h hooked) SASL(ctx context.Context, p pop3.Peer, mechanism string) (pop3.Exchange, error) {
	h.before("SASL")
	x, err := h.Backend.SASL(ctx, p, mechanism)
	return hookedExchange{x, h}, err
}

func (x hookedExchange) Step(ctx context.Context, response []byte) ([]byte, pop3.Maildrop, error) {
	x.h.before("Step")
	challenge, m, err := x.Exchange.Step(ctx, response)
	m, err = x.h.drop(m, err)
	return challenge, m, err
}

func (d hookedDrop) Stat() (int, int64) { d.h.before("Stat"); return d.Maildrop.Stat() }
func (d hookedDrop) User() string       { d.h.before("User"); return d.Maildrop.User() }
func (d hookedDrop) Close() error {
	err := d.Maildrop.Close()
	d.h.before("Close")
	return err
}

func (d hookedDrop) Octets(ctx context.Context, first, n int) iter.Seq2[int64, error] {
	return hookedEach(d.h, "Octets", d.Maildrop.Octets(ctx, first, n))
}

func (d hookedDrop) UIDLs(ctx context.Context, first, n int) iter.Seq2[string, error] {
	return hookedEach(d.h, "UIDLs", d.Maildrop.UIDLs(ctx, first, n))
}

// hookedEach calls the function before each message.
func hookedEach[T any](h hooked, call string, values iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v, err := range values {
			if h.before(call); !yield(v, err) {
				return
			}
		}
	}
}

func (d hookedDrop) Open(ctx context.Context, i int) (io.ReadCloser, int64, error) {
	d.h.before("Open")
	return d.Maildrop.Open(ctx, i)
}

func (d hookedDrop) Commit(ctx context.Context, remove, retrieved []int) (int, error) {
	d.h.before("Commit")
	return d.Maildrop.Commit(ctx, remove, retrieved)
}

// A panic anywhere in the backend ends one session, gives up what it holds, and
// leaves the others alone.
func TestPanicInTheBackend(t *testing.T) {
	for _, call := range []string{"Offer", "Password", "SASL", "Step", "Stat", "User", "Octets", "UIDLs", "Open", "Commit", "Close"} {
		t.Run(call, func(t *testing.T) {
			var armed atomic.Bool
			b := alice("a\n", "b\n")
			b.Accounts = pop3.NewAccounts(2, 0)
			h := hooked{b, func(c string) {
				if c == call && armed.CompareAndSwap(true, false) {
					panic("a defect")
				}
			}}
			events := newRecord()
			address := serve(t, &pop3.Server{Backend: h, Events: events})
			other := dial(t, address)
			other.login()
			c := dial(t, address)
			c.hear(`\+OK .*`)
			armed.Store(true)
			login := "USER alice\r\nPASS secret"
			if call == "SASL" || call == "Step" {
				login = "AUTH PLAIN AGFsaWNlAHNlY3JldA=="
			}
			c.say(login, "LIST", "UIDL", "RETR 1", "DELE 1", "QUIT")
			_, _ = io.ReadAll(c.in)
			_ = c.Close()
			if s := events.summary(t); call != "Close" && s.Reason != pop3.ReasonFault {
				t.Errorf("the summary is %+v", s)
			}
			if log := events.String(); !strings.Contains(log, "a defect") {
				t.Errorf("the log is\n%s", log)
			}
			again := dial(t, address)
			again.login() // so the maildrop is free
			other.say("NOOP")
			other.hear(`\+OK .*`)
		})
	}
}

// Whatever ended a session, its account is free when the client hears of it.
func TestMaildropIsFreeAtTheEnd(t *testing.T) {
	for name, ending := range map[string]struct {
		say, hear string
		limits    pop3.Limits
	}{
		"quit":         {"QUIT", `\+OK 0 messages removed`, pop3.Limits{}},
		"bad commands": {"XYZ", `-ERR too many bad commands`, pop3.Limits{BadCommands: 1}},
		"idle":         {"NOOP", `\+OK nothing done`, pop3.Limits{Idle: 50 * time.Millisecond}},
		"flood":        {strings.Repeat("x", 70_000), `-ERR line too long`, pop3.Limits{}},
	} {
		t.Run(name, func(t *testing.T) {
			b := alice("a\n")
			b.Accounts = pop3.NewAccounts(1, 0)
			address := serve(t, &pop3.Server{Backend: b, Settings: pop3.Settings{Limits: ending.limits}})
			c := dial(t, address)
			c.login()
			c.say(ending.say)
			c.hear(ending.hear)
			if name == "idle" {
				c.hear(`-ERR .*`)
			}
			again := dial(t, address)
			again.login()
		})
	}
}

func TestRemovalThatFailsWithoutReason(t *testing.T) {
	f := &faulty{Backend: alice("a\n", "b\n"), remove: func([]int) (int, error) { return 2, nil }}
	c := dial(t, serve(t, &pop3.Server{Backend: f}))
	c.login()
	c.say("DELE 1", "DELE 2", "QUIT")
	c.hear(`\+OK .*`)
	c.hear(`\+OK .*`)
	c.hear(`-ERR \[SYS/TEMP\] 2 of 2 deleted messages were not removed`)
}

// A client that reads slowly has no more time to log in than any other.
func TestLoginTimeHoldsForWritesToo(t *testing.T) {
	events := newRecord()
	c := dial(t, serve(t, &pop3.Server{Backend: alice(), Events: events, Settings: pop3.Settings{Limits: pop3.Limits{Login: 200 * time.Millisecond, Write: time.Hour, BadCommands: 1 << 30}}}))
	c.hear(`\+OK .*`)
	go func() {
		for { // reads nothing
			if _, err := io.WriteString(c.Conn, strings.Repeat("CAPA\r\n", 1000)); err != nil {
				return
			}
		}
	}()
	if s := events.summary(t); s.Duration > 5*time.Second {
		t.Errorf("it took %v: %s", s.Duration, s.Reason)
	}
}

// The backend learns when a login must be over.
func TestLoginContextEnds(t *testing.T) {
	f := waiting{alice(), make(chan struct{})}
	events := newRecord()
	c := dial(t, serve(t, &pop3.Server{Backend: f, Events: events, Settings: pop3.Settings{Limits: pop3.Limits{Login: 100 * time.Millisecond}}}))
	c.hear(`\+OK .*`)
	c.say("USER alice", "PASS secret")
	c.hear(`\+OK .*`)
	c.hear(`-ERR \[SYS/TEMP\] .*`)
	if log := events.String(); !strings.Contains(log, context.DeadlineExceeded.Error()) {
		t.Errorf("the log is\n%s", log)
	}
}

// waiting is a backend that takes for ever.
type waiting struct {
	pop3.Backend
	begun chan struct{}
}

func (w waiting) Password(ctx context.Context, _ pop3.Peer, _, _ string) (pop3.Maildrop, error) {
	close(w.begun)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestShutdownInTheMiddle(t *testing.T) {
	expired, cancel := context.WithCancel(context.Background())
	cancel()
	t.Run("of a message that nobody reads", func(t *testing.T) {
		s := &pop3.Server{Backend: alice(strings.Repeat("line\n", 4_000_000))}
		c := dial(t, serve(t, s))
		c.login()
		c.say("RETR 1")
		c.hear(`\+OK .*`)
		begun := time.Now()
		if err := s.Shutdown(expired); err != context.Canceled || time.Since(begun) > patience/2 {
			t.Errorf("it took %v: %v", time.Since(begun), err)
		}
	})
	t.Run("of a handshake", func(t *testing.T) {
		s := &pop3.Server{Backend: alice(), Settings: pop3.Settings{TLS: serverTLS}}
		events := newRecord()
		s.Events = events
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go s.ServeTLS(l)
		dial(t, l.Addr().String())
		waitFor(t, func() bool { return events.String() == "connected" })
		if err := s.Shutdown(expired); err != context.Canceled {
			t.Error(err)
		}
		if sum := events.summary(t); sum.Reason != pop3.ReasonShutdown {
			t.Errorf("the summary is %+v", sum)
		}
	})
	t.Run("of a login", func(t *testing.T) {
		w := waiting{alice(), make(chan struct{})}
		s := &pop3.Server{Backend: w}
		c := dial(t, serve(t, s))
		c.hear(`\+OK .*`)
		c.say("USER alice", "PASS secret")
		<-w.begun
		_ = s.Shutdown(expired) // returns although the login would take minutes
	})
	t.Run("of a removal", func(t *testing.T) {
		begun, finish := make(chan struct{}), make(chan struct{})
		b := alice("a\n")
		f := &faulty{Backend: b, remove: func([]int) (int, error) { close(begun); <-finish; return 0, nil }}
		s := &pop3.Server{Backend: f}
		c := dial(t, serve(t, s))
		c.login()
		c.say("DELE 1", "QUIT")
		c.hear(`\+OK .*`)
		<-begun
		var over sync.WaitGroup
		over.Go(func() { _ = s.Shutdown(expired) })
		time.Sleep(2500 * time.Millisecond) // until others would be cut off
		close(finish)
		c.hear(`\+OK 1 messages removed`)
		over.Wait()
	})
}

// The dot of every multi-line answer comes with the line before it, whatever
// lies in the buffer already.
func TestDotNeverStandsAlone(t *testing.T) {
	for shift := range 12 {
		c, conn := connect(t, &pop3.Server{Backend: alice("a\n")})
		c.hear(`\+OK .*`)
		c.say(append([]string{"LANG " + strings.Repeat("x", shift)}, strings.Split(strings.Repeat("CAPA LANG AUTH ", 300), " ")...)...)
		c.say("USER alice", "PASS secret", "QUIT")
		if _, err := io.ReadAll(c.in); err != nil {
			t.Fatal(err)
		}
		conn.mu.Lock()
		for i, w := range conn.writes {
			if s := string(w); strings.HasPrefix(s, ".\r\n") || strings.HasSuffix(s, "\r\n.") || strings.HasSuffix(s, "\r\n.\r") {
				t.Errorf("shift %d: write %d splits a dot from its line", shift, i)
			}
		}
		conn.mu.Unlock()
	}
}

// A listing ends with the connection.
func TestListingStopsWithTheConnection(t *testing.T) {
	var asked atomic.Int64
	h := hooked{alice(make([]string, 300_000)...), func(call string) {
		if call == "Octets" {
			asked.Add(1)
		}
	}}
	c, conn := connect(t, &pop3.Server{Backend: h})
	c.login()
	conn.broken.Store(true)
	c.say("LIST")
	_, _ = io.ReadAll(c.in)
	if n := asked.Load(); n > 20_000 {
		t.Errorf("%d messages were listed to nobody", n)
	}
}

func TestShrunkMessageWithoutUTF8Mode(t *testing.T) {
	f := &faulty{Backend: alice("a\n"), body: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("half a message"), &endless{0})), nil
	}}
	c := dial(t, serve(t, &pop3.Server{Backend: f}))
	c.login()
	c.say("RETR 1")
	c.hear(`\+OK .*`)
	if rest, _ := io.ReadAll(c.in); strings.Contains(string(rest), ".\r\n") {
		t.Errorf("the client gets %q", rest)
	}
}

func TestHandshakeFailureIsTold(t *testing.T) {
	events := newRecord()
	c := dial(t, serve(t, &pop3.Server{Backend: alice(), Events: events, Settings: pop3.Settings{TLS: serverTLS}}))
	c.hear(`\+OK .*`)
	c.say("STLS")
	c.hear(`\+OK .*`)
	wrong := clientTLS.Clone()
	wrong.MaxVersion, wrong.MinVersion = tls.VersionTLS11, tls.VersionTLS10
	if err := tls.Client(c.Conn, wrong).Handshake(); err == nil {
		t.Error("a TLS 1.1 client was served")
	}
	if s := events.summary(t); s.Reason != pop3.ReasonHandshake || s.Err == nil || errors.Is(s.Err, io.EOF) {
		t.Errorf("the summary is %+v", s)
	}
}

// committing notes what a session's Commit was given.
type committing struct {
	pop3.Backend
	given chan [2][]int
}

type committingDrop struct {
	pop3.Maildrop
	c committing
}

func (c committing) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	m, err := c.Backend.Password(ctx, p, user, password)
	return committingDrop{m, c}, err
}

func (d committingDrop) Commit(ctx context.Context, remove, retrieved []int) (int, error) {
	d.c.given <- [2][]int{remove, retrieved}
	return d.Maildrop.Commit(ctx, remove, retrieved)
}

// QUIT tells what to remove and what was read, and RSET takes back deletions
// alone; TOP reads nothing.
func TestCommit(t *testing.T) {
	b := committing{alice("a\n", "b\n", "c\n", "d\n"), make(chan [2][]int, 1)}
	c := dial(t, serve(t, &pop3.Server{Backend: b}))
	c.login()
	c.say("DELE 4", "RETR 1", "RSET", "RETR 2", "TOP 3 9", "DELE 2", "QUIT")
	_, _ = io.ReadAll(c.in)
	if got := <-b.given; !slices.Equal(got[0], []int{1}) || !slices.Equal(got[1], []int{0}) {
		t.Errorf("to be removed %v, retrieved %v", got[0], got[1])
	}
}
