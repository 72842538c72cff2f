package mta

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// sessionTime bounds a whole session: a refused login takes seconds, on purpose.
const sessionTime = 40 * time.Second

// session is a POP3 session over TLS.
type session struct{ *textproto.Conn }

// sessions is how many were opened.
var sessions uint16

// connect opens a session from an address of loopback that no session came from
// before, so that failures of the one are not held against the other.
func connect(t testing.TB) session {
	t.Helper()
	sessions++
	return connectFrom(t, net.IPv4(127, 1, byte(sessions>>8), byte(sessions)))
}

// connectFrom opens a session from an address of loopback.
func connectFrom(t testing.TB, address net.IP) session {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: address}}
	c, err := tls.DialWithDialer(dialer, "tcp", net.JoinHostPort("127.0.0.1", pop3sPort),
		&tls.Config{ServerName: hostname, RootCAs: roots})
	must(t, err)
	must(t, c.SetDeadline(time.Now().Add(sessionTime)))
	s := session{textproto.NewConn(c)}
	t.Cleanup(func() { _ = s.Close() })
	greeting, err := s.ReadLine()
	must(t, err)
	if !strings.HasPrefix(greeting, "+OK") {
		t.Fatalf("greeting: %q", greeting)
	}
	return s
}

// command sends a command and gives the status line.
func (s session) command(t testing.TB, format string, args ...any) string {
	t.Helper()
	must(t, s.PrintfLine(format, args...))
	status, err := s.ReadLine()
	must(t, err)
	return status
}

// attempt logs in and gives the status line that decides.
func attempt(t testing.TB, login, password string) string {
	t.Helper()
	return connect(t).logIn(t, login, password)
}

// logIn logs in, gives the status line that decides, and ends the session.
func (s session) logIn(t testing.TB, login, password string) string {
	t.Helper()
	status := s.command(t, "USER %s", login)
	if strings.HasPrefix(status, "+OK") {
		status = s.command(t, "PASS %s", password)
	}
	s.command(t, "QUIT")
	return status
}

// How status lines begin. The codes are those of RFC 3206.
const (
	statusOK        = "+OK"
	statusAuth      = "-ERR [AUTH]"
	statusTemporary = "-ERR [SYS/TEMP]"
)

// expectStatus logs in and checks what becomes of it.
func expectStatus(t testing.TB, want, login, password string) {
	t.Helper()
	if got := attempt(t, login, password); !strings.HasPrefix(got, want) {
		t.Errorf("login of %s: %q, want %s", login, got, want)
	}
}

// expectUIDLs logs in and checks that the UIDLs are the unique names of the files.
// It gives them in the order of the messages.
func expectUIDLs(t testing.TB, login, password string, files map[string][]byte) []string {
	t.Helper()
	s := connect(t)
	s.command(t, "USER %s", login)
	for _, command := range []string{"PASS " + password, "UIDL"} {
		if status := s.command(t, "%s", command); !strings.HasPrefix(status, statusOK) {
			t.Fatalf("%s of %s: %q", command[:4], login, status)
		}
	}
	lines, err := s.ReadDotLines()
	must(t, err)
	uidls := make([]string, len(lines))
	for i, line := range lines {
		_, uidls[i], _ = strings.Cut(line, " ")
	}
	s.command(t, "QUIT")
	if names := slices.Sorted(maps.Keys(files)); !slices.Equal(slices.Sorted(slices.Values(uidls)), names) {
		t.Fatalf("%s has the UIDLs\n%q, want the unique names\n%q", login, uidls, names)
	}
	return uidls
}
