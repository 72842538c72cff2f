package pop3_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidepop/pop3"
	"sidepop/pop3/internal/dialog"
	"sidepop/pop3/memory"
)

var serverTLS, clientTLS = dialog.TLS()

const patience = 10 * time.Second

// record keeps the events of a server.
type record struct {
	mu     sync.Mutex
	lines  []string
	closed chan pop3.Summary
}

func newRecord() *record { return &record{closed: make(chan pop3.Summary, 1000)} }

func (r *record) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

func (r *record) AcceptFailed(a net.Addr, err error)            { r.add("accept %v %v", a, err) }
func (r *record) Refused(p pop3.Peer, reason error)             { r.add("refused %v", reason) }
func (r *record) Connected(p pop3.Peer)                         { r.add("connected") }
func (r *record) LoggedIn(p pop3.Peer, mechanism, user string)  { r.add("login %s %s", mechanism, user) }
func (r *record) LoginFailed(p pop3.Peer, m, u string, e error) { r.add("failed %s %s: %v", m, u, e) }
func (r *record) Failed(p pop3.Peer, u, command string, e error) {
	r.add("fault %s %s: %v", u, command, e)
}
func (r *record) Closed(p pop3.Peer, s pop3.Summary) {
	r.add("closed %s %s: %s", s.User, s.Mechanism, s.Reason)
	r.closed <- s
}

func (r *record) summary(t *testing.T) pop3.Summary {
	t.Helper()
	select {
	case s := <-r.closed:
		return s
	case <-time.After(patience):
		t.Fatal("no session ended")
		return pop3.Summary{}
	}
}

// client is the other end.
type client struct {
	*testing.T
	net.Conn
	in *bufio.Reader
}

func (c *client) say(lines ...string) {
	c.Helper()
	if _, err := io.WriteString(c.Conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		c.Fatal(err)
	}
}

func (c *client) hear(want string) {
	c.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil || !regexp.MustCompile("^(?:"+want+")\r\n$").MatchString(line) {
		c.Fatalf("the server says %q, %v, not %s", line, err, want)
	}
}

func (c *client) hearEnd() {
	c.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.Fatalf("instead of the end: %.100q, %v", rest, err)
	}
}

// multiline reads the rest of a multi-line answer, dots removed.
func (c *client) multiline() string {
	c.Helper()
	var b strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.Fatal(err)
		}
		if line == ".\r\n" {
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &client{t, conn, bufio.NewReader(conn)}
}

// serve runs s on a loopback address until the test ends.
func serve(t *testing.T, s *pop3.Server) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ledger := dialog.NewLedger(s.Backend)
	s.Backend = ledger
	result := make(chan error, 1)
	go func() { result <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
		if err := <-result; err != pop3.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
		ledger.Check(t)
	})
	return l.Addr().String()
}

func alice(messages ...string) *memory.Backend {
	b := memory.New()
	b.Add("alice", "secret", messages...)
	return b
}

func (c *client) login() {
	c.Helper()
	c.hear(`\+OK POP3 ready`)
	c.say("USER alice", "PASS secret")
	c.hear(`\+OK send PASS`)
	c.hear(`\+OK \d+ messages \(\d+ octets\)`)
}

// counted counts and keeps what is written to it.
type counted struct {
	*net.TCPConn
	mu     sync.Mutex
	writes [][]byte
	broken atomic.Bool
}

func (c *counted) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, errors.New("broken wire")
	}
	c.mu.Lock()
	c.writes = append(c.writes, bytes.Clone(p))
	c.mu.Unlock()
	return c.TCPConn.Write(p)
}

// connect makes one connection to s whose writes are counted.
func connect(t *testing.T, s *pop3.Server) (*client, *counted) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := dial(t, l.Addr().String())
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	counting := &counted{TCPConn: conn.(*net.TCPConn)}
	ledger := dialog.NewLedger(s.Backend)
	s.Backend = ledger
	done := make(chan struct{})
	go func() { defer close(done); s.ServeConn(counting, false) }()
	t.Cleanup(func() { c.Close(); <-done; ledger.Check(t) })
	return c, counting
}

func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come about")
		}
	}
}
