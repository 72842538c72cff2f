package pop3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"sidepop/pop3"
	"sidepop/pop3/memory"
)

// lister notes what its maildrops are asked to list, and stops listing, with err
// if there is one, before the message with the number stop.
type lister struct {
	*memory.Backend
	asked []string
	stop  int // 0: none
	err   error
}

type listerDrop struct {
	pop3.Maildrop
	l *lister
}

func (l *lister) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	m, err := l.Backend.Password(ctx, p, user, password)
	return listerDrop{m, l}, err
}

func (d listerDrop) Octets(ctx context.Context, first, n int) iter.Seq2[int64, error] {
	d.l.asked = append(d.l.asked, fmt.Sprintf("octets %d+%d", first, n))
	return stopped(d.l, first, d.Maildrop.Octets(ctx, first, n))
}

func (d listerDrop) UIDLs(ctx context.Context, first, n int) iter.Seq2[string, error] {
	d.l.asked = append(d.l.asked, fmt.Sprintf("uidls %d+%d", first, n))
	return stopped(d.l, first, d.Maildrop.UIDLs(ctx, first, n))
}

func stopped[T any](l *lister, first int, values iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		i := first
		for v, err := range values {
			if i++; i == l.stop {
				if l.err != nil {
					yield(v, l.err)
				}
				return
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// The backend is asked for as little as the answers need: sizes of what lies
// between deleted messages once, and only if somebody asks after a deletion.
func TestWhatListingsAskFor(t *testing.T) {
	l := &lister{Backend: alice("1\n", "12\n", "123\n", "1234\n", "12345\n", "123456\n")}
	c := dial(t, serve(t, &pop3.Server{Backend: l, Settings: pop3.Settings{UTF8Headers: pop3.SendUTF8}}))
	c.login()
	for _, test := range []struct{ say, want, asked string }{
		{"STAT", `\+OK 6 33`, ""},
		{"LIST 5", `\+OK 5 7`, "octets 4+1"},
		{"UIDL 5", `\+OK 5 5\.memory`, "uidls 4+1"},
		{"DELE 5", `\+OK .*`, ""},
		{"DELE 2", `\+OK .*`, ""},
		{"DELE 4", `\+OK .*`, ""},
		{"LIST 6", `\+OK 6 8`, "octets 5+1"},
		{"STAT", `\+OK 3 16`, "octets 1+4"},
		{"STAT", `\+OK 3 16`, ""},
		{"DELE 6", `\+OK .*`, ""},
		{"DELE 6", `-ERR .*`, ""},
		{"STAT", `\+OK 2 8`, "octets 5+1"},
		{"RSET", `\+OK 6 messages \(33 octets\)`, ""},
		{"STAT", `\+OK 6 33`, ""},
		{"DELE 1", `\+OK .*`, ""},
		{"STAT", `\+OK 5 30`, "octets 0+1"},
	} {
		l.asked = nil
		c.say(test.say)
		c.hear(test.want)
		if got := strings.Join(l.asked, ", "); got != test.asked {
			t.Errorf("%s asks for %q, not %q", test.say, got, test.asked)
		}
	}
	l.asked = nil
	c.say("RETR 2", "QUIT")
	_, _ = io.ReadAll(c.in)
	if len(l.asked) > 0 {
		t.Errorf("RETR and QUIT ask for %q", l.asked)
	}
}

// The lines of a listing have the numbers that the messages have, deleted ones
// left out.
func TestListingNumbers(t *testing.T) {
	c := dial(t, serve(t, &pop3.Server{Backend: alice(make([]string, 10_001)...)}))
	c.login()
	removed := []int{1, 9, 10, 99, 100, 1000, 9999}
	for _, n := range removed {
		c.say(fmt.Sprintf("DELE %d", n))
		c.hear(`\+OK .*`)
	}
	var list, uidl strings.Builder
	for n := 1; n <= 10_001; n++ {
		if !slices.Contains(removed, n) {
			fmt.Fprintf(&list, "%d 0\r\n", n)
			fmt.Fprintf(&uidl, "%d %d.memory\r\n", n, n)
		}
	}
	for command, want := range map[string]string{"LIST": list.String(), "UIDL": uidl.String()} {
		c.say(command)
		c.hear(`\+OK 9994 messages \(0 octets\) follow`)
		if got := c.multiline(); got != want {
			t.Errorf("%s is wrong: %.100q", command, got)
		}
	}
}

// A backend that can't list everything: no client takes a part for the whole.
func TestListingsThatBreakOff(t *testing.T) {
	for _, err := range []error{errors.New("socket gone"), nil} {
		t.Run(fmt.Sprint(err), func(t *testing.T) {
			for _, command := range []string{"LIST", "UIDL"} {
				for stop := 1; stop <= 3; stop++ {
					events := newRecord()
					l := &lister{Backend: alice("a\n", "b\n", "c\n"), stop: stop, err: err}
					c := dial(t, serve(t, &pop3.Server{Backend: l, Events: events}))
					c.login()
					c.say(command, "NOOP")
					c.hear(`\+OK 3 messages \(9 octets\) follow`)
					rest, _ := io.ReadAll(c.in)
					if lines := strings.Split(string(rest), "\r\n"); len(lines) != stop || slices.Contains(lines, ".") {
						t.Errorf("%s that stops before message %d goes on with %q", command, stop, rest)
					}
					_ = c.Close()
					if s := events.summary(t); s.Reason != pop3.ReasonMessage || s.Err == nil || err != nil && s.Err != err {
						t.Errorf("%s that stops before message %d: the summary is %+v", command, stop, s)
					}
				}
			}
			l := &lister{Backend: alice("a\n", "b\n", "c\n"), stop: 2, err: err}
			events := newRecord()
			c := dial(t, serve(t, &pop3.Server{Backend: l, Events: events}))
			c.login()
			c.say("DELE 1", "DELE 3")
			c.hear(`\+OK .*`)
			c.hear(`\+OK .*`)
			for _, command := range []string{"LIST 2", "UIDL 2", "STAT", "LIST", "UIDL"} {
				c.say(command)
				c.hear(`-ERR \[SYS/TEMP\] temporary failure, try again later`)
			}
			l.stop = 0
			c.say("STAT")
			c.hear(`\+OK 1 3`)
			if log := events.String(); strings.Count(log, "fault alice command: ") != 5 {
				t.Errorf("the log is\n%s", log)
			}
		})
	}
}
