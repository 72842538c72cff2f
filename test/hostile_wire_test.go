package test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRandomFrames: packets of any kind, and such as are nearly right. Meanwhile
// the victim is served.
func TestRandomFrames(t *testing.T) {
	const (
		connections = 250
		packets     = 16 // of each
	)
	x := newAttacked(t)
	x.good()
	r := rand.New(rand.NewPCG(seed, seed))
	sent, logins := 0, 0
	for i := range connections {
		c := x.front()
		if i%3 != 0 {
			if c.logIn(x.own, newSession())[1] == wireLoggedIn {
				logins++
			}
		}
		for range packets {
			if c.say(x.random(r)) != nil {
				break
			}
			sent++
		}
		c.drain(time.Millisecond)
		_ = c.Close()
		if i%10 == 0 {
			x.good()
		}
	}
	t.Logf("%d packets, %d logins, %d sessions of the victim meanwhile", sent, logins, x.sessions)
	if logins < connections/2 || sent < connections {
		t.Error("too few to tell anything")
	}
	x.check()
}

// random is a packet: of random octets, or a right one of which some octets are
// changed, missing or too many.
func (x *attacked) random(r *rand.Rand) []byte {
	octets := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		return p
	}
	if r.IntN(4) == 0 {
		return octets(r.IntN(300))
	}
	right := [][]byte{
		wireLogin(x.own, newSession()),
		frame(wireSASL, "PLAIN", 1, "\x00victim\x00guess", wirePeer("s")), frame(wireSASL, "LOGIN", 0, wirePeer("s")),
		frame(wireAPOP, "victim", "<1@mx1>", string(octets(16)), wirePeer("s")),
		frame(wireResponse, octets(10)),
		frame(wireOctets, r.IntN(20), 1), frame(wireUIDLs, r.IntN(20), 1), frame(wireOpen, r.IntN(20), 1),
		frame(wireNumbers, r.IntN(3), r.IntN(30)), frame(wireCommit, r.IntN(2), 0),
		frame(wireControl), frame(wireSign, r.IntN(9), octets(32), r.IntN(9), string(octets(32))),
		frame(wireCounts, 0, 0, 0, 0, 0, 0),
	}
	p := right[r.IntN(len(right))]
	switch r.IntN(5) {
	case 0:
		p = p[:r.IntN(len(p))]
	case 1:
		p = append(p, octets(1+r.IntN(20))...)
	case 2:
		p[r.IntN(len(p))] = byte(r.Uint32())
	case 3:
		at := r.IntN(len(p))
		p = append(p[:at:at], append(octets(1+r.IntN(9)), p[at:]...)...)
	}
	return p
}

// TestWireFlood: as many connections as the keeper takes, silent, logged in or on
// control, keep the others out no longer than they are there, and those below the
// bound nobody at all.
func TestWireFlood(t *testing.T) {
	x := newAttacked(t)
	x.good()
	before := len(descriptors(t, x.keeper))
	var held []*wireConn
	for i := range wireLimit - 4 { // the front's control connection, and a session
		c := x.front()
		switch i % 4 {
		case 1:
			if answer := c.logIn(x.own, newSession()); answer[1] != wireLoggedIn {
				t.Fatalf("login %d: %q", i, answer)
			}
		case 2:
			must(t, c.say(frame(wireControl)))
		}
		held = append(held, c)
	}
	x.good()
	for range 3 * wireLimit {
		held = append(held, x.front())
	}
	x.logged(msgFrontRefused, 20) // no more of them in a minute
	if pid := x.role(roleKeeper, 0); pid != x.keeper {
		t.Fatal("the keeper has ended")
	}
	for _, c := range held {
		_ = c.Close()
	}
	await(t, "the end of the connections", func() bool { return len(descriptors(t, x.keeper)) <= before })
	x.check()

	// Requests whose answers nobody reads.
	deaf := x.front()
	if answer := deaf.logIn(x.own, newSession()); answer[1] != wireLoggedIn {
		t.Fatalf("login: %q", answer)
	}
	signer := x.front()
	must(t, signer.say(frame(wireControl)))
	must(t, deaf.SetWriteDeadline(time.Now().Add(time.Second)))
	must(t, signer.SetWriteDeadline(time.Now().Add(time.Second)))
	var err error
	for i := 0; i < 5000 && err == nil; i++ {
		err = deaf.say(frame(wireOpen, 0, 16))
	}
	if !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("who does not take descriptors can go on asking for them: %v", err)
	}
	for i := range 5000 {
		if signer.say(frame(wireSign, i, bytes.Repeat([]byte("x"), 32), 1, strings.Repeat("y", 32))) != nil {
			break
		}
	}
	x.good()
	if n := len(descriptors(t, x.keeper)); n > before+100 {
		t.Errorf("the keeper has %d descriptors, and had %d", n, before)
	}
	_, _ = deaf.Close(), signer.Close()
	await(t, "the end of the connections", func() bool { return len(descriptors(t, x.keeper)) <= before })
	x.check()
	x.awaitTLS()
}

// TestDeafFront: a command that asks about sessions has its answer in time, even
// if a front that was taken over says nothing.
func TestDeafFront(t *testing.T) {
	x := newAttacked(t)
	x.good()
	c := x.front()
	must(t, c.say(frame(wireControl)))
	packet, _, err := c.hear()
	if err != nil || packet[1] != wireState {
		t.Fatalf("%q, %v", packet, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), answerTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, sidepop(t), "sessions", "--config", x.config).CombinedOutput()
	if ctx.Err() != nil {
		t.Errorf("sidepop sessions waits for the front: %v", err)
	}
	t.Logf("sidepop sessions: %v, %q", err, out)
	x.check()
}

// TestOtherUsers: the keeper speaks with its front's user alone, whoever gets to
// its socket.
func TestOtherUsers(t *testing.T) {
	x := newAttacked(t)
	x.good()
	uid, _ := identityOf(t, nobody)
	frontUID, frontGID := identityOf(t, frontUser)
	for i, id := range []int{uid, hostileUID, victimUID} {
		if c, err := x.dialKeeper(id, id); err == nil {
			_ = c.Close()
			t.Errorf("user %d may open the socket", id)
		} else if !errors.Is(err, unix.EACCES) {
			t.Error(err)
		}
		c, err := x.dialKeeper(id, frontGID) // with the group that may
		must(t, err)
		_ = c.say(wireLogin(x.own, newSession()))
		if packet, _, err := c.hear(); err != io.EOF {
			t.Errorf("user %d is answered: %q, %v", id, packet, err)
		}
		if got := x.logged(msgFrontRefused, i+1)[i]; !strings.Contains(got.Reason, "may not use the keeper") || got.UID != id {
			t.Errorf("in the log: %+v", got)
		}
	}
	c, err := x.dialKeeper(frontUID, frontGID)
	must(t, err)
	if answer := c.logIn(x.own, newSession()); answer[1] != wireLoggedIn {
		t.Errorf("the front's user: %q", answer)
	}
	x.check()
}

// TestPassedMail: what the front gets of an account is descriptors of its own
// mail that can only be read.
func TestPassedMail(t *testing.T) {
	x := newAttacked(t)
	c := x.front()
	if answer := c.logIn(x.own, newSession()); answer[1] != wireLoggedIn {
		t.Fatalf("login: %q", answer)
	}
	must(t, c.say(frame(wireOpen, 0, 16)))
	packet, files, err := c.hear()
	if err != nil || packet[1] != wireOpened || len(files) != 16 {
		t.Fatalf("%d files, %q, %v", len(files), packet, err)
	}
	for i, data := range files {
		if want := numberedMails(20)[i].data; !bytes.Equal(data, want) {
			t.Errorf("message %d: %q, want %q", i+1, data, want)
		}
	}
	theirs := x.front() // with the password of the victim it gets the victim's, so it can be found
	if answer := theirs.logIn(x.victim, newSession()); answer[1] != wireLoggedIn {
		t.Fatalf("login: %q", answer)
	}
	must(t, theirs.say(frame(wireOpen, 0, 3)))
	if _, files, err := theirs.hear(); err != nil || len(files) != 3 || !bytes.Contains(files[2], []byte(marker)) {
		t.Errorf("%q, %v", files, err)
	}
	must(t, c.say(frame(wireNumbers, 0, 1)))
	must(t, c.say(frame(wireCommit, 1, 0)))
	if packet, _, err = c.hear(); err != nil || !bytes.Equal(packet, frame(wireCommitted, 0)) {
		t.Errorf("%q, %v", packet, err)
	}
	if n := countFiles(t, x.own.maildir); n != 19 {
		t.Errorf("%d of 20 messages are left", n)
	}
	x.check()
}
