package test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// attacked is a server whose front was taken over. The attacker has the password
// of one account and not of the victim's, which goes on using the real front.
type attacked struct {
	*server
	victim, own account
	secret      []mail
	keeper      int
	sessions    int // of the victim, so far
}

// wireLimit is how many connections the keeper takes of 20 sessions.
const wireLimit = 2 * (20 + 1)

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	needRoot(t)
	s := newSite(t)
	secret := secretMail()
	x := &attacked{secret: secret}
	x.victim = s.user("victim", victimUID, victimUID, secret)
	x.own = s.user("own", hostileUID, hostileUID, numberedMails(20))
	x.server = s.serve("[limits]\nconnections = 20\nsessions_per_user = 100\n", msgFrontBroke, msgFrontRefused, msgLoginFailed, msgFault)
	x.keeper = x.role(roleKeeper, 0)
	return x
}

// good has the victim log in and fetch, through the real front.
func (x *attacked) good() {
	x.t.Helper()
	x.fetchOne(x.victim, x.secret[0])
	x.sessions++
}

// check makes sure that nothing came of it.
func (x *attacked) check() {
	x.t.Helper()
	x.good()
	mustBeThere(x.t, x.victim.maildir, x.secret)
	if pid := x.role(roleKeeper, 0); pid != x.keeper {
		x.t.Errorf("the keeper was %d and is %d", x.keeper, pid)
	}
	for _, e := range x.entries() {
		if strings.Contains(e.Reason, "panic") {
			x.t.Errorf("in the log: %s", e.Reason)
		}
	}
}

// drain hears all that the keeper says until it ends the connection, or says
// nothing for a while.
func (c *wireConn) drain(quiet time.Duration) (ended bool) {
	c.t.Helper()
	for {
		must(c.t, c.SetReadDeadline(time.Now().Add(quiet)))
		packet, files, err := c.hear()
		for _, data := range append(files, packet) {
			if bytes.Contains(data, []byte(marker)) {
				c.t.Fatalf("the keeper gives away %q", tail(data))
			}
		}
		switch {
		case err == io.EOF:
			return true
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false
		case err != nil:
			c.t.Fatal(err)
		}
	}
}

// misdeed is what a front must not say, or need not be believed.
type misdeed struct {
	name        string
	in          bool // logged in, as itself
	say         [][]byte
	descriptors []int
	quiet       bool // the connection stays
}

// misdeeds are those of a front that knows the victim's session, with descriptors
// to send along.
func (x *attacked) misdeeds(theirs string, pipe []int) []misdeed {
	huge := uint64(1<<64 - 1)
	long := bytes.Repeat([]byte("x"), wireMaxPacket+1)
	stranger := x.victim
	stranger.password = "wrong"
	return []misdeed{
		{"sizes without login", false, [][]byte{frame(wireOctets, 0, 1)}, nil, false},
		{"open without login", false, [][]byte{frame(wireOpen, 0, 1)}, nil, false},
		{"commit without login", false, [][]byte{frame(wireCommit, 0, 0)}, nil, false},
		{"response without challenge", false, [][]byte{frame(wireResponse, "x")}, nil, false},
		{"signature without control", false, [][]byte{frame(wireSign, 1, long[:32], 1, string(long[:32]))}, nil, false},
		{"counts without control", false, [][]byte{frame(wireCounts, 1, 0, 0, 0, 0, 0)}, nil, false},
		{"wrong password", false, [][]byte{wireLogin(stranger, newSession())}, nil, false},
		{"SASL with a mechanism that is none", false, [][]byte{frame(wireSASL, "XYZ", 0, wirePeer("s"))}, nil, false},
		{"SASL for another one", false, [][]byte{frame(wireSASL, "PLAIN", 1, "victim\x00"+x.own.name+"\x00"+x.own.password, wirePeer("s"))}, nil, false},
		{"SASL with an endless response", false, [][]byte{frame(wireSASL, "PLAIN", 0, wirePeer("s")), frame(wireResponse, string(long[:60000]))}, nil, false},
		{"an empty packet", false, [][]byte{{}}, nil, false},
		{"one octet", false, [][]byte{{wireVersion}}, nil, false},
		{"another version", false, [][]byte{append([]byte{2}, wireLogin(x.own, "s")[1:]...)}, nil, false},
		{"an unknown verb", false, [][]byte{frame(77)}, nil, false},
		{"too long", false, [][]byte{append(wireLogin(x.own, "s"), long...)}, nil, false},
		{"cut short", false, [][]byte{wireLogin(x.own, "s")[:20]}, nil, false},
		{"descriptors", false, [][]byte{wireLogin(x.own, "s")}, pipe, false},

		{"another login", true, [][]byte{wireLogin(x.own, "s")}, nil, false},
		{"another one's login", true, [][]byte{wireLogin(stranger, theirs)}, nil, false},
		{"control after login", true, [][]byte{frame(wireControl)}, nil, false},
		{"message beyond", true, [][]byte{frame(wireOpen, 20, 1)}, nil, false},
		{"messages beyond", true, [][]byte{frame(wireUIDLs, 19, 2)}, nil, false},
		{"huge message", true, [][]byte{frame(wireOpen, huge, 1)}, nil, false},
		{"huge count", true, [][]byte{frame(wireOctets, 0, huge)}, nil, false},
		{"many descriptors", true, [][]byte{frame(wireOpen, 0, 65)}, nil, false},
		{"none", true, [][]byte{frame(wireOpen, 0, 0)}, nil, false},
		{"removal of others", true, [][]byte{frame(wireNumbers, 0, 21), frame(wireCommit, 1, 0)}, nil, false},
		{"removal of more than named", true, [][]byte{frame(wireNumbers, 0, 1), frame(wireCommit, 2, 0)}, nil, false},
		{"removal of what was not named", true, [][]byte{frame(wireCommit, 1, 0)}, nil, false},
		{"removal twice", true, [][]byte{frame(wireNumbers, 0, 1, 0)}, nil, false},
		{"commit twice", true, [][]byte{frame(wireNumbers, 0, 1), frame(wireCommit, 1, 0), frame(wireCommit, 1, 0)}, nil, false},
		{"listing of something else", true, [][]byte{frame(wireListing, 2)}, nil, false},
		{"request with descriptors", true, [][]byte{frame(wireOpen, 0, 1)}, pipe, false},
		{"everything that is allowed", true, [][]byte{frame(wireOctets, 0, 19), frame(wireUIDLs, 0, 19)}, nil, true},

		{"control, and a login", false, [][]byte{frame(wireControl), wireLogin(x.own, "s")}, nil, false},
		{"control, and unknown certificate", false, [][]byte{frame(wireControl), frame(wireSign, 1, long[:32], 1, string(long[:32]))}, nil, true},
		{"control, and another way to sign", false, [][]byte{frame(wireControl), frame(wireSign, 1, long[:32], 99, string(long[:32]))}, nil, false},
		{"control, and counts nobody asked for", false, [][]byte{frame(wireControl), frame(wireCounts, 1, 0, 0, 0, 0, 0)}, nil, false},
	}
}

// TestHostileFront: what a front can say beside what it should gives it nothing,
// ends its connection, and disturbs nobody else.
func TestHostileFront(t *testing.T) {
	x := newAttacked(t)
	x.good()
	victims := x.loginTLS(x.victim) // there all the time
	theirs := x.logged(msgLogin, 2)[1].Session
	pipe := make([]int, 2)
	must(t, unix.Pipe(pipe))
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	for _, test := range x.misdeeds(theirs, pipe) {
		t.Run(test.name, func(t *testing.T) {
			c := x.front()
			defer c.Close()
			c.t = t
			if test.in {
				if answer := c.logIn(x.own, theirs); answer[1] != wireLoggedIn {
					t.Fatalf("login: %q", answer)
				}
			}
			for _, p := range test.say {
				if len(p) > wireMaxPacket {
					must(t, c.SetWriteBuffer(4*wireMaxPacket))
				}
				if err := c.say(p, test.descriptors...); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
					t.Fatal(err)
				}
			}
			quiet := answerTime
			if test.quiet {
				quiet = 100 * time.Millisecond
			}
			if ended := c.drain(quiet); ended == test.quiet {
				t.Errorf("the keeper ended the connection: %v", ended)
			}
		})
	}
	victims.ok(t, "RETR 1")
	if got, err := victims.message(); err != nil || !bytes.Equal(got, x.secret[0].octets()) {
		t.Errorf("the victim's session: %v, %s", err, difference(got, x.secret[0].octets()))
	}
	victims.ok(t, "QUIT")
	x.check()
	if n := countFiles(t, x.own.maildir); n != 19 {
		t.Errorf("%d of 20 messages are left, one was removed", n)
	}
}
