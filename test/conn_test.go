package test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// answerTime is how long one answer may take on a busy machine.
const answerTime = 10 * time.Second

// conn is a POP3 client that does what no decent one would.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// dial connects.
func dial(address string) (*conn, error) { return dialFrom("", address) }

// dialFrom connects from an address of this machine.
func dialFrom(local, address string) (*conn, error) {
	d := net.Dialer{Timeout: answerTime}
	if local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	c, err := d.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}

func newConn(c net.Conn) *conn { return &conn{c, bufio.NewReader(c)} }

// answer reads one line.
func (c *conn) answer() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return "", err
	}
	line, err := c.r.ReadString('\n')
	return strings.TrimSuffix(line, "\r\n"), err
}

// message reads the message of a multi-line answer to its final dot. Without
// the dot it fails with io.ErrUnexpectedEOF; what came so far is given too.
func (c *conn) message() ([]byte, error) {
	var octets []byte
	for {
		if err := c.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
			return octets, err
		}
		line, err := c.r.ReadBytes('\n')
		switch {
		case err == io.EOF:
			return append(octets, line...), io.ErrUnexpectedEOF
		case err != nil:
			return octets, err
		case string(line) == ".\r\n":
			return octets, nil
		}
		octets = append(octets, bytes.TrimPrefix(line, []byte("."))...)
	}
}

// try sends a command and reads the status line.
func (c *conn) try(command string) (string, error) {
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return "", err
	}
	return c.answer()
}

// ok is try where nothing but +OK will do.
func (c *conn) ok(t testing.TB, command string) string {
	t.Helper()
	got, err := c.try(command)
	if err != nil || !strings.HasPrefix(got, "+OK") {
		verb, _, _ := strings.Cut(command, " ")
		t.Fatalf("%s: %q, %v", verb, got, err)
	}
	return got
}

// connect opens a connection and reads the greeting. It is closed with the test.
func (s *server) connect() *conn {
	s.t.Helper()
	c, err := dial(s.pop3)
	must(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	greeting, err := c.answer()
	if err != nil || !strings.HasPrefix(greeting, "+OK") {
		s.t.Fatalf("greeting: %q, %v", greeting, err)
	}
	return c
}

// connectTLS is connect to the port where TLS comes first.
func (s *server) connectTLS() *conn {
	s.t.Helper()
	c, err := s.dialTLS()
	must(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	_, err = c.answer()
	must(s.t, err)
	return c
}

// dialTLS connects to the port where TLS comes first, with a whole handshake.
func (s *server) dialTLS() (*conn, error) {
	c, err := dial(s.pop3s)
	if err != nil {
		return nil, err
	}
	return s.overTLS(c)
}

// overTLS makes a whole handshake over a connection.
func (s *server) overTLS(c *conn) (*conn, error) {
	pem, err := os.ReadFile(s.path(caFile))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	over := tls.Client(c.Conn, &tls.Config{ServerName: "localhost", RootCAs: roots})
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if err := over.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return newConn(over), nil
}

// login opens a session of an account.
func (s *server) login(a account) *conn {
	s.t.Helper()
	return s.logIn(s.connect(), a)
}

// loginTLS is login on the port where TLS comes first.
func (s *server) loginTLS(a account) *conn {
	s.t.Helper()
	return s.logIn(s.connectTLS(), a)
}

func (s *server) logIn(c *conn, a account) *conn {
	s.t.Helper()
	c.ok(s.t, "USER "+a.name)
	c.ok(s.t, "PASS "+a.password)
	return c
}
