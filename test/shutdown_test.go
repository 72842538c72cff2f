package test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestShutdown: SIGTERM ends a server in time, whatever its clients do, and
// removes nothing. Until then they can go on.
func TestShutdown(t *testing.T) {
	const (
		shutdown = time.Second
		bound    = shutdown + 4*time.Second // with the last words to those that don't listen
	)
	s := newSite(t)
	mails := sample()[:5]
	for i := range mails {
		mails[i].data = bytes.Repeat([]byte("a line of the message\n"), 1<<20) // more than sockets hold
	}
	a := s.account("bob", mails)
	srv := s.serve(fmt.Sprintf("[limits]\nshutdown_time = %q\n", shutdown), msgCutOff)

	srv.connect()                                    // without a login
	idle := srv.login(a)                             // logged in
	idle.ok(t, "DELE 1")                             // and gone without QUIT
	_, err := fmt.Fprint(srv.login(a), "RETR 2\r\n") // and not read
	must(t, err)
	srv.connectTLS()

	must(t, srv.process.Signal(syscall.SIGTERM))
	begin := time.Now()
	if !srv.ended(bound) {
		t.Fatalf("the server runs %v after SIGTERM", bound)
	}
	took := time.Since(begin)
	if srv.exit != nil {
		t.Errorf("the server ended with %v", srv.exit)
	}
	if took < shutdown {
		t.Errorf("sessions had %v, shutdown_time is %v", took, shutdown)
	}
	t.Logf("ended after %v, shutdown_time is %v", took.Round(time.Millisecond), shutdown)
	if _, err := net.DialTimeout("tcp", srv.pop3, answerTime); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connection after the end: %v", err)
	}
	mustBeThere(t, a.maildir, mails)
}

// TestShutdownCompletes: what a client has asked for before SIGTERM is done, and
// a server without sessions does not wait for the rest of shutdown_time.
func TestShutdownCompletes(t *testing.T) {
	const many = 2000
	s := newSite(t)
	m := large()
	a, b := s.account("reader", []mail{m}), s.account("remover", numberedMails(many))
	srv := s.serve("") // shutdown_time is 20s
	reader, remover := srv.login(a), srv.login(b)
	reader.ok(t, "RETR 1")
	remover.deleteAll(t, many)
	_, err := io.WriteString(remover, "QUIT\r\n")
	must(t, err)
	must(t, srv.process.Signal(syscall.SIGTERM))
	begin := time.Now()
	if got, err := remover.answer(); err != nil || !strings.HasPrefix(got, "+OK") {
		t.Errorf("QUIT: %q, %v", got, err)
	}
	if n := countFiles(t, b.maildir); n != 0 {
		t.Errorf("%d of %d messages are left", n, many)
	}
	if got, err := reader.message(); err != nil || !bytes.Equal(got, m.octets()) {
		t.Errorf("RETR: %v, %s", err, difference(got, m.octets()))
	}
	// It may have been told to leave after its message.
	if got, err := reader.try("QUIT"); err == nil && !strings.HasPrefix(got, "+OK") && !strings.HasPrefix(got, "-ERR [SYS/TEMP]") {
		t.Errorf("QUIT: %q", got)
	}
	if !srv.ended(settleTime) || srv.exit != nil {
		t.Errorf("after %v: %v", time.Since(begin), srv.exit)
	}
}

// TestSecondSignal: it ends everything at once, and a removal that was under way
// is done or undone by the next server.
func TestSecondSignal(t *testing.T) {
	const (
		many  = 2000
		bound = 5 * time.Second // shutdown_time is 20s
	)
	s := newSite(t)
	a, b := s.account("idle", sample()[:3]), s.account("remover", numberedMails(many))
	srv := s.serve("", msgStopped, msgFault)
	roles := srv.processes()
	srv.login(a)
	remover := srv.login(b)
	remover.deleteAll(t, many)
	_, err := io.WriteString(remover, "QUIT\r\n")
	must(t, err)
	must(t, srv.process.Signal(syscall.SIGTERM))
	srv.logged("stopping", 1)
	must(t, srv.process.Signal(syscall.SIGTERM))
	if !srv.ended(bound) {
		t.Fatalf("the server runs %v after the second SIGTERM", bound)
	}
	if srv.exit == nil {
		t.Error("exit status 0")
	}
	for _, pid := range roles {
		if stat(pid) != nil {
			t.Errorf("process %d of %v is still there", pid, roles)
		}
	}
	srv.forgetSessions()

	next := srv.again()
	c := next.login(b)
	if got := c.ok(t, "STAT"); got != "+OK 0 0" && !strings.HasPrefix(got, fmt.Sprintf("+OK %d ", many)) {
		t.Errorf("STAT: %q, want all of %d messages or none", got, many)
	}
	c.ok(t, "QUIT")
}

// numberedMails are n short messages.
func numberedMails(n int) []mail {
	mails := make([]mail, n)
	for i := range mails {
		mails[i] = mail{dir: "cur", name: fmt.Sprintf("%d.M1P1.mx1:2,S", 1700000000+i), data: fmt.Appendf(nil, "Subject: %d\n\nText.\n", i)}
	}
	return mails
}

// deleteAll marks messages 1 to n.
func (c *conn) deleteAll(t testing.TB, n int) {
	t.Helper()
	const batch = 500 // whose answers fit what sockets hold
	for first := 1; first <= n; first += batch {
		last := min(n, first+batch-1)
		var commands strings.Builder
		for i := first; i <= last; i++ {
			fmt.Fprintf(&commands, "DELE %d\r\n", i)
		}
		_, err := io.WriteString(c, commands.String())
		must(t, err)
		for i := first; i <= last; i++ {
			if got, err := c.answer(); err != nil || !strings.HasPrefix(got, "+OK") {
				t.Fatalf("DELE %d: %q, %v", i, got, err)
			}
		}
	}
}

// countFiles counts the messages of a Maildir.
func countFiles(t testing.TB, maildir string) (n int) {
	t.Helper()
	for _, dir := range []string{"new", "cur"} {
		entries, err := os.ReadDir(maildir + "/" + dir)
		must(t, err)
		n += len(entries)
	}
	return n
}
