package test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a login may take while others misbehave. It leaves room
// for a busy machine; what it must tell apart is a login that waits for them.
const patience = 3 * time.Second

// fetchOne logs in, fetches the first message and leaves, and tells how long
// that took.
func (s *server) fetchOne(a account, want mail) time.Duration {
	s.t.Helper()
	begin := time.Now()
	c := s.login(a)
	c.ok(s.t, "RETR 1")
	got, err := c.message()
	if err != nil || !bytes.Equal(got, want.octets()) {
		s.t.Errorf("message 1: %v, %s", err, difference(got, want.octets()))
	}
	c.ok(s.t, "QUIT")
	return time.Since(begin)
}

// TestSilentConnections: those who connect and say nothing, before or in place
// of a TLS handshake, keep nobody out; too many from one address are refused.
func TestSilentConnections(t *testing.T) {
	const perAddress = 100 // the default of connections_per_address
	s := newSite(t)
	mails := sample()[:5]
	a := s.account("bob", mails)
	srv := s.serve("", msgRefused)
	for i, address := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		to := []string{srv.pop3, srv.pop3s}[i%2]
		for range perAddress {
			c, err := dialFrom(address, to)
			must(t, err)
			defer c.Close()
		}
	}
	if took := srv.fetchOne(a, mails[0]); took > patience {
		t.Errorf("a session took %v", took)
	}
	c, err := dialFrom("127.0.0.2", srv.pop3)
	must(t, err)
	defer c.Close()
	if got, err := c.answer(); err != nil || !strings.HasPrefix(got, "-ERR [SYS/TEMP]") {
		t.Errorf("connection %d of one address: %q, %v", perAddress+1, got, err)
	}
}

// TestUnreadAnswers: clients that ask for thousands of messages and read none
// cost bounded memory, and others are served.
func TestUnreadAnswers(t *testing.T) {
	const (
		clients  = 10 // the default of sessions_per_user
		commands = 5000
		growth   = 16 << 20 // bytes, for all of them: ten times what their buffers should take
	)
	s := newSite(t)
	big := mail{dir: "new", name: "1700000000.M1P1.mx1", data: bytes.Repeat([]byte("a line of the message\n"), 1<<16)}
	greedy := s.account("greedy", []mail{big})
	mails := sample()[:5]
	a := s.account("bob", mails)
	srv := s.serve("")
	srv.fetchOne(greedy, big)
	srv.fetchOne(a, mails[0])
	before := srv.memory()
	for range clients {
		c := srv.login(greedy)
		must(t, c.SetWriteDeadline(time.Now().Add(answerTime)))
		_, err := io.WriteString(c, strings.Repeat("RETR 1\r\n", commands))
		must(t, err)
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if took := srv.fetchOne(a, mails[0]); took > patience {
			t.Errorf("a session took %v", took)
		}
		if now := srv.memory(); now > before+growth {
			t.Fatalf("the server's memory grew from %d to %d KiB", before>>10, now>>10)
		}
	}
	t.Logf("memory: %d KiB before, %d KiB with %d clients that don't read", before>>10, srv.memory()>>10, clients)
}

// TestOddFiles: what is in a Maildir and is no message neither hangs nor shuts
// it, nor is it sent.
func TestOddFiles(t *testing.T) {
	s := newSite(t)
	mails := sample()[:3]
	a := s.account("bob", mails)
	newDir := filepath.Join(a.maildir, "new")
	odd := func(name string) string { return filepath.Join(newDir, "1600000000.M1P1."+name) }
	must(t, syscall.Mkfifo(odd("fifo"), 0o666))
	must(t, os.Symlink("/nonexistent/file", odd("dangling")))
	must(t, os.Symlink("/etc/passwd", odd("outside")))
	must(t, os.Symlink(mails[0].path(a.maildir), odd("inside")))
	must(t, os.Mkdir(odd("folder"), 0o777))
	must(t, os.WriteFile(odd("unreadable"), []byte("Subject: not for you\n\n"), 0))
	l, err := net.Listen("unix", filepath.Join(newDir, "1600000000.sock"))
	must(t, err)
	defer l.Close()
	const zero = 1<<8 | 5 // character device 1:5, /dev/zero: it has no end
	if err := syscall.Mknod(odd("device"), syscall.S_IFCHR|0o666, zero); err != nil {
		t.Logf("without a device: %v", err)
	}
	srv := s.serve("", msgNotServed)

	c := srv.login(a)
	var sum int
	for _, m := range mails {
		sum += len(m.octets())
	}
	if got, want := c.ok(t, "STAT"), fmt.Sprintf("+OK %d %d", len(mails), sum); got != want {
		t.Errorf("STAT: %q, want %q", got, want)
	}
	for i, m := range mails {
		c.ok(t, fmt.Sprint("RETR ", i+1))
		if got, err := c.message(); err != nil || !bytes.Equal(got, m.octets()) {
			t.Errorf("message %d: %v, %s", i+1, err, difference(got, m.octets()))
		}
	}
	c.ok(t, "QUIT")
}
