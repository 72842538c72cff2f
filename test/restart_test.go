package test

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const temporary = "-ERR [SYS/TEMP]"

// TestKeeperKilled: its end costs no session its connection and no message its
// rest; what needs it fails for the time being, and the next login waits for the
// next keeper. The front is the same all the time.
func TestKeeperKilled(t *testing.T) {
	s := newSite(t)
	mails := largeFirst()
	a := s.account("bob", mails)
	srv := s.serve("", msgEnded, msgUnreachable, msgFault, msgLoginFailed)
	front, keeper := srv.role(roleFront, 0), srv.role(roleKeeper, 0)
	if pid := srv.lockHolder(); pid != keeper {
		t.Errorf("the index is process %d's, the keeper is %d", pid, keeper)
	}
	reader, remover, idle := srv.login(a), srv.login(a), srv.connectTLS()
	reader.ok(t, "RETR 1")
	remover.ok(t, "DELE 2")
	remover.ok(t, "DELE 3")

	srv.kill(roleKeeper)
	begin := time.Now()
	if got, err := reader.message(); err != nil || !bytes.Equal(got, mails[0].octets()) {
		t.Errorf("the message under way: %v, %s", err, difference(got, mails[0].octets()))
	}
	for _, command := range []string{"RETR 5", "TOP 4 1"} {
		if got, err := reader.try(command); err != nil || !strings.HasPrefix(got, temporary) {
			t.Errorf("%s: %q, %v", command, got, err)
		}
	}
	reader.ok(t, "NOOP")
	reader.ok(t, "STAT")
	if got, err := remover.try("QUIT"); err != nil || !strings.HasPrefix(got, "-ERR") {
		t.Errorf("QUIT that should remove: %q, %v", got, err)
	}
	mustBeThere(t, a.maildir, mails)
	reader.ok(t, "QUIT") // there is nothing to remove

	idle.ok(t, "USER "+a.name)
	idle.ok(t, "PASS "+a.password)
	idle.ok(t, "RETR 2")
	if got, err := idle.message(); err != nil || !bytes.Equal(got, mails[1].octets()) {
		t.Errorf("%v, %s", err, difference(got, mails[1].octets()))
	}
	idle.ok(t, "QUIT")
	t.Logf("a session after %v", time.Since(begin).Round(time.Millisecond))
	if pid := srv.role(roleKeeper, keeper); pid != srv.lockHolder() {
		t.Errorf("the index is process %d's, the keeper is %d", srv.lockHolder(), pid)
	}
	if pid := srv.role(roleFront, 0); pid != front {
		t.Errorf("the front was %d and is %d", front, pid)
	}
	srv.awaitTLS()
	srv.fetchOne(a, mails[0])
}

// largeFirst is some mail, and before it a message that takes until it is read.
func largeFirst() []mail {
	mails := append([]mail{large()}, sample()[:4]...)
	for i := range mails {
		mails[i].dir, mails[i].name = "new", fmt.Sprintf("%d.M1P1.mx1", 1700000000+i)
	}
	return mails
}

// awaitTLS makes a whole handshake as soon as the keeper signs again.
func (s *server) awaitTLS() {
	s.t.Helper()
	await(s.t, "a TLS handshake", func() bool {
		c, err := s.dialTLS()
		if err != nil {
			return false
		}
		defer c.Close()
		got, err := c.answer()
		return err == nil && strings.HasPrefix(got, "+OK")
	})
}

// TestFrontKilled: its end costs its sessions, frees what they held, and removes
// nothing. Who connects meanwhile waits for the next one. The keeper is the same
// all the time.
func TestFrontKilled(t *testing.T) {
	s := newSite(t)
	mails := largeFirst()
	a, b := s.account("reader", mails), s.account("remover", mails)
	srv := s.serve("[limits]\nsessions_per_user = 1\n", msgEnded)
	keeper := srv.role(roleKeeper, 0)
	reader, remover := srv.login(a), srv.login(b)
	reader.ok(t, "RETR 1")
	remover.ok(t, "DELE 1")

	front := srv.kill(roleFront)
	begin := time.Now()
	waiting := srv.connect()
	waiting.ok(t, "USER "+b.name)
	waiting.ok(t, "PASS "+b.password) // nobody else is logged in any more
	t.Logf("a login after %v", time.Since(begin).Round(time.Millisecond))
	if got, err := reader.message(); err == nil || !bytes.HasPrefix(mails[0].octets(), got) {
		t.Errorf("the message under way: %d octets, %v", len(got), err)
	}
	if got, err := remover.try("QUIT"); err == nil {
		t.Errorf("a front that is gone says %q", got)
	}
	if got, want := waiting.ok(t, "STAT"), fmt.Sprintf("+OK %d ", len(mails)); !strings.HasPrefix(got, want) {
		t.Errorf("STAT: %q, want %q", got, want)
	}
	waiting.ok(t, "QUIT")
	mustBeThere(t, b.maildir, mails)
	srv.role(roleFront, front)
	if pid := srv.role(roleKeeper, 0); pid != keeper {
		t.Errorf("the keeper was %d and is %d", keeper, pid)
	}
	srv.fetchOne(a, mails[0])
	srv.awaitTLS()
}

// TestKilledAtQUIT: of a removal that a keeper or a front was killed in, either
// everything is done or nothing; and what was answered with +OK is done.
func TestKilledAtQUIT(t *testing.T) {
	const many = 1500
	for _, role := range []string{roleKeeper, roleFront} {
		for _, delay := range []time.Duration{0, 3 * time.Millisecond, 12 * time.Millisecond, 40 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s after %v", role, delay), func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				mails := numberedMails(many)
				a := s.account("bob", mails)
				srv := s.serve("[limits]\nsessions_per_user = 1\n", msgEnded, msgUnreachable, msgFault, msgLoginFailed)
				pid := srv.role(role, 0)
				c := srv.login(a)
				c.deleteAll(t, many)
				_, err := io.WriteString(c, "QUIT\r\n")
				must(t, err)
				time.Sleep(delay) // into the removal
				kill(t, pid)
				answer, _ := c.answer()

				c = srv.login(a)
				left := -1
				_, err = fmt.Sscanf(c.ok(t, "STAT"), "+OK %d", &left)
				must(t, err)
				c.ok(t, "QUIT")
				if left != 0 && left != many || left != 0 && strings.HasPrefix(answer, "+OK") {
					t.Errorf("%d of %d messages are left, after the answer %q", left, many, answer)
				}
				if n := countFiles(t, a.maildir); n != left {
					t.Errorf("%d files are left, and %d messages", n, left)
				}
				t.Logf("answer %q, %d messages are left", answer, left)
			})
		}
	}
}

// TestSupervisorKilled: the roles don't outlive it.
func TestSupervisorKilled(t *testing.T) {
	s := newSite(t)
	mails := sample()[:3]
	a := s.account("bob", mails)
	srv := s.serve("[limits]\nshutdown_time = \"1s\"\n", msgCutOff, msgUnreachable)
	c := srv.login(a)
	c.ok(t, "DELE 1")
	roles := srv.processes()
	must(t, srv.process.Kill())
	await(t, "the end of the roles", func() bool {
		for _, pid := range roles {
			if stat(pid) != nil {
				return false
			}
		}
		return true
	})
	<-srv.exited
	mustBeThere(t, a.maildir, mails)
	srv.again().fetchOne(a, mails[0])
}

// TestFrontAlone: a front that is started before its keeper speaks with clients
// and refuses their logins for the time being, until there is one.
func TestFrontAlone(t *testing.T) {
	s := newSite(t)
	mails := sample()[:3]
	a := s.account("bob", mails)
	srv := s.prepare("", msgUnreachable, msgLoginFailed)
	role := func(name string) *program {
		p := srv.start(exec.Command(sidepop(t), name, "--config", srv.config))
		t.Cleanup(func() {
			_ = p.process.Signal(syscall.SIGTERM)
			if !p.ended(stopTime) {
				t.Errorf("the %s runs %v after SIGTERM", name, stopTime)
				_ = p.process.Kill()
			}
		})
		return p
	}
	srv.program = role(roleFront)
	srv.awaitReady()
	early := srv.connect()
	refused := func(c *conn) bool {
		c.ok(t, "USER "+a.name)
		got, err := c.try("PASS " + a.password)
		if err != nil || !strings.HasPrefix(got, "+OK") && !strings.HasPrefix(got, temporary) {
			t.Fatalf("PASS: %q, %v", got, err)
		}
		return !strings.HasPrefix(got, "+OK")
	}
	for range 2 {
		if !refused(early) {
			t.Fatal("a login without a keeper")
		}
	}
	if c, err := srv.dialTLS(); err == nil {
		_ = c.Close()
		t.Error("a TLS handshake without a keeper")
	}

	keeper := role(roleKeeper)
	await(t, "a login", func() bool {
		c := srv.connect()
		defer c.Close()
		return !refused(c)
	})
	if refused(early) {
		t.Error("who was connected before is still refused")
	}
	early.ok(t, "QUIT")
	srv.awaitTLS()
	srv.fetchOne(a, mails[0])
	if srv.ended(0) || keeper.ended(0) {
		t.Error("a role has ended")
	}
}
