package systemd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"
)

const (
	pop3sAddress = "127.0.0.1:995"

	// sessionTime bounds a whole session, and the wait for a server that is being
	// started again.
	sessionTime = 40 * time.Second

	statusTemporary = "-ERR [SYS/TEMP]"
)

// session is a POP3 session over TLS.
type session struct{ *textproto.Conn }

// connect opens a session from an address of loopback, whatever the certificate is.
func connect(from net.IP) (session, error) {
	deadline := time.Now().Add(sessionTime)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Deadline: deadline}
	c, err := tls.DialWithDialer(dialer, "tcp", pop3sAddress, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return session{}, err
	}
	s := session{textproto.NewConn(c)}
	if err := errors.Join(c.SetDeadline(deadline), s.expect("+OK")); err != nil {
		_ = s.Close()
		return session{}, fmt.Errorf("greeting: %w", err)
	}
	return s, nil
}

// expect reads a status line, which must begin with one of some words.
func (s session) expect(begins ...string) error {
	line, err := s.ReadLine()
	if err != nil {
		return err
	}
	for _, b := range begins {
		if strings.HasPrefix(line, b) {
			return nil
		}
	}
	return fmt.Errorf("the answer %q", line)
}

// command sends a command, whose answer must begin with one of some words. Its error
// has nothing but the command's verb.
func (s session) command(command string, begins ...string) error {
	err := s.PrintfLine("%s", command)
	if err == nil {
		err = s.expect(begins...)
	}
	if err != nil {
		verb, _, _ := strings.Cut(command, " ")
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

// logIn opens a session of a person.
func (p person) logIn(from net.IP) (session, error) {
	s, err := connect(from)
	if err != nil {
		return session{}, err
	}
	for _, command := range []string{"USER " + p.name, "PASS " + p.password} {
		if err := s.command(command, "+OK"); err != nil {
			_ = s.Close()
			return session{}, err
		}
	}
	return s, nil
}

// poll is a whole session that looks whether there is mail. What is asked after the
// login may be refused for the time being, if the keeper that has the mail open is
// being restarted.
func (p person) poll(from net.IP, temporary bool) error {
	s, err := p.logIn(from)
	if err != nil {
		return err
	}
	defer s.Close()
	allowed := []string{"+OK"}
	if temporary {
		allowed = append(allowed, statusTemporary)
	}
	return errors.Join(s.command("STAT", allowed...), s.command("QUIT", allowed...))
}
