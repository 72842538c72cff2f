package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// sessionTime is how long a session may take, the slowest of which is a
	// first login to 100,000 messages.
	sessionTime = 2 * time.Minute

	clientBuffer = 128 << 10 // octets read at a time

	password = "bench-secret" // of every account
)

// client is a POP3 client that believes nothing it has not checked.
type client struct {
	net.Conn
	r   *bufio.Reader
	box *mailbox
}

// clientTLS asks for what every server here can do at the same cost: TLS 1.3
// with X25519, without resumption.
func clientTLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{
		RootCAs:          roots,
		ServerName:       "localhost",
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
}

// dial connects and reads the greeting. Clients come from addresses of their
// own, as they do from outside, so that no limit for one address is met. Secure
// is nil for a plaintext session.
func dial(address string, number int, secure *tls.Config) (*client, error) {
	d := net.Dialer{
		Timeout:   sessionTime,
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+number%250))},
	}
	conn, err := d.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(sessionTime)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if secure != nil {
		s := tls.Client(conn, secure)
		if err := s.Handshake(); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if state := s.ConnectionState(); state.Version != tls.VersionTLS13 || state.DidResume {
			return nil, errors.Join(fmt.Errorf("%s, resumed %v, expected a full handshake of TLS 1.3",
				tls.VersionName(state.Version), state.DidResume), conn.Close())
		}
		conn = s
	}
	c := &client{Conn: conn, r: bufio.NewReaderSize(conn, clientBuffer)}
	if _, err := c.status("greeting"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// status reads a status line, which has to be +OK, and gives what follows that.
// The text is valid until the next read.
func (c *client) status(command string) ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("answer to %s: %q: %w", command, line, err)
	}
	text, ok := bytes.CutPrefix(line, []byte("+OK"))
	if !ok {
		return nil, fmt.Errorf("answer to %s: %q", command, line)
	}
	return bytes.TrimSpace(text), nil
}

// ask sends a command and reads the status line.
func (c *client) ask(command string) ([]byte, error) {
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		return nil, err
	}
	return c.status(command)
}

func (c *client) login(m *mailbox) error {
	c.box = m
	if _, err := c.ask("USER " + m.user); err != nil {
		return err
	}
	_, err := c.ask("PASS " + password)
	return err
}

// do does one step after the other.
func (c *client) do(steps ...func(*client) error) error {
	for _, step := range steps {
		if err := step(c); err != nil {
			return err
		}
	}
	return nil
}

// stat checks what STAT says.
func (c *client) stat() error {
	text, err := c.ask("STAT")
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%d %d", c.box.messages, c.box.octets); string(text) != want {
		return fmt.Errorf("STAT: %q, expected %q", text, want)
	}
	return nil
}

// quit ends the session and waits for the server to close the connection.
func (c *client) quit() error {
	if _, err := c.ask("QUIT"); err != nil {
		return err
	}
	if b, err := c.r.ReadByte(); err == nil {
		return fmt.Errorf("%q after the answer to QUIT", b)
	}
	return c.Close()
}

// capabilities checks the list of CAPA.
func (c *client) capabilities() error {
	if _, err := c.ask("CAPA"); err != nil {
		return err
	}
	uidl := false
	err := c.lines(func(line []byte) error {
		uidl = uidl || string(line) == "UIDL"
		return nil
	})
	if err == nil && !uidl {
		err = errors.New("CAPA does not have UIDL")
	}
	return err
}

// retrieve fetches all messages, some of them requested at a time, and checks
// that they are what is stored.
func (c *client) retrieve(atATime int) error {
	var sum uint64
	var sent int64
	err := c.batches("RETR", atATime, func() error {
		if _, err := c.status("RETR"); err != nil {
			return err
		}
		checksum, n, err := c.message()
		sum += uint64(checksum)
		sent += n
		return err
	})
	if err != nil {
		return err
	}
	if sum != c.box.sum || sent != c.box.sent {
		return fmt.Errorf("RETR: %d octets with checksum %x, expected %d and %x", sent, sum, c.box.sent, c.box.sum)
	}
	return nil
}

// remove marks all messages as deleted.
func (c *client) remove() error {
	return c.batches("DELE", atATime, func() error {
		_, err := c.status("DELE")
		return err
	})
}

// batches sends a command for every message, some of them at a time, and has
// each answer read.
func (c *client) batches(verb string, atATime int, answer func() error) error {
	var request []byte
	for first := 1; first <= c.box.messages; first += atATime {
		last := min(first+atATime-1, c.box.messages)
		request = request[:0]
		for number := first; number <= last; number++ {
			request = fmt.Appendf(request, "%s %d\r\n", verb, number)
		}
		if _, err := c.Write(request); err != nil {
			return err
		}
		for range last - first + 1 {
			if err := answer(); err != nil {
				return err
			}
		}
	}
	return nil
}
