package test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// large is a message of many times what the sockets between server and client
// hold, so that the server is in the middle of it until the client reads on.
func large() mail {
	return mail{dir: "new", name: "1700000000.M1P1.mx1", data: bytes.Repeat([]byte("a line of a large message\n"), 1<<20)}
}

// TestTruncatedMessage: a message that shrinks while it is sent ends the
// connection without the final dot, and costs the server nothing afterwards.
func TestTruncatedMessage(t *testing.T) {
	const (
		watched = time.Second
		most    = 100 * time.Millisecond // of CPU in that time; a loop takes all of it
	)
	s := newSite(t)
	m := large()
	a := s.account("bob", []mail{m})
	srv := s.serve("", msgFault)
	c := srv.login(a)
	c.ok(t, "RETR 1")
	must(t, os.Truncate(m.path(a.maildir), 1<<20))
	got, err := c.message()
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after %d octets of %d: %v, want an unexpected end", len(got), len(m.octets()), err)
	}
	if !bytes.HasPrefix(m.octets(), got) {
		t.Error("what was sent is not the beginning of the message")
	}
	before := srv.cpu()
	time.Sleep(watched) // the time watched is what is measured
	if used := srv.cpu() - before; used > most {
		t.Errorf("the server used %v of CPU in %v without a client", used, watched)
	}
}

// TestRemovedMessage: a message that another program removes while it is sent
// arrives whole; one that is gone before is refused alone.
func TestRemovedMessage(t *testing.T) {
	s := newSite(t)
	m, other := large(), sample()[1]
	a := s.account("bob", []mail{m, other})
	srv := s.serve("", msgFault)
	c := srv.login(a)
	c.ok(t, "RETR 1")
	must(t, os.Remove(m.path(a.maildir)))
	if got, err := c.message(); err != nil || !bytes.Equal(got, m.octets()) {
		t.Errorf("%v, %s", err, difference(got, m.octets()))
	}
	if got, err := c.try("RETR 1"); err != nil || !strings.HasPrefix(got, "-ERR") {
		t.Errorf("RETR of a message that is gone: %q, %v", got, err)
	}
	c.ok(t, "RETR 2")
	if got, err := c.message(); err != nil || !bytes.Equal(got, other.octets()) {
		t.Errorf("%v, %s", err, difference(got, other.octets()))
	}
	c.ok(t, "QUIT")
}
