package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// rawKeeper answers as a test tells it to.
type rawKeeper struct {
	testing.TB
	path string
}

// newRawKeeper serves each connection with serve, and then closes it.
func newRawKeeper(t testing.TB, serve func(c *conn)) *rawKeeper {
	t.Helper()
	k := &keeper{TB: t}
	k.folder()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: k.path})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			u, err := l.AcceptUnix()
			if err != nil {
				return
			}
			c, err := newConn(u)
			if err == nil {
				_ = c.SetDeadline(time.Now().Add(patience))
				serve(c)
			}
			_ = u.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return &rawKeeper{t, k.path}
}

// stage is something that a front asks, with the answer that would be right.
type stage struct {
	name        string
	asks        int // packets that make the request
	answer      []byte
	descriptors int
	ask         func(ctx context.Context, c *Client) error
}

var rightLogin = loginAnswer(3, 0, 0)

// loginAnswer is of alice with so many messages and the octets of two listings.
func loginAnswer(numbers ...int) []byte {
	p := appendUint(appendUint(appendBytes(request(verbLoggedIn), "alice"), numbers[0]), 44)
	return appendUint(appendUint(p, numbers[1]), numbers[2])
}

func inSession(ask func(ctx context.Context, m pop3.Maildrop) error) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		m, err := c.Password(background, peer, "alice", "secret")
		if err != nil {
			return fmt.Errorf("login: %v", err)
		}
		defer m.Close()
		return ask(ctx, m)
	}
}

var stages = []stage{
	{"login", 1, rightLogin, 0, func(ctx context.Context, c *Client) error {
		m, err := c.Password(ctx, peer, "alice", "secret")
		if err == nil {
			_ = m.Close()
		}
		return err
	}},
	{"login with a listing", 1, loginAnswer(minListing, 0, 1000), 1, func(ctx context.Context, c *Client) error {
		m, err := c.Password(ctx, peer, "alice", "secret")
		if err != nil {
			return err
		}
		defer m.Close()
		r, err := m.(pop3.Lister).Listing(ctx, pop3.ListUIDLs)
		if err != nil || r == nil {
			return fmt.Errorf("the listing: %v, %v", r, err)
		}
		return r.Close()
	}},
	{"SASL", 1, appendBytes(request(verbChallenge), "x"), 0, func(ctx context.Context, c *Client) error {
		x, err := c.SASL(ctx, peer, "PLAIN")
		if err != nil {
			return err
		}
		defer x.Close()
		_, _, err = x.Step(ctx, nil)
		return err
	}},
	{"octets", 1, request(verbOctetsAre, 1000, 14, 16), 0, inSession(func(ctx context.Context, m pop3.Maildrop) error {
		for _, err := range m.Octets(ctx, 0, 3) {
			if err != nil {
				return err
			}
		}
		return nil
	})},
	{"UIDLs", 1, appendBytes(appendBytes(request(verbUIDLsAre), "a"), "b"), 0, inSession(func(ctx context.Context, m pop3.Maildrop) error {
		for _, err := range m.UIDLs(ctx, 1, 2) {
			if err != nil {
				return err
			}
		}
		return nil
	})},
	{"open", 1, request(verbOpened, 1000, 1000), 1, inSession(func(ctx context.Context, m pop3.Maildrop) error {
		f, _, err := m.Open(ctx, 0)
		if err == nil {
			_ = f.Close()
		}
		return err
	})},
	{"listing", 1, request(verbListingIs, 1000), 1, inSession(func(ctx context.Context, m pop3.Maildrop) error {
		m.(*maildrop).messages = minListing
		r, err := m.(pop3.Lister).Listing(ctx, pop3.ListUIDLs)
		if err == nil {
			_ = r.Close()
		}
		return err
	})},
	{"no listing", 1, request(verbListingIs, 0), 0, inSession(func(ctx context.Context, m pop3.Maildrop) error {
		m.(*maildrop).messages = minListing
		r, err := m.(pop3.Lister).Listing(ctx, pop3.ListUIDLs)
		if err == nil && r != nil {
			_ = r.Close()
			return errors.New("a listing")
		}
		return err
	})},
	{"commit", 3, request(verbCommitted, 0), 0, inSession(func(ctx context.Context, m pop3.Maildrop) error {
		failed, err := m.Commit(ctx, []int{0, 2}, []int{1})
		if err != nil && failed != 2 {
			return fmt.Errorf("%d failed: %v", failed, err)
		}
		return err
	})},
}

// begun says that a login comes before.
func (s stage) begun() bool { return !strings.HasPrefix(s.name, "login") && s.name != "SASL" }

// run has a keeper answer a stage with packet and n descriptors of a file.
func (s stage) run(t *testing.T, ctx context.Context, packet []byte, n int) error {
	t.Helper()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	k := newRawKeeper(t, func(c *conn) {
		if s.asks > 0 && s.begun() {
			if in, err := c.receive(false); err != nil || c.send(rightLogin, nil) != nil {
				t.Errorf("login: %v", err)
			} else {
				in.free()
			}
		}
		for range s.asks {
			in, err := c.receive(false)
			if err != nil {
				t.Errorf("request: %v", err)
				return
			}
			in.free()
		}
		if packet == nil {
			return
		}
		var control []byte
		if n > 0 {
			descriptors := make([]int, n)
			for i := range descriptors {
				descriptors[i] = int(file.Fd())
			}
			control = unix.UnixRights(descriptors...)
		}
		if err := c.send(packet, control); err != nil {
			t.Errorf("answer: %v", err)
		}
	})
	return s.ask(ctx, &Client{Path: k.path})
}

// TestHostileKeeper: whatever a keeper answers, or if it goes away, the session
// has its error, and no descriptor stays.
func TestHostileKeeper(t *testing.T) {
	for _, s := range stages {
		t.Run(s.name, func(t *testing.T) {
			ctx := background
			if err := s.run(t, ctx, s.answer, s.descriptors); err != nil {
				t.Fatalf("with the right answer: %v", err)
			}
			bad := map[string][]byte{
				"end":                   nil,
				"other version":         append([]byte{version + 1}, s.answer[1:]...),
				"other verb":            request(verbState),
				"request":               request(verbPassword),
				"more":                  append(s.answer[:len(s.answer):len(s.answer)], 1),
				"garbage":               append(s.answer[:2:2], "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"...),
				"failure short":         request(verbFailed, 1),
				"failure with line end": appendBytes(appendBytes(request(verbFailed), ""), "no\r\n+OK"),
				"refusal with line end": appendBytes(appendBytes(request(verbRefused), ""), "no\r\n+OK"),
			}
			for n := range s.answer {
				bad[fmt.Sprint("cut at ", n)] = s.answer[:n]
			}
			delete(bad, "cut at 0") // can't be sent
			for name, packet := range bad {
				if s.name == "octets" && name == "more" {
					continue // another message's size, which is asked for
				}
				err := s.run(t, ctx, packet, s.descriptors)
				if !errors.Is(err, pop3.ErrTemporary) || Told(err) {
					t.Errorf("%s: %v", name, err)
				}
			}
			for _, n := range []int{0, 1, 2, MaxOpen, MaxOpen + 1, 100} {
				if n == s.descriptors {
					continue
				}
				if err := s.run(t, ctx, s.answer, n); !errors.Is(err, pop3.ErrTemporary) {
					t.Errorf("%d descriptors: %v", n, err)
				}
			}
		})
	}
}

// TestSilentKeeper: no request waits longer than its context.
func TestSilentKeeper(t *testing.T) {
	for _, s := range stages {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprint(s.name, cancelled), func(t *testing.T) {
				t.Parallel()
				over := make(chan struct{})
				k := newRawKeeper(t, func(c *conn) {
					if in, err := c.receive(false); err == nil {
						in.free()
					}
					if s.begun() {
						_ = c.send(rightLogin, nil)
					}
					<-over
				})
				ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
				defer cancel()
				if cancelled {
					ctx, cancel = context.WithCancel(background)
					time.AfterFunc(50*time.Millisecond, cancel)
				}
				begun := time.Now()
				err := s.ask(ctx, &Client{Path: k.path})
				if !errors.Is(err, pop3.ErrTemporary) || Told(err) || time.Since(begun) > patience/2 {
					t.Errorf("after %v: %v", time.Since(begun), err)
				}
				close(over)
			})
		}
	}
}

// TestNoKeeper: the front goes on without one.
func TestNoKeeper(t *testing.T) {
	c := &Client{Path: filepath.Join(t.TempDir(), "none")}
	if _, err := c.Password(background, peer, "alice", "secret"); !errors.Is(err, pop3.ErrTemporary) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v", err)
	}
	if o := c.Offer(pop3.Peer{Secure: true}); !o.Password || o.APOP || o.SASL != nil {
		t.Errorf("%+v", o)
	}
	if o := c.Offer(pop3.Peer{}); o.Password {
		t.Errorf("%+v", o)
	}
	if c.HasCertificates() {
		t.Error("certificates")
	}
	if _, err := c.Certificate(nil); err == nil {
		t.Error("a certificate")
	}
}

// TestBrokenSession: after a broken answer nothing else is asked on the
// connection.
func TestBrokenSession(t *testing.T) {
	k := newRawKeeper(t, func(c *conn) {
		for _, answer := range [][]byte{rightLogin, request(verbState), request(verbCommitted, 0)} {
			in, err := c.receive(false)
			if errors.Is(err, io.EOF) && answer[1] == byte(verbCommitted) {
				return
			}
			if err != nil || answer[1] == byte(verbCommitted) {
				t.Errorf("%v: %q", err, in.packet)
				return
			}
			in.free()
			_ = c.send(answer, nil)
		}
	})
	m := logIn(t, &Client{Path: k.path})
	if _, _, err := m.Open(background, 0); !errors.Is(err, pop3.ErrTemporary) {
		t.Errorf("open: %v", err)
	}
	if failed, err := m.Commit(background, []int{1}, nil); failed != 1 || !errors.Is(err, pop3.ErrTemporary) {
		t.Errorf("commit: %d, %v", failed, err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
