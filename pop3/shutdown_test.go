package pop3_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidepop/pop3"
)

// pipes is a listener of connections within this process, which go by the clock of a
// bubble.
type pipes struct {
	ends   chan net.Conn
	closed chan struct{}
}

func (l pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.ends:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipes) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (l pipes) dial(t *testing.T) *client {
	mine, other := net.Pipe()
	l.ends <- other
	return &client{t, mine, bufio.NewReader(mine)}
}

// ending is what a client sees of a server that begins to end.
type ending struct {
	before func(*client)
	after  func(*client) // up to what the server says last, which is not read
	last   string        // "": the client has left
	from   time.Duration // since the beginning, when that is said
	left   int           // messages
	err    error         // of Shutdown, which may take shutdownTime
}

const (
	shutdownTime = 20 * time.Second

	toldToLeave = `-ERR \[SYS/TEMP\] the server is shutting down`
)

func ok(c *client, commands ...string) {
	for _, command := range commands {
		c.say(command)
		c.hear(`\+OK .*`)
	}
}

// slowly reads a message that takes longer than the patience with silence.
func slowly(c *client) {
	c.Helper()
	c.hear(`\+OK \d+ octets`)
	for range 10 {
		time.Sleep(time.Second)
		if _, err := io.CopyN(io.Discard, c.in, pop3.OutBuffer/2); err != nil {
			c.Fatal(err)
		}
	}
	c.multiline()
}

var endings = map[string]ending{
	"a session that is idle": {
		before: func(c *client) { c.login(); ok(c, "DELE 1") },
		last:   toldToLeave, from: 3 * time.Second, left: 2,
	},
	"one that has been idle": {
		before: func(c *client) { c.login(); ok(c, "DELE 1"); time.Sleep(time.Minute) },
		last:   toldToLeave, from: 3 * time.Second, left: 2,
	},
	"between DELE and QUIT": {
		before: func(c *client) { c.login(); ok(c, "DELE 1") },
		after:  func(c *client) { time.Sleep(2 * time.Second); c.say("QUIT") },
		last:   `\+OK 1 messages removed`, from: 2 * time.Second, left: 1,
	},
	"one command after the other": {
		before: func(c *client) { c.login() },
		after: func(c *client) {
			for _, command := range []string{"STAT", "DELE 1", "NOOP", "NOOP", "DELE 2"} {
				time.Sleep(2 * time.Second)
				ok(c, command)
			}
			time.Sleep(2 * time.Second)
			c.say("QUIT")
		},
		last: `\+OK 2 messages removed`, from: 12 * time.Second,
	},
	"commands that never end": {
		before: func(c *client) { c.login(); ok(c, "DELE 1") },
		after: func(c *client) {
			for range 9 {
				time.Sleep(2 * time.Second)
				ok(c, "NOOP")
			}
		},
		last: toldToLeave, from: shutdownTime, left: 2, err: context.DeadlineExceeded,
	},
	"a message that is read slowly": {
		before: func(c *client) { c.login(); c.say("RETR 1") },
		after:  func(c *client) { slowly(c); ok(c, "DELE 1"); c.say("QUIT") },
		last:   `\+OK 1 messages removed`, from: 10 * time.Second, left: 1,
	},
	"silence after such a message": {
		before: func(c *client) { c.login(); c.say("RETR 1") },
		after:  slowly,
		last:   toldToLeave, from: 13 * time.Second, left: 2,
	},
	"what was sent in one go": {
		before: func(c *client) { c.login(); c.say("RETR 1", "DELE 1", "RETR 1", "DELE 2", "QUIT") },
		after: func(c *client) {
			slowly(c)
			c.hear(`\+OK message 1 marked`)
			c.hear(`-ERR .*`)
			c.hear(`\+OK message 2 marked`)
		},
		last: `\+OK 2 messages removed`, from: 10 * time.Second,
	},
	"a command without an end": {
		before: func(c *client) { c.login() },
		after: func(c *client) {
			for range 2 {
				time.Sleep(time.Second)
				_, _ = io.WriteString(c, "N")
			}
		},
		last: toldToLeave, from: 3 * time.Second, left: 2,
	},
	"nobody who logs in": {
		before: func(c *client) { c.hear(`\+OK POP3 ready`) },
		after:  func(c *client) { time.Sleep(4 * time.Second); c.say("USER alice"); c.hear(`\+OK .*`) },
		last:   toldToLeave, from: 5 * time.Second, left: 2,
	},
	"half a login": {
		before: func(c *client) {
			c.hear(`\+OK POP3 ready`)
			c.say("AUTH PLAIN")
			c.hear(`\+ `)
		},
		last: toldToLeave, from: 5 * time.Second, left: 2,
	},
	"a login after its beginning": {
		before: func(*client) {},
		after: func(c *client) {
			time.Sleep(4 * time.Second)
			c.login()
			time.Sleep(2 * time.Second)
			ok(c, "DELE 2")
			c.say("QUIT")
		},
		last: `\+OK 1 messages removed`, from: 6 * time.Second, left: 1,
	},
	"a client that leaves": {
		before: func(c *client) { c.login(); ok(c, "DELE 1") },
		after:  func(c *client) { time.Sleep(time.Second); _ = c.Close() },
		from:   time.Second, left: 2,
	},
}

// TestShutdown: at its end a server waits for those who are at something, not for
// those who are silent, and for none longer than it may.
func TestShutdown(t *testing.T) {
	const near = 100 * time.Millisecond
	for name, e := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := alice(strings.Repeat("a line\n", 7*pop3.OutBuffer/8), "b\n")
				s := &pop3.Server{Backend: b, Settings: pop3.Settings{AllowPlaintext: true}}
				l := pipes{make(chan net.Conn), make(chan struct{})}
				served := make(chan error, 1)
				go func() { served <- s.Serve(l) }()
				c := l.dial(t)
				e.before(c)
				synctest.Wait()

				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), shutdownTime)
				defer cancel()
				over := make(chan error, 1)
				go func() { over <- s.Shutdown(ctx) }()
				synctest.Wait()
				if err := <-served; err != pop3.ErrServerClosed {
					t.Errorf("Serve returned %v", err)
				}
				if e.after != nil {
					e.after(c)
				}
				if e.last != "" {
					c.hear(e.last)
				}
				if took := time.Since(begun); took < e.from || took > e.from+near {
					t.Errorf("it ends after %v, want %v", took, e.from)
				}
				_ = c.Close()
				if err := <-over; err != e.err {
					t.Errorf("Shutdown returned %v, want %v", err, e.err)
				}
				if took := time.Since(begun); took > e.from+near {
					t.Errorf("Shutdown took %v", took)
				}
				if left := len(b.Messages("alice")); left != e.left {
					t.Errorf("%d messages are left, want %d", left, e.left)
				}
				if err := s.Serve(l); err != pop3.ErrServerClosed {
					t.Errorf("Serve afterwards: %v", err)
				}
			})
		})
	}
}

// TestShutdownWithoutSessions waits for nothing.
func TestShutdownWithoutSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &pop3.Server{Backend: alice()}
		begun := time.Now()
		if err := s.Shutdown(t.Context()); err != nil || time.Since(begun) > 0 {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		mine, other := net.Pipe()
		go s.ServeConn(other, false)
		c := &client{t, mine, bufio.NewReader(mine)}
		c.hear(toldToLeave)
		c.hearEnd()
	})
}

// TestShutdownCutsOff: who reads nothing is cut off soon after the time is over.
func TestShutdownCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := newRecord()
		s := &pop3.Server{Backend: alice(strings.Repeat("a line\n", 1<<20)), Events: events, Settings: pop3.Settings{AllowPlaintext: true}}
		mine, other := net.Pipe()
		go s.ServeConn(other, false)
		c := &client{t, mine, bufio.NewReader(mine)}
		c.login()
		c.say("RETR 1")
		c.hear(`\+OK .*`)
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), shutdownTime)
		defer cancel()
		if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		if took := time.Since(begun); took < shutdownTime || took > shutdownTime+3*time.Second {
			t.Errorf("it took %v", took)
		}
		if sum := events.summary(t); sum.Reason != pop3.ReasonShutdown {
			t.Errorf("the summary is %+v", sum)
		}
	})
}
