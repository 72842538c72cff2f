// Package dialog runs POP3 sessions that are written down as text against a
// server, for the tests of package pop3 and of backends.
//
// A dialog is a file of lines. Its head sets up a server and an account alice
// with the password "secret" and three messages:
//
//	set KEY [VALUE]   see the table of settings
//
// The rest is the session, in order:
//
//	C: text     the client sends text and CR LF; C lines that follow one
//	            another are sent in one write
//	C| "text"   the same for a Go string, without a line end
//	S: text     the server's next line is this
//	S~ regexp   or matches this whole
//	TLS         the client shakes hands
//	END         the server closes the connection, and nothing else came
//	CLOSE       the client closes the connection
//	LEFT n      when the session is over, alice has so many messages
//
// Empty lines and lines that begin with # are for people.
package dialog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sidepop/pop3"
	"sidepop/pop3/memory"
)

// patience bounds each wait: far beyond what a working server needs.
const patience = 10 * time.Second

// Run runs the dialog in a file. wrap makes the backend that the server uses
// of the one that has the accounts.
func Run(t *testing.T, file string, wrap func(pop3.Backend) pop3.Backend) {
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialog{T: t, file: file, backend: memory.New(), limits: &pop3.Limits{}}
	d.server = &pop3.Server{Settings: pop3.Settings{Hostname: "pop.example.org"}}
	d.remote = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000}
	lines := strings.Split(string(script), "\n")
	for d.next = 0; d.next < len(lines) && d.head(lines[d.next]); d.next++ {
	}
	if len(d.messages) == 0 {
		d.messages = []string{
			"Subject: one\r\n\r\nfirst\r\n",
			"Subject: two\n\n.second\n..\nline 3\n",
			"Subject: three\n",
		}
	}
	d.backend.Add("alice", "secret", d.messages...)
	ledger := NewLedger(wrap(d.backend))
	d.server.Backend = ledger
	d.server.Settings.Limits = *d.limits
	d.begin()
	for ; d.next < len(lines) && !t.Failed(); d.next++ {
		d.step(lines[d.next], lines[d.next+1:])
	}
	_ = d.conn.Close()
	d.wait()
	ledger.Check(t)
}

type dialog struct {
	*testing.T
	file     string
	next     int // index of the line at hand
	backend  *memory.Backend
	server   *pop3.Server
	limits   *pop3.Limits
	messages []string
	remote   net.Addr
	implicit bool

	conn  net.Conn
	in    *bufio.Reader
	batch bytes.Buffer
	over  chan struct{}
}

func (d *dialog) fail(format string, args ...any) {
	d.Helper()
	d.Fatalf("%s:%d: "+format, append([]any{d.file, d.next + 1}, args...)...)
}

// settings are what the head of a dialog can set.
var settings = map[string]func(d *dialog, value string){
	"message": func(d *dialog, v string) { d.messages = append(d.messages, d.unquote(v)) },
	"user": func(d *dialog, v string) {
		name, password, _ := strings.Cut(v, " ")
		d.backend.Add(d.unquote(name), d.unquote(password))
	},
	"remote":         func(d *dialog, v string) { d.remote = &net.TCPAddr{IP: net.ParseIP(v), Port: 40000} },
	"plaintext":      func(d *dialog, _ string) { d.server.Settings.AllowPlaintext = true },
	"tls":            func(d *dialog, _ string) { d.server.Settings.TLS = serverTLS },
	"implicit-tls":   func(d *dialog, _ string) { d.server.Settings.TLS, d.implicit = serverTLS, true },
	"apop":           func(d *dialog, _ string) { d.backend.APOPOn = true },
	"send-utf8":      func(d *dialog, _ string) { d.server.Settings.UTF8Headers = pop3.SendUTF8 },
	"expire":         func(d *dialog, v string) { d.server.Settings.Expire = v },
	"login-delay":    func(d *dialog, v string) { d.backend.LoginDelay = d.duration(v) },
	"locked":         func(d *dialog, _ string) { d.backend.Accounts = locked("alice") },
	"too-soon":       func(d *dialog, _ string) { d.backend.Accounts = recent("alice") },
	"line":           func(d *dialog, v string) { d.limits.Line = d.number(v) },
	"sasl-line":      func(d *dialog, v string) { d.limits.SASLLine = d.number(v) },
	"bad-commands":   func(d *dialog, v string) { d.limits.BadCommands = d.number(v) },
	"login-failures": func(d *dialog, v string) { d.limits.LoginFailures = d.number(v) },
	"login-time":     func(d *dialog, v string) { d.limits.Login = d.duration(v) },
	"idle-time":      func(d *dialog, v string) { d.limits.Idle = d.duration(v) },
}

// locked is a limit of one session, which is taken.
func locked(account string) *pop3.Accounts {
	a := pop3.NewAccounts(1, 0)
	_, _ = a.Begin(context.Background(), account)
	return a
}

// recent is a login delay that has just begun.
func recent(account string) *pop3.Accounts {
	a := pop3.NewAccounts(0, time.Hour)
	if end, err := a.Begin(context.Background(), account); err == nil {
		end()
	}
	return a
}

// head takes a line of the head, and says no to the first one that is not.
func (d *dialog) head(line string) bool {
	if line == "" || line[0] == '#' {
		return true
	}
	rest, ok := strings.CutPrefix(line, "set ")
	if !ok {
		return false
	}
	key, value, _ := strings.Cut(rest, " ")
	set := settings[key]
	if set == nil {
		d.fail("no setting %q", key)
	}
	set(d, value)
	return true
}

func (d *dialog) unquote(s string) string {
	text, err := strconv.Unquote(s)
	if err != nil {
		d.fail("%s is not a Go string", s)
	}
	return text
}

func (d *dialog) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		d.fail("%v", err)
	}
	return n
}

func (d *dialog) duration(s string) time.Duration {
	v, err := time.ParseDuration(s)
	if err != nil {
		d.fail("%v", err)
	}
	return v
}

// begin connects a client to the server, over TCP since tests of pipelining
// need its buffers, but with the addresses that the dialog asks for.
func (d *dialog) begin() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.Fatal(err)
	}
	defer l.Close()
	if d.conn, err = net.Dial("tcp", l.Addr().String()); err != nil {
		d.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		d.Fatal(err)
	}
	d.in = bufio.NewReader(d.conn)
	d.over = make(chan struct{})
	go func() {
		defer close(d.over)
		d.server.ServeConn(addressed{conn.(*net.TCPConn), d.remote}, d.implicit)
	}()
}

// addressed is a connection from somewhere else.
type addressed struct {
	*net.TCPConn
	remote net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.remote }

// Wrapped implements [pop3.Wrapper].
func (a addressed) Wrapped() net.Conn { return a.TCPConn }

func (d *dialog) wait() {
	select {
	case <-d.over:
	case <-time.After(patience):
		d.fail("the session does not end")
	}
}

func (d *dialog) step(line string, following []string) {
	_ = d.conn.SetDeadline(time.Now().Add(patience))
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "C:":
		d.send(arg+"\r\n", following)
	case "C|":
		d.send(d.unquote(arg), following)
	case "S:":
		if got := d.read(); got != arg {
			d.fail("the server says\n\t%q, not\n\t%q", got, arg)
		}
	case "S~":
		if got := d.read(); !regexp.MustCompile("^(?:" + arg + ")$").MatchString(got) {
			d.fail("the server says\n\t%q, which does not match\n\t%s", got, arg)
		}
	case "TLS":
		c := tls.Client(d.conn, clientTLS)
		if err := c.Handshake(); err != nil {
			d.fail("handshake: %v", err)
		}
		d.conn, d.in = c, bufio.NewReader(c)
	case "END":
		if rest, err := io.ReadAll(d.in); len(rest) > 0 || err != nil {
			d.fail("instead of the end of the connection: %q, %v", rest, err)
		}
	case "CLOSE":
		_ = d.conn.Close()
	case "LEFT":
		_ = d.conn.Close()
		d.wait()
		if got := len(d.backend.Messages("alice")); got != d.number(arg) {
			d.fail("%d messages are left", got)
		}
	default:
		if line != "" && line[0] != '#' {
			d.fail("what is %q?", line)
		}
	}
}

// send collects what the client says until it listens.
func (d *dialog) send(text string, following []string) {
	d.batch.WriteString(text)
	if len(following) > 0 && strings.HasPrefix(following[0], "C") && following[0] != "CLOSE" {
		return
	}
	if _, err := d.batch.WriteTo(d.conn); err != nil {
		d.fail("sending: %v", err)
	}
}

// read gives the server's next line without its end, which is CR LF.
func (d *dialog) read() string {
	line, err := d.in.ReadString('\n')
	if err != nil {
		d.fail("after %q: %v", line, err)
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		d.fail("%q ends in a bare line feed", line)
	}
	return text
}
