package pop3_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"sidepop/pop3"
)

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
	c, conn := connect(t, &pop3.Server{Backend: alice(messages...), Settings: pop3.Settings{UTF8Headers: pop3.SendUTF8}})
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
	s := &pop3.Server{Backend: alice(strings.Repeat("0123456789\n", 100_000)), Events: events, Settings: pop3.Settings{Limits: pop3.Limits{Write: 500 * time.Millisecond}}}
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
	address := serve(t, &pop3.Server{Backend: alice(), Settings: pop3.Settings{Limits: pop3.Limits{Connections: 2}}})
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
	address := serve(t, &pop3.Server{Backend: alice(), Settings: pop3.Settings{Limits: pop3.Limits{PerAddress: 1}}})
	dial(t, address).hear(`\+OK POP3 ready`)
	c := dial(t, address)
	c.hear(`-ERR \[SYS/TEMP\] too many connections from your address, try again later`)
	c.hearEnd()
}

func TestAPOP(t *testing.T) {
	b := alice("a\n")
	b.APOPOn = true
	s := &pop3.Server{Backend: b, Settings: pop3.Settings{Hostname: "pop.example.org"}}
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

// TestPlainClientOnTLSPort: one that says something in plaintext, and one that waits
// for a greeting, are told and end soon.
func TestPlainClientOnTLSPort(t *testing.T) {
	for said, want := range map[string]string{
		"USER alice and more than a record's header": `does not speak TLS here: it sent "USER `,
		"": "waits for a greeting in plaintext",
	} {
		events := newRecord()
		limits := pop3.Limits{}
		if said == "" {
			limits.Login = 200 * time.Millisecond // less than is waited for a handshake
		}
		s := &pop3.Server{Backend: alice(), Events: events, Settings: pop3.Settings{TLS: serverTLS, Limits: limits}}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go s.ServeTLS(l)
		c := dial(t, l.Addr().String())
		if said != "" {
			c.say(said)
		}
		c.hear("-ERR connections begin with TLS on this port")
		c.hearEnd()
		_ = c.Close()
		sum := events.summary(t)
		if sum.Reason != pop3.ReasonHandshake || !strings.Contains(sum.Err.Error(), want) {
			t.Errorf("%q: the summary is %+v", said, sum)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestTLSClientOnPlainPort(t *testing.T) {
	events := newRecord()
	address := serve(t, &pop3.Server{Backend: alice(), Events: events, Settings: pop3.Settings{TLS: serverTLS}})
	if conn, err := tls.Dial("tcp", address, clientTLS); err == nil {
		_ = conn.Close()
		t.Error("a handshake where connections begin in plaintext")
	}
	if sum := events.summary(t); sum.Reason != pop3.ReasonHandshake || !strings.Contains(sum.Err.Error(), "begins with TLS") {
		t.Errorf("the summary is %+v", sum)
	}
	// One that goes on waiting: nothing but the greeting comes.
	c := dial(t, address)
	if _, err := io.WriteString(c.Conn, "\x16\x03\x01\x00\x02"); err != nil {
		t.Fatal(err)
	}
	c.hear(`\+OK POP3 ready`)
	c.hearEnd()
}

// relayed is a connection by a proxy within this machine.
type relayed struct {
	*net.TCPConn
	remote     net.Addr
	terminated *tls.ConnectionState
	name       string
}

func (r relayed) RemoteAddr() net.Addr             { return r.remote }
func (r relayed) Wrapped() net.Conn                { return r.TCPConn }
func (r relayed) Terminated() *tls.ConnectionState { return r.terminated }
func (r relayed) ClientName() string               { return r.name }

// TestRelayed: what a proxy says of TLS lets passwords cross, and that it is near
// does not. Clients are counted by their own addresses.
func TestRelayed(t *testing.T) {
	events := newRecord()
	s := &pop3.Server{Backend: alice("a\n"), Events: events, Settings: pop3.Settings{TLS: serverTLS, Limits: pop3.Limits{PerAddress: 1}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	connect := func(remote string, terminated *tls.ConnectionState, implicit bool) *client {
		t.Helper()
		c := dial(t, l.Addr().String())
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		a := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(remote))
		go s.ServeConn(relayed{conn.(*net.TCPConn), a, terminated, ""}, implicit)
		return c
	}
	over := &tls.ConnectionState{Version: tls.VersionTLS13}
	c := connect("192.0.2.1:4000", over, false)
	c.login()
	c.say("QUIT")
	c.hear(`\+OK .*`)
	c.hearEnd()
	events.summary(t)

	waitFor(t, func() bool { // until the one before does not count any more
		c = connect("192.0.2.1:4000", over, false)
		line, _ := c.in.ReadString('\n')
		return line == "+OK POP3 ready\r\n"
	})
	c.say("STLS", "CAPA")
	c.hear("-ERR TLS is active already")
	c.hear(`\+OK .*`)
	if capa := c.multiline(); strings.Contains(capa, "STLS") {
		t.Errorf("capabilities where TLS has been ended: %s", capa)
	}
	connect("192.0.2.1:4001", over, false).hear(`-ERR \[SYS/TEMP\] too many connections from your address, .*`)
	connect("192.0.2.2:4001", over, false).hear(`\+OK POP3 ready`)

	for _, remote := range []string{"192.0.2.3:4000", "127.0.0.1:4000"} {
		c = connect(remote, nil, false)
		c.hear(`\+OK POP3 ready`)
		c.say("USER alice")
		c.hear(`-ERR .*TLS.*`)
	}
	c = connect("192.0.2.4:4000", over, true) // and TLS once more behind it
	conn := tls.Client(c.Conn, clientTLS)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	(&client{t, conn, bufio.NewReader(conn)}).login()
}

// TestRelayedNames: EXTERNAL is there for a client whose certificate a proxy has
// verified, where proxies are believed that, and not for TLS behind the proxy.
func TestRelayedNames(t *testing.T) {
	over := &tls.ConnectionState{Version: tls.VersionTLS13}
	for _, test := range []struct {
		believed   bool
		terminated *tls.ConnectionState
		name       string
		offered    bool
	}{
		{true, over, "joe", true}, {false, over, "joe", false}, {true, nil, "joe", false}, {true, over, "", false},
	} {
		b := &binding{alice(), []string{"EXTERNAL", "PLAIN"}, make(chan []pop3.ChannelBinding, 1)}
		s := &pop3.Server{Backend: b, Settings: pop3.Settings{TLS: serverTLS, RelayedNames: test.believed}}
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
		go s.ServeConn(relayed{conn.(*net.TCPConn), conn.RemoteAddr(), test.terminated, test.name}, false)
		c.hear(`\+OK POP3 ready`)
		c.say("CAPA")
		if capa := c.multiline(); strings.Contains(capa, "SASL EXTERNAL") != test.offered {
			t.Errorf("%+v: %q", test, capa)
		}
		if test.terminated != nil {
			continue
		}
		c.say("STLS")
		c.hear(`\+OK begin TLS`)
		inner := tls.Client(c.Conn, clientTLS)
		c = &client{t, inner, bufio.NewReader(inner)}
		c.say("CAPA")
		if capa := c.multiline(); strings.Contains(capa, "EXTERNAL") {
			t.Errorf("with TLS behind the proxy: %q", capa)
		}
	}
}

// TestApply has connections that began under other settings.
func TestApply(t *testing.T) {
	s := &pop3.Server{Backend: alice(), Settings: pop3.Settings{Limits: pop3.Limits{PerAddress: 2, BadCommands: 1}}}
	address := serve(t, s)
	before := dial(t, address)
	before.hear(`\+OK POP3 ready`)
	s.Apply(pop3.Settings{Limits: pop3.Limits{PerAddress: 3, BadCommands: 2}})
	// Connections at the same time are counted in any order.
	after := dial(t, address)
	after.hear(`\+OK POP3 ready`)
	dial(t, address).hear(`\+OK POP3 ready`)
	dial(t, address).hear(`-ERR \[SYS/TEMP\] too many connections from your address, try again later`)
	before.say("NONSENSE")
	before.hear(`-ERR too many bad commands`)
	after.say("NONSENSE")
	after.hear(`-ERR unknown command`)
}
