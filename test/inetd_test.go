package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keep starts a keeper as a service manager does, and no front.
func (s *site) keep(tables string, tolerated ...string) *server {
	s.t.Helper()
	m := s.managerOf(tables, tolerated...)
	m.begin(roleKeeper)
	s.t.Cleanup(func() { m.end(roleKeeper, syscall.SIGTERM) })
	m.program = m.roles[roleKeeper]
	m.logged("ready", 1)
	return m.server
}

// inetd is `sidepop inetd` with descriptors, the first of which are standard input
// and output. Without a third one it has the log's.
func (s *server) inetd(environment []string, args []string, files ...*os.File) *program {
	s.t.Helper()
	cmd := exec.Command(sidepop(s.t), append([]string{"inetd", "--config", s.config}, args...)...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdin = files[0]
	p := s.start(cmd, files[1:]...)
	s.t.Cleanup(func() {
		if !p.ended(stopTime) {
			s.t.Error("an inetd process does not end with its connection")
			_ = p.process.Kill()
		}
	})
	return p
}

// tcpPair is a connection: the client's end, and the other as a file.
func tcpPair(t *testing.T) (*conn, *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	c, err := dial(l.Addr().String())
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	accepted, err := l.Accept()
	must(t, err)
	defer accepted.Close()
	f, err := accepted.(*net.TCPConn).File()
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return c, f
}

// unixPair is tcpPair with a pair of unix sockets.
func unixPair(t *testing.T) (*conn, *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	mine, other := os.NewFile(uintptr(fds[0]), "mine"), os.NewFile(uintptr(fds[1]), "other")
	defer mine.Close()
	t.Cleanup(func() { _ = other.Close() })
	c, err := net.FileConn(mine)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return newConn(c), other
}

// TestInetd: a session on whatever standard input is, whose address is the socket's
// own or that which the environment says, and passwords only where nobody can hear
// them.
func TestInetd(t *testing.T) {
	s := newSite(t)
	mails := sample()[:3]
	a := s.account("bob", mails)
	srv := s.keep("[limits]\nbad_commands = 2\n")
	sessions := 0
	session := func(c *conn, log string) {
		t.Helper()
		greeting, err := c.answer()
		if err != nil || !strings.HasPrefix(greeting, "+OK") {
			t.Fatalf("greeting: %q, %v", greeting, err)
		}
		srv.logIn(c, a).ok(t, "RETR 1")
		got, err := c.message()
		if err != nil || !bytes.Equal(got, mails[0].octets()) {
			t.Errorf("RETR: %v, %s", err, difference(got, mails[0].octets()))
		}
		c.ok(t, "QUIT")
		if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
			t.Errorf("after QUIT: %q, %v", rest, err)
		}
		sessions++
		all := srv.logged(msgClosed, sessions)
		if last := all[sessions-1]; last.Remote+" "+last.TLS != log {
			t.Errorf("the log has %+v, want %s", last, log)
		}
	}

	c, f := tcpPair(t)
	own := c.LocalAddr().String()
	srv.inetd([]string{"REMOTE_HOST=192.0.2.9"}, nil, f, f)
	must(t, f.Close())
	session(c, own+" none")

	c, f = tcpPair(t)
	own = c.LocalAddr().String()
	srv.inetd(nil, []string{"--tls"}, f, f)
	must(t, f.Close())
	over, err := srv.overTLS(c)
	must(t, err)
	session(over, own+" TLS1.3 TLS_AES_128_GCM_SHA256")

	for _, tt := range []struct {
		environment []string
		remote      string
	}{
		{nil, "none"},
		{[]string{"REMOTE_HOST=192.0.2.9"}, "192.0.2.9:0"},
		{[]string{"REMOTE_HOST=client.example.org"}, "none"},
		{[]string{"REMOTE_ADDR=2001:db8::9", "REMOTE_PORT=4711"}, "[2001:db8::9]:4711"},
		{[]string{"REMOTE_ADDR=::ffff:192.0.2.9", "REMOTE_PORT=x"}, "192.0.2.9:0"},
		{[]string{"TCPREMOTEIP=192.0.2.9", "TCPREMOTEPORT=4711", "REMOTE_HOST=192.0.2.8"}, "192.0.2.9:4711"},
	} {
		c, f := unixPair(t)
		srv.inetd(tt.environment, []string{"--secured"}, f, f)
		must(t, f.Close())
		session(c, tt.remote+" ended before")
	}

	// Without a word of TLS it may come from anywhere.
	c, f = unixPair(t)
	srv.inetd(nil, nil, f, f)
	_, err = c.answer()
	must(t, err)
	if got, err := c.try("USER " + a.name); err != nil || !strings.HasPrefix(got, "-ERR") {
		t.Errorf("USER in plaintext: %q, %v", got, err)
	}
	c.ok(t, "STLS")
	over, err = srv.overTLS(c)
	must(t, err)
	srv.logIn(over, a).ok(t, "QUIT")
	must(t, c.Close())
	sessions++
	srv.logged(msgClosed, sessions)

	// The limits of the configuration hold.
	c, f = tcpPair(t)
	srv.inetd(nil, nil, f, f)
	must(t, f.Close())
	_, err = c.answer()
	must(t, err)
	_, err = c.try("BOGUS")
	must(t, err)
	if got, err := c.try("BOGUS"); err != nil || got != "-ERR too many bad commands" {
		t.Errorf("the second bad command: %q, %v", got, err)
	}
	must(t, c.Close())
	sessions++
	srv.logged(msgClosed, sessions)

	toServer, fromClient, err := os.Pipe()
	must(t, err)
	toClient, fromServer, err := os.Pipe()
	must(t, err)
	srv.inetd(nil, []string{"--secured"}, toServer, fromServer)
	must(t, toServer.Close())
	must(t, fromServer.Close())
	session(newConn(&pipeConn{Reader: toClient, Writer: fromClient}), "none ended before")
}

// pipeConn is a client's end of two pipes.
type pipeConn struct {
	net.Conn
	io.Reader
	io.Writer
}

func (c *pipeConn) Read(b []byte) (int, error)      { return c.Reader.Read(b) }
func (c *pipeConn) Write(b []byte) (int, error)     { return c.Writer.Write(b) }
func (c *pipeConn) SetReadDeadline(time.Time) error { return nil }

// TestInetdSaysNothingElse: where standard error is the client's too, it hears
// nothing but POP3, whatever goes wrong.
func TestInetdSaysNothingElse(t *testing.T) {
	s := newSite(t)
	a := s.account("bob", sample()[:1])
	srv := s.keep("", msgConnection)
	for _, tt := range []struct {
		what  string
		args  []string
		hears string
	}{
		{"an option that there is not", []string{"--bogus"}, ""},
		{"an argument", []string{"bob"}, ""},
		{"a configuration that is not there", []string{"--config", s.path("none.toml")}, ""},
		{"a configuration with a mistake", []string{"--config", s.path(certFile)}, ""},
		{"both kinds of TLS", []string{"--tls", "--secured"}, ""},
		{"a session", nil, "+OK"},
	} {
		c, f := tcpPair(t)
		p := srv.inetd(nil, tt.args, f, f, f)
		must(t, f.Close())
		if tt.hears != "" {
			greeting, err := c.answer()
			if err != nil || !strings.HasPrefix(greeting, "+OK") {
				t.Fatalf("greeting: %q, %v", greeting, err)
			}
			srv.logIn(c, a).ok(t, "QUIT")
		}
		if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
			t.Errorf("%s: the client hears %q, %v", tt.what, rest, err)
		}
		if !p.ended(stopTime) || (p.exit == nil) != (tt.hears != "") {
			t.Errorf("%s: exit %v", tt.what, p.exit)
		}
	}
}

// TestInetdRefusesOthers: standard input that is no client's connection is a mistake
// of whoever has started it, which is told to him.
func TestInetdRefusesOthers(t *testing.T) {
	s := newSite(t)
	srv := s.keep("", msgStopped, msgConnection)
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer l.Close()
	listening, err := l.File()
	must(t, err)
	u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	defer u.Close()
	datagrams, err := u.File()
	must(t, err)
	null, err := os.Open(os.DevNull)
	must(t, err)
	pipe, other, err := os.Pipe()
	must(t, err)
	defer other.Close()
	for _, tt := range []struct {
		in, out *os.File
		want    string
	}{
		{null, nil, "neither a socket nor a pipe"},
		{listening, nil, "a socket that listens"},
		{datagrams, nil, "a socket of udp"},
		{pipe, null, "standard output is none"},
	} {
		out := tt.out
		if out == nil {
			out = tt.in
		}
		p := srv.inetd(nil, nil, tt.in, out)
		if !p.ended(stopTime) || p.exit == nil {
			t.Errorf("%s: exit %v", tt.want, p.exit)
		}
		all := srv.logged(msgStopped, 1)
		if last := all[len(all)-1]; !strings.Contains(last.Reason, tt.want) || last.Role != "inetd" {
			t.Errorf("%+v, want %s", last, tt.want)
		}
		_ = tt.in.Close()
	}
}

// TestInetdWithoutKeeper: the client is told to come back.
func TestInetdWithoutKeeper(t *testing.T) {
	s := newSite(t)
	a := s.account("bob", sample()[:1])
	srv := s.prepare("", msgUnreachable, msgLoginFailed)
	c, f := tcpPair(t)
	p := srv.inetd(nil, nil, f, f)
	must(t, f.Close())
	greeting, err := c.answer()
	if err != nil || !strings.HasPrefix(greeting, "+OK") {
		t.Fatalf("greeting: %q, %v", greeting, err)
	}
	c.ok(t, "USER "+a.name)
	if got, err := c.try("PASS " + a.password); err != nil || !strings.HasPrefix(got, temporary) {
		t.Errorf("PASS: %q, %v", got, err)
	}
	must(t, p.process.Signal(syscall.SIGTERM))
	if got, err := c.answer(); err != nil || !strings.HasPrefix(got, temporary) {
		t.Errorf("SIGTERM: %q, %v", got, err)
	}
}

// TestInetdServers: through each of the servers that start others, curl reads mail.
func TestInetdServers(t *testing.T) {
	need(t, "curl", "curl")
	s := newSite(t)
	mails := sample()[:2]
	a := s.account("bob", mails)
	srv := s.keep("[limits]\nconnections_per_address = 1000\n", msgRefused, msgConnection)
	run := sidepop(t) + " inetd --config " + srv.config
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, tt := range []struct {
		name, debianPackage string
		implicit            bool
		start               func(host, port string) []string
	}{
		{"systemd-socket-activate", "systemd", true, func(host, port string) []string {
			return append([]string{"systemd-socket-activate", "--inetd", "--accept", "-l", host + ":" + port}, strings.Fields(run+" --tls")...)
		}},
		{"socat", "socat", true, func(host, port string) []string {
			return []string{"socat", "TCP-LISTEN:" + port + ",fork,reuseaddr,bind=" + host, "EXEC:" + run + " --tls"}
		}},
		{"tcpserver", "ucspi-tcp", false, func(host, port string) []string {
			return append([]string{"tcpserver", "-HRl0", host, port}, strings.Fields(run)...)
		}},
		{"xinetd", "xinetd", false, func(host, port string) []string {
			program, args, _ := strings.Cut(run, " ")
			file := s.path("xinetd.conf")
			must(t, os.WriteFile(file, fmt.Appendf(nil, `service pop3
{
	type = UNLISTED
	socket_type = stream
	protocol = tcp
	wait = no
	user = %s
	bind = %s
	port = %s
	server = %s
	server_args = %s
}
`, userName(), host, port, program, args), 0o644))
			return []string{"xinetd", "-dontfork", "-stayalive", "-f", file, "-pidfile", s.path("xinetd.pid")}
		}},
		{"stunnel", "stunnel4", true, func(host, port string) []string {
			program, args, _ := strings.Cut(run, " ")
			file := s.path("stunnel.conf")
			must(t, os.WriteFile(file, fmt.Appendf(nil, `foreground = yes
pid =
cert = %s
key = %s
[pop3s]
accept = %s:%s
exec = %s
execArgs = sidepop %s --secured
`, s.path(certFile), s.path(keyFile), host, port, program, args), 0o644))
			return []string{"stunnel", file}
		}},
	} {
		need(t, tt.name, tt.debianPackage)
		address, _ := freePorts(t)
		host, port, err := net.SplitHostPort(address)
		must(t, err)
		args := tt.start(host, port)
		cmd := exec.CommandContext(ctx, "/usr/bin/env", append([]string{"--", "PATH=" + programPath}, args...)...)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &said, &said, lingering
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		must(t, cmd.Start())
		await(t, tt.name, func() bool {
			c, err := net.Dial("tcp", address)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
		how := stls
		if tt.implicit {
			how = implicitTLS
		}
		f := fetching{account: a, dir: folder(t), host: "localhost", port: port, ca: s.path(caFile), security: how, messages: len(mails)}
		own(t, f.dir)
		for i, got := range curl.fetch(t, f) {
			if want := curl.arrives(mails[i].octets(), how); !bytes.Equal(got, want) {
				t.Errorf("%s: message %d: %s", tt.name, i+1, difference(got, want))
			}
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", tt.name, tail(said.Bytes()))
		}
	}
}

// userName is whom programs are started as.
func userName() string {
	if os.Getuid() == 0 {
		return "root"
	}
	return os.Getenv("USER")
}
