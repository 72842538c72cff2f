package pop3_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"runtime"
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
	result := make(chan error, 1)
	go func() { result <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
		if err := <-result; err != pop3.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
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
	done := make(chan struct{})
	go func() { defer close(done); s.ServeConn(counting, false) }()
	t.Cleanup(func() { c.Close(); <-done })
	return c, counting
}

func TestPipelineIsAnsweredInOneWrite(t *testing.T) {
	c, conn := connect(t, &pop3.Server{Backend: alice("Subject: x\n\nbody\n")})
	c.login()
	conn.mu.Lock()
	before := len(conn.writes)
	conn.mu.Unlock()
	var commands []string
	for range 100 {
		commands = append(commands, "STAT", "RETR 1", "UIDL 1", "NOOP")
	}
	c.say(commands...)
	for range 100 {
		c.hear(`\+OK 1 20`)
		c.hear(`\+OK 20 octets`)
		c.multiline()
		c.hear(`\+OK 1 1\.memory`)
		c.hear(`\+OK nothing done`)
	}
	conn.mu.Lock()
	defer conn.mu.Unlock()
	// TCP may deliver the burst in two parts.
	if n := len(conn.writes) - before; n > 2 {
		t.Errorf("400 commands were answered in %d writes", n)
	}
}

// Some clients look for CR LF . CR LF in one read.
func TestLastLineAndDotInOneWrite(t *testing.T) {
	var sizes []int
	for d := -12; d <= 12; d++ {
		sizes = append(sizes, pop3.OutBuffer+d, 2*pop3.OutBuffer+d)
	}
	var messages []string
	for _, size := range sizes {
		messages = append(messages, strings.Repeat("x", size-2)+"\r\n", strings.Repeat("y", size))
	}
	c, conn := connect(t, &pop3.Server{Backend: alice(messages...), UTF8Headers: pop3.SendUTF8})
	c.login()
	for i, m := range messages {
		c.say(fmt.Sprintf("RETR %d", i+1))
		c.hear(`\+OK \d+ octets`)
		if got := c.multiline(); strings.TrimSuffix(got, "\r\n") != strings.TrimSuffix(m, "\r\n") {
			t.Fatalf("message %d came with %d octets", i+1, len(got))
		}
	}
	conn.mu.Lock()
	defer conn.mu.Unlock()
	dots := 0
	for _, w := range conn.writes {
		if bytes.HasSuffix(w, []byte(".\r\n")) {
			dots++
			if !bytes.HasSuffix(w, []byte("\r\n.\r\n")) {
				t.Errorf("the write of the last dot is %q", w)
			}
		}
	}
	if dots != len(messages) {
		t.Errorf("%d dots at the ends of writes for %d messages", dots, len(messages))
	}
}

// A client that asks for much and reads nothing costs one buffer.
func TestUnreadAnswersDoNotGrowMemory(t *testing.T) {
	events := newRecord()
	s := &pop3.Server{Backend: alice(strings.Repeat("0123456789\n", 100_000)), Events: events,
		Limits: pop3.Limits{Write: 500 * time.Millisecond}}
	c := dial(t, serve(t, s))
	c.login()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	for i := 0; i < 1_000_000; i++ {
		if _, err := io.WriteString(c.Conn, strings.Repeat("RETR 1\r\n", 500)); err != nil {
			break // the server reads no more
		}
		if i == 999_999 {
			t.Fatal("the server goes on reading")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("memory grew by %d octets", grown)
	}
	if got := events.summary(t); got.Reason != pop3.ReasonSlow {
		t.Errorf("the session ended: %s, %v", got.Reason, got.Err)
	}
}

func TestConnectionLimits(t *testing.T) {
	address := serve(t, &pop3.Server{Backend: alice(), Limits: pop3.Limits{Connections: 2}})
	first, second := dial(t, address), dial(t, address)
	first.hear(`\+OK POP3 ready`)
	second.hear(`\+OK POP3 ready`)
	third := dial(t, address)
	third.hear(`-ERR \[SYS/TEMP\] too many connections, try again later`)
	third.hearEnd()
	first.say("QUIT")
	first.hear(`\+OK goodbye`)
	first.hearEnd()
	waitFor(t, func() bool {
		c := dial(t, address)
		defer c.Close()
		line, _ := c.in.ReadString('\n')
		return line == "+OK POP3 ready\r\n"
	})
}

func TestAddressLimit(t *testing.T) {
	address := serve(t, &pop3.Server{Backend: alice(), Limits: pop3.Limits{PerAddress: 1}})
	dial(t, address).hear(`\+OK POP3 ready`)
	c := dial(t, address)
	c.hear(`-ERR \[SYS/TEMP\] too many connections from your address, try again later`)
	c.hearEnd()
}

func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come about")
		}
	}
}

func TestShutdown(t *testing.T) {
	b := alice("Subject: x\n\nbody\n", "Subject: y\n")
	s := &pop3.Server{Backend: b}
	address := serve(t, s)
	stranger, quick, slow := dial(t, address), dial(t, address), dial(t, address)
	stranger.hear(`\+OK POP3 ready`)
	quick.login()
	slow.login()
	quick.say("DELE 1")
	quick.hear(`\+OK .*`)
	slow.say("DELE 2")
	slow.hear(`\+OK .*`)

	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- s.Shutdown(ctx) }()
	stranger.hear(`-ERR \[SYS/TEMP\] the server is shutting down`)
	stranger.hearEnd()
	quick.say("QUIT")
	quick.hear(`\+OK 1 messages removed`)
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("a connection was accepted after the shutdown began")
	}
	cancel()
	slow.hear(`-ERR \[SYS/TEMP\] the server is shutting down`)
	slow.hearEnd()
	if err := <-result; err != context.Canceled {
		t.Errorf("Shutdown returned %v", err)
	}
	if left := len(b.Messages("alice")); left != 1 {
		t.Errorf("%d messages are left", left)
	}
}

// faulty is a backend whose maildrops fail as told.
type faulty struct {
	*memory.Backend
	refuse error                         // of logins
	body   func() (io.ReadCloser, error) // of messages
	remove func([]int) (int, error)      // of removals
}

type faultyDrop struct {
	pop3.Maildrop
	f *faulty
}

func (f *faulty) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	if f.refuse != nil {
		return nil, f.refuse
	}
	m, err := f.Backend.Password(ctx, p, user, password)
	return faultyDrop{m, f}, err
}

func (d faultyDrop) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	if d.f.body != nil {
		return d.f.body()
	}
	return d.Maildrop.Open(ctx, i)
}

func (d faultyDrop) Remove(ctx context.Context, i []int) (int, error) {
	if d.f.remove != nil {
		return d.f.remove(i)
	}
	return d.Maildrop.Remove(ctx, i)
}

func TestRemovalThatFails(t *testing.T) {
	events := newRecord()
	f := &faulty{Backend: alice("a\n", "b\n", "c\n"), remove: func([]int) (int, error) { return 2, errors.New("disk on fire") }}
	c := dial(t, serve(t, &pop3.Server{Backend: f, Events: events}))
	c.login()
	c.say("DELE 1", "DELE 2", "DELE 3", "QUIT")
	for range 3 {
		c.hear(`\+OK .*`)
	}
	c.hear(`-ERR \[SYS/TEMP\] 2 of 3 deleted messages were not removed`)
	c.hearEnd()
	s := events.summary(t)
	if s.Dele != 1 || s.Err == nil || !strings.Contains(s.Err.Error(), "disk on fire") {
		t.Errorf("the summary is %+v", s)
	}
}

// What a client has asked for in one breath with QUIT must have reached it, as
// far as anybody can know, before its messages are removed.
func TestLostConnectionBeforeRemoval(t *testing.T) {
	b := alice("a\n", "b\n")
	events := newRecord()
	c, conn := connect(t, &pop3.Server{Backend: b, Events: events})
	c.login()
	conn.broken.Store(true)
	c.say("RETR 1", "DELE 1", "RETR 2", "DELE 2", "QUIT")
	if s := events.summary(t); s.Reason != pop3.ReasonLost || s.Dele != 0 {
		t.Errorf("the summary is %+v", s)
	}
	if left := len(b.Messages("alice")); left != 2 {
		t.Errorf("%d messages are left", left)
	}
}

// endless gives so many octets and then fails.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := min(len(p), e.left)
	e.left -= n
	for i := range p[:n] {
		p[i] = "line\n"[i%5]
	}
	return n, nil
}

func TestMessageThatBreaksOffIsNotCompleted(t *testing.T) {
	for _, size := range []int{0, 100, 500_000} {
		for _, command := range []string{"RETR 1", "TOP 1 999999999"} {
			events := newRecord()
			f := &faulty{Backend: alice("a\n"), body: func() (io.ReadCloser, error) { return io.NopCloser(&endless{size}), nil }}
			c := dial(t, serve(t, &pop3.Server{Backend: f, Events: events, UTF8Headers: pop3.SendUTF8}))
			c.login()
			c.say(command)
			c.hear(`\+OK .*`)
			rest, err := io.ReadAll(c.in)
			if err != nil || bytes.Contains(rest, []byte("\n.\r\n")) || bytes.HasPrefix(rest, []byte(".\r\n")) || len(rest) < size {
				t.Errorf("%s of %d octets: %d octets came, %v, the end is %q", command, size, len(rest), err, rest[max(0, len(rest)-10):])
			}
			if s := events.summary(t); s.Reason != pop3.ReasonMessage || s.Retr != 0 || s.Top != 0 {
				t.Errorf("%s of %d octets: the summary is %+v", command, size, s)
			}
		}
	}
}

func TestErrorsAreTranslated(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{pop3.ErrCredentials, `-ERR \[AUTH\] authentication failed`},
		{fmt.Errorf("%w: user nobody is unknown", pop3.ErrCredentials), `-ERR \[AUTH\] authentication failed`},
		{fmt.Errorf("database: %w", pop3.ErrTemporary), `-ERR \[SYS/TEMP\] temporary failure, try again later`},
		{pop3.ErrPermanent, `-ERR \[SYS/PERM\] the server is not set up for this account`},
		{errors.New("open /etc/shadow: no"), `-ERR \[SYS/TEMP\] temporary failure, try again later`},
		{&pop3.Error{Text: "come back tomorrow"}, `-ERR come back tomorrow`},
	} {
		events := newRecord()
		c := dial(t, serve(t, &pop3.Server{Backend: &faulty{Backend: alice(), refuse: test.err}, Events: events}))
		c.hear(`\+OK .*`)
		c.say("USER alice", "PASS secret")
		c.hear(`\+OK .*`)
		c.hear(test.want)
		if log := events.String(); !strings.Contains(log, "failed USER alice: "+test.err.Error()) {
			t.Errorf("the log is\n%s", log)
		}
	}
}

func TestMessageThatCanNotBeOpened(t *testing.T) {
	events := newRecord()
	failure := error(pop3.ErrGone)
	f := &faulty{Backend: alice("a\n"), body: func() (io.ReadCloser, error) { return nil, failure }}
	c := dial(t, serve(t, &pop3.Server{Backend: f, Events: events}))
	c.login()
	c.say("RETR 1")
	c.hear(`-ERR the message was removed by another program`)
	failure = errors.New("input/output error")
	c.say("TOP 1 1")
	c.hear(`-ERR \[SYS/TEMP\] temporary failure, try again later`)
	c.say("STAT")
	c.hear(`\+OK 1 3`)
	if log := events.String(); !strings.Contains(log, "fault alice command: input/output error") {
		t.Errorf("the log is\n%s", log)
	}
}

func TestPanicEndsOneSession(t *testing.T) {
	events := newRecord()
	f := &faulty{Backend: alice("a\n"), body: func() (io.ReadCloser, error) { panic("a defect") }}
	address := serve(t, &pop3.Server{Backend: f, Events: events})
	other := dial(t, address)
	other.login()
	c := dial(t, address)
	c.login()
	c.say("RETR 1")
	c.hearEnd()
	if s := events.summary(t); s.Reason != pop3.ReasonFault || !strings.Contains(s.Err.Error(), "a defect") {
		t.Errorf("the summary is %+v", s)
	}
	other.say("STAT")
	other.hear(`\+OK 1 3`)
}

func TestAPOP(t *testing.T) {
	b := alice("a\n")
	b.APOPOn = true
	s := &pop3.Server{Backend: b, Hostname: "pop.example.org"}
	address := serve(t, s)
	stamps := make(map[string]bool)
	for range 3 {
		c := dial(t, address)
		line, err := c.in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		stamp := regexp.MustCompile(`<.*>`).FindString(line)
		if stamps[stamp] {
			t.Errorf("%s came twice", stamp)
		}
		stamps[stamp] = true
		sum := md5.Sum([]byte(stamp + "secret"))
		c.say("APOP alice " + hex.EncodeToString(sum[:]))
		c.hear(`\+OK 1 messages \(3 octets\)`)
	}
}

func TestEventsOfASession(t *testing.T) {
	events := newRecord()
	c := dial(t, serve(t, &pop3.Server{Backend: alice("a: b\n\nc\n", "d: e\n"), Events: events}))
	c.hear(`\+OK .*`)
	c.say("USER alice", "PASS hunter2", "AUTH PLAIN AGFsaWNlAHNlY3JldA==", "RETR 1", "RETR 2", "TOP 1 0", "DELE 2", "QUIT")
	c.hear(`\+OK .*`)
	c.hear(`-ERR \[AUTH\] .*`)
	for range 2 {
		c.hear(`\+OK .*`)
	}
	c.multiline()
	for range 2 {
		c.hear(`\+OK .*`)
		c.multiline()
	}
	c.hear(`\+OK .*`)
	c.hear(`\+OK 1 messages removed`)
	s := events.summary(t)
	if s.User != "alice" || s.Mechanism != "PLAIN" || s.Reason != pop3.ReasonQuit || s.Retr != 2 || s.Top != 1 || s.Dele != 1 || s.Octets != 11+6+8 {
		t.Errorf("the summary is %+v", s)
	}
	want := "connected\nfailed USER alice: [AUTH] authentication failed\nlogin PLAIN alice\nclosed alice PLAIN: quit"
	if got := events.String(); got != want {
		t.Errorf("the events are\n%s\nnot\n%s", got, want)
	}
}

func TestPlainClientOnTLSPort(t *testing.T) {
	events := newRecord()
	s := &pop3.Server{Backend: alice(), Events: events, TLS: serverTLS}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.ServeTLS(l)
	c := dial(t, l.Addr().String())
	c.say("USER alice and more than a record's header")
	_, _ = io.ReadAll(c.in)
	sum := events.summary(t)
	if sum.Reason != pop3.ReasonHandshake || !strings.Contains(sum.Err.Error(), `does not speak TLS here: it sent "USER `) {
		t.Errorf("the summary is %+v", sum)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
