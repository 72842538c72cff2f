package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
	"sidepop/pop3/memory"
)

// rawFront is a front that says whatever it likes.
type rawFront struct {
	*testing.T
	*conn
}

func dialRaw(t *testing.T, k *keeper) *rawFront {
	t.Helper()
	u, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: k.path})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConn(u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	if err := u.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &rawFront{t, c}
}

func (f *rawFront) say(packet []byte, descriptors ...int) {
	f.Helper()
	var control []byte
	if len(descriptors) > 0 {
		control = unix.UnixRights(descriptors...)
	}
	if err := f.send(packet, control); err != nil {
		f.Fatal(err)
	}
}

// hear gives the next packet's verb, and what follows.
func (f *rawFront) hear(want verb) *decoder {
	f.Helper()
	in, err := f.receive(true)
	if err != nil {
		f.Fatalf("instead of %d: %v", want, err)
	}
	closeAll(in.descriptors)
	v, d, err := decode(in.packet)
	if err != nil || v != want {
		f.Fatalf("the keeper says %d, %v, not %d", v, err, want)
	}
	return d
}

// hearEnd waits until the keeper has closed the connection, with nothing said.
func (f *rawFront) hearEnd() {
	f.Helper()
	in, err := f.receive(true)
	if !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
		f.Fatalf("instead of the end: %q, %v", in.packet, err)
	}
}

func request(v verb, numbers ...int) []byte {
	p := []byte{version, byte(v)}
	for _, n := range numbers {
		p = appendUint(p, n)
	}
	return p
}

func loginPacket(user, password string) []byte {
	p := appendBytes([]byte{version, byte(verbPassword)}, user)
	return appendLogin(appendBytes(p, password), background, peer)
}

// logIn logs in as alice, who has three messages.
func (f *rawFront) logIn() {
	f.Helper()
	f.say(loginPacket("alice", "secret"))
	d := f.hear(verbLoggedIn)
	if user, n := d.string(maxName), d.int(maxMessages); user != "alice" || n != 3 {
		f.Fatalf("%q has %d messages", user, n)
	}
}

func alice() *memory.Backend {
	b := memory.New()
	b.Add("alice", "secret", "Subject: one\n", "Subject: two\n", "Subject: three\n")
	b.Add("bob", "other", "Subject: bob's\n")
	return b
}

// TestHostileFront: what a front must not do ends its connection, is told, and
// removes nothing.
func TestHostileFront(t *testing.T) {
	long := make([]byte, MaxPacket)
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	changed := func(p []byte, at int, to byte) []byte { p[at] = to; return p }
	login := func() []byte { return loginPacket("alice", "secret") }
	tests := []struct {
		name   string
		in     bool // logged in
		say    [][]byte
		broken string
	}{
		{"no login first", false, [][]byte{request(verbOctets, 0, 1)}, "out of turn"},
		{"commit without login", false, [][]byte{request(verbCommit, 0, 0)}, "out of turn"},
		{"response without challenge", false, [][]byte{request(verbResponse, 0)}, "out of turn"},
		{"an answer", false, [][]byte{request(verbLoggedIn)}, "out of turn"},
		{"unknown verb", false, [][]byte{request(99)}, "out of turn"},
		{"verb 0", false, [][]byte{request(0)}, "out of turn"},
		{"sign without control", false, [][]byte{request(verbSign, 1)}, "out of turn"},
		{"counts without control", false, [][]byte{request(verbCounts, 1)}, "out of turn"},
		{"other version", false, [][]byte{changed(login(), 0, version+1)}, "another version"},
		{"one octet", false, [][]byte{{version}}, "too short"},
		{"login cut short", false, [][]byte{login()[:len(login())-1]}, "too short"},
		{"login with more", false, [][]byte{append(login(), 0)}, "after the end"},
		{"user too long", false, [][]byte{appendBytes([]byte{version, byte(verbPassword)}, long[:maxName+1])}, "length"},
		{"length beyond the packet", false, [][]byte{{version, byte(verbPassword), 100, 'a'}}, "too short"},
		{"number not shortest", false, [][]byte{{version, byte(verbPassword), 0x80, 0}}, "shortest"},
		{"number of eleven octets", false, [][]byte{append([]byte{version, byte(verbPassword)}, strings.Repeat("\xFF", 11)...)}, "out of range"},
		{"mechanism with a line end", false, [][]byte{appendLogin(appendBool(appendBytes(request(verbSASL), "A\nB"), false), background, peer)}, "not allowed"},
		{"forged line", false, [][]byte{loginOf("q\nlogin session=FORGED", "", "")}, "not allowed"},
		{"escape sequence", false, [][]byte{loginOf("q\x1B[2J", "", "")}, "not allowed"},
		{"session with a space", false, [][]byte{loginOf("q x", "", "")}, "not allowed"},
		{"session with a hyphen", false, [][]byte{loginOf("q-x", "", "")}, "not allowed"},
		{"session beyond ASCII", false, [][]byte{loginOf("\u00E9", "", "")}, "not allowed"},
		{"session too long", false, [][]byte{loginOf(strings.Repeat("x", maxSession+1), "", "")}, "length"},
		{"zone with a line end", false, [][]byte{loginOf("q", "eth0\n", "")}, "not allowed"},
		{"zone with a space", false, [][]byte{loginOf("q", "eth 0", "")}, "not allowed"},
		{"server with a line end", false, [][]byte{loginOf("q", "", "a\r\nb")}, "not allowed"},
		{"server with DEL", false, [][]byte{loginOf("q", "", "a\x7F")}, "not allowed"},
		{"server with C1", false, [][]byte{loginOf("q", "", "a\x9B")}, "not allowed"},
		{"server with bidi", false, [][]byte{loginOf("q", "", "a\u202Eb")}, "not allowed"},
		{"listing without login", false, [][]byte{request(verbListing, 0)}, "out of turn"},
		{"control with more", false, [][]byte{request(verbControl, 1)}, "after the end"},

		{"leave without login", false, [][]byte{request(verbLeave)}, "out of turn"},
		{"leave with more", true, [][]byte{request(verbLeave, 0)}, "after the end"},
		{"leave twice", true, [][]byte{request(verbLeave), request(verbLeave)}, "out of turn"},
		{"messages of the session before", true, [][]byte{request(verbLeave), request(verbOpen, 0, 1)}, "out of turn"},
		{"listing of the session before", true, [][]byte{request(verbLeave), request(verbListing, 0)}, "out of turn"},
		{"removal of the session before", true, [][]byte{request(verbNumbers, toRemove, 1), request(verbLeave), request(verbCommit, 1, 0)}, "out of turn"},

		{"second login", true, [][]byte{login()}, "out of turn"},
		{"control after login", true, [][]byte{request(verbControl)}, "out of turn"},
		{"first message too high", true, [][]byte{request(verbUIDLs, 3, 1)}, "out of range"},
		{"too many messages", true, [][]byte{request(verbUIDLs, 1, 3)}, "out of range"},
		{"no messages", true, [][]byte{request(verbOctets, 0, 0)}, "out of range"},
		{"no number", true, [][]byte{request(verbOctets, 0)}, "too short"},
		{"open beyond", true, [][]byte{request(verbOpen, 3, 1)}, "out of range"},
		{"open huge", true, [][]byte{append(request(verbOpen), "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x01"...)}, "out of range"},
		{"open too many", true, [][]byte{request(verbOpen, 0, MaxOpen+1)}, "out of range"},
		{"third listing", true, [][]byte{request(verbListing, 2)}, "out of range"},
		{"listing of nothing", true, [][]byte{request(verbListing)}, "too short"},
		{"listing of a message", true, [][]byte{request(verbListing, 0, 1)}, "after the end"},
		{"remove what is not there", true, [][]byte{request(verbNumbers, toRemove, 4)}, "out of range"},
		{"remove beyond", true, [][]byte{request(verbNumbers, toRemove, 1, 3)}, "out of range"},
		{"remove twice", true, [][]byte{request(verbNumbers, toRemove, 1, 0)}, "out of range"},
		{"remove more, later", true, [][]byte{request(verbNumbers, toRemove, 3), request(verbNumbers, toRemove, 1)}, "out of range"},
		{"third set", true, [][]byte{request(verbNumbers, 2, 1)}, "out of range"},
		{"commit of more", true, [][]byte{request(verbNumbers, toRemove, 1), request(verbCommit, 2, 0)}, "removal of other"},
		{"commit of less", true, [][]byte{request(verbNumbers, toRemove, 1), request(verbCommit, 0, 0)}, "removal of other"},
		{"remove what was retrieved", true, [][]byte{
			request(verbNumbers, toRemove, 1, 2), request(verbNumbers, wasRetrieved, 3), request(verbCommit, 2, 1)}, "removal of other"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := alice()
			k := newKeeper(t, b)
			f := dialRaw(t, k)
			if test.in {
				f.logIn()
			}
			for _, p := range test.say {
				f.say(p)
			}
			f.hearEnd()
			waitFor(t, "broken", func() bool { return strings.Contains(k.events.String(), "broken") })
			if told := k.events.String(); !strings.Contains(told, test.broken) || strings.Contains(told, "\n") {
				t.Errorf("told: %s", told)
			}
			if n := len(b.Messages("alice")); n != 3 {
				t.Errorf("%d messages are left", n)
			}
		})
	}
}

// TestLongPacket: what is longer than a packet may be is not taken for one.
func TestLongPacket(t *testing.T) {
	k := newKeeper(t, alice())
	f := dialRaw(t, k)
	_ = f.SetWriteBuffer(4 * MaxPacket)
	if _, err := f.Write(append(loginPacket("alice", "secret"), make([]byte, MaxPacket)...)); err != nil {
		t.Fatal(err)
	}
	f.hearEnd()
	waitFor(t, "broken", func() bool { return strings.Contains(k.events.String(), string(errTruncated)) })
}

// TestEmptyPacket: it looks like the end of the connection, and is.
func TestEmptyPacket(t *testing.T) {
	k := newKeeper(t, alice())
	f := dialRaw(t, k)
	f.logIn()
	f.say(nil)
	f.hearEnd()
}

// TestUnwantedDescriptors: they are closed, and the connection ends.
func TestUnwantedDescriptors(t *testing.T) {
	b := alice()
	for _, in := range []bool{false, true} {
		k := newKeeper(t, b)
		f := dialRaw(t, k)
		packet := loginPacket("alice", "secret")
		if in {
			f.logIn()
			packet = request(verbOpen, 0, 1)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		f.say(packet, int(w.Fd()), int(w.Fd()), int(w.Fd()))
		_ = w.Close()
		f.hearEnd()
		waitFor(t, "broken", func() bool { return strings.Contains(k.events.String(), string(errRights)) })
		if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); err != io.EOF { // while any copy of w is open, there is none
			t.Errorf("a descriptor stayed open: %v", err)
		}
	}
}

// TestPipelinedRequests: each gets its answer, in order.
func TestPipelinedRequests(t *testing.T) {
	k := newKeeper(t, alice())
	f := dialRaw(t, k)
	f.say(loginPacket("alice", "secret"))
	f.say(request(verbOctets, 0, 3))
	f.say(request(verbUIDLs, 2, 1))
	f.hear(verbLoggedIn)
	d := f.hear(verbOctetsAre)
	for _, want := range []int{14, 14, 16} {
		if got := d.int(100); got != want {
			t.Errorf("octets: %d", got)
		}
	}
	if err := d.end(); err != nil {
		t.Error(err)
	}
	if d := f.hear(verbUIDLsAre); d.string(maxUIDL) != "3.memory" || d.end() != nil {
		t.Errorf("UIDLs: %v", d)
	}
}

// TestFlood: connections above the bound are turned away, and once there is
// room again, logins work.
func TestFlood(t *testing.T) {
	const bound = 10
	k := &keeper{TB: t}
	k.folder()
	k.Server = &Server{}
	k.Allow(bound)
	k.serve(alice())
	t.Cleanup(k.stop)
	var silent []*rawFront
	for range 3 * bound {
		silent = append(silent, dialRaw(t, k))
	}
	waitFor(t, "refused", func() bool { return strings.Count(k.events.String(), "too many") >= 2*bound })
	c := &Client{Path: k.path}
	if _, err := c.Password(background, peer, "alice", "secret"); !errors.Is(err, pop3.ErrTemporary) || Told(err) {
		t.Errorf("a login above the bound: %v", err)
	}
	for _, f := range silent {
		_ = f.Close()
	}
	waitFor(t, "room", func() bool {
		m, err := c.Password(background, peer, "alice", "secret")
		if err == nil {
			_ = m.Close()
		}
		return err == nil
	})
}

// TestOtherUser: who is not allowed is turned away at once.
func TestOtherUser(t *testing.T) {
	k := &keeper{TB: t}
	k.folder()
	k.Server = &Server{Allowed: func(uid uint32) bool { return uid != uint32(os.Geteuid()) }}
	k.serve(alice())
	t.Cleanup(k.stop)
	f := dialRaw(t, k)
	f.hearEnd()
	waitFor(t, "refused", func() bool { return strings.Contains(k.events.String(), "may not use") })
}
