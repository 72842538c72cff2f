package pop3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"sidepop/pop3"
	"sidepop/pop3/memory"
)

// faulty is a backend whose maildrops fail as told.
type faulty struct {
	*memory.Backend
	refuse error                         // of logins
	body   func() (io.ReadCloser, error) // of messages
	remove func([]int) (int, error)      // of removals
}

type faultyDrop struct {
	pop3.Maildrop
	f *faulty
}

func (f *faulty) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	if f.refuse != nil {
		return nil, f.refuse
	}
	m, err := f.Backend.Password(ctx, p, user, password)
	return faultyDrop{m, f}, err
}

func (d faultyDrop) Open(ctx context.Context, i int) (io.ReadCloser, int64, error) {
	if d.f.body != nil {
		m, err := d.f.body()
		return m, 0, err
	}
	return d.Maildrop.Open(ctx, i)
}

func (d faultyDrop) Commit(ctx context.Context, i, retrieved []int) (int, error) {
	if d.f.remove != nil {
		return d.f.remove(i)
	}
	return d.Maildrop.Commit(ctx, i, retrieved)
}

func TestRemovalThatFails(t *testing.T) {
	events := newRecord()
	f := &faulty{Backend: alice("a\n", "b\n", "c\n"), remove: func([]int) (int, error) { return 2, errors.New("disk on fire") }}
	c := dial(t, serve(t, &pop3.Server{Backend: f, Events: events}))
	c.login()
	c.say("DELE 1", "DELE 2", "DELE 3", "QUIT")
	for range 3 {
		c.hear(`\+OK .*`)
	}
	c.hear(`-ERR \[SYS/TEMP\] 2 of 3 deleted messages were not removed`)
	c.hearEnd()
	s := events.summary(t)
	if s.Dele != 1 || s.Err == nil || !strings.Contains(s.Err.Error(), "disk on fire") {
		t.Errorf("the summary is %+v", s)
	}
}

// What a client has asked for in one breath with QUIT must have reached it, as
// far as anybody can know, before its messages are removed.
func TestLostConnectionBeforeRemoval(t *testing.T) {
	b := alice("a\n", "b\n")
	events := newRecord()
	c, conn := connect(t, &pop3.Server{Backend: b, Events: events})
	c.login()
	conn.broken.Store(true)
	c.say("RETR 1", "DELE 1", "RETR 2", "DELE 2", "QUIT")
	if s := events.summary(t); s.Reason != pop3.ReasonLost || s.Dele != 0 {
		t.Errorf("the summary is %+v", s)
	}
	if left := len(b.Messages("alice")); left != 2 {
		t.Errorf("%d messages are left", left)
	}
}

// endless gives so many octets and then fails.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := min(len(p), e.left)
	e.left -= n
	for i := range p[:n] {
		p[i] = "line\n"[i%5]
	}
	return n, nil
}

func TestMessageThatBreaksOffIsNotCompleted(t *testing.T) {
	for _, size := range []int{0, 100, 500_000} {
		for _, command := range []string{"RETR 1", "TOP 1 999999999"} {
			events := newRecord()
			f := &faulty{Backend: alice("a\n"), body: func() (io.ReadCloser, error) { return io.NopCloser(&endless{size}), nil }}
			c := dial(t, serve(t, &pop3.Server{Backend: f, Events: events, Settings: pop3.Settings{UTF8Headers: pop3.SendUTF8}}))
			c.login()
			c.say(command)
			c.hear(`\+OK .*`)
			rest, err := io.ReadAll(c.in)
			if err != nil || bytes.Contains(rest, []byte("\n.\r\n")) || bytes.HasPrefix(rest, []byte(".\r\n")) || len(rest) < size {
				t.Errorf("%s of %d octets: %d octets came, %v, the end is %q", command, size, len(rest), err, rest[max(0, len(rest)-10):])
			}
			_ = c.Close()
			if s := events.summary(t); s.Reason != pop3.ReasonMessage || s.Retr != 0 || s.Top != 0 {
				t.Errorf("%s of %d octets: the summary is %+v", command, size, s)
			}
		}
	}
}

func TestErrorsAreTranslated(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{pop3.ErrCredentials, `-ERR \[AUTH\] authentication failed`},
		{fmt.Errorf("%w: user nobody is unknown", pop3.ErrCredentials), `-ERR \[AUTH\] authentication failed`},
		{fmt.Errorf("database: %w", pop3.ErrTemporary), `-ERR \[SYS/TEMP\] temporary failure, try again later`},
		{pop3.ErrPermanent, `-ERR \[SYS/PERM\] the server is not set up for this account`},
		{errors.New("open /etc/shadow: no"), `-ERR \[SYS/TEMP\] temporary failure, try again later`},
		{&pop3.Error{Text: "come back tomorrow"}, `-ERR come back tomorrow`},
	} {
		events := newRecord()
		c := dial(t, serve(t, &pop3.Server{Backend: &faulty{Backend: alice(), refuse: test.err}, Events: events}))
		c.hear(`\+OK .*`)
		c.say("USER alice", "PASS secret")
		c.hear(`\+OK .*`)
		c.hear(test.want)
		if log := events.String(); !strings.Contains(log, "failed USER alice: "+test.err.Error()) {
			t.Errorf("the log is\n%s", log)
		}
	}
}

func TestMessageThatCanNotBeOpened(t *testing.T) {
	events := newRecord()
	failure := error(pop3.ErrGone)
	f := &faulty{Backend: alice("a\n"), body: func() (io.ReadCloser, error) { return nil, failure }}
	c := dial(t, serve(t, &pop3.Server{Backend: f, Events: events}))
	c.login()
	c.say("RETR 1")
	c.hear(`-ERR the message was removed by another program`)
	failure = errors.New("input/output error")
	c.say("TOP 1 1")
	c.hear(`-ERR \[SYS/TEMP\] temporary failure, try again later`)
	c.say("STAT")
	c.hear(`\+OK 1 3`)
	if log := events.String(); !strings.Contains(log, "fault alice command: input/output error") {
		t.Errorf("the log is\n%s", log)
	}
}

func TestPanicEndsOneSession(t *testing.T) {
	events := newRecord()
	f := &faulty{Backend: alice("a\n"), body: func() (io.ReadCloser, error) { panic("a defect") }}
	address := serve(t, &pop3.Server{Backend: f, Events: events})
	other := dial(t, address)
	other.login()
	c := dial(t, address)
	c.login()
	c.say("RETR 1")
	c.hearEnd()
	if s := events.summary(t); s.Reason != pop3.ReasonFault || !strings.Contains(s.Err.Error(), "a defect") {
		t.Errorf("the summary is %+v", s)
	}
	other.say("STAT")
	other.hear(`\+OK 1 3`)
}

// TestMarkFails: who removed nothing is not told that something was not removed.
func TestMarkFails(t *testing.T) {
	events := newRecord()
	f := &faulty{Backend: alice("a\n", "b\n"), remove: func([]int) (int, error) { return 0, errors.New("no way to mark") }}
	c := dial(t, serve(t, &pop3.Server{Backend: f, Events: events}))
	c.login()
	c.say("RETR 1")
	c.hear(`\+OK .*`)
	c.multiline()
	c.say("QUIT")
	c.hear(`\+OK 0 messages removed`)
	if s := events.summary(t); s.Reason != pop3.ReasonQuit || !strings.Contains(events.String(), "fault alice QUIT: no way to mark") {
		t.Errorf("%+v\n%s", s, events)
	}
}
