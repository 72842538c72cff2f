package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
	"sidepop/pop3/memory"
)

// joined is what the corpora of fuzz tests hold: packets, each after its length
// in two octets.
func joined(packets ...[]byte) (all []byte) {
	for _, p := range packets {
		all = append(binary.BigEndian.AppendUint16(all, uint16(len(p))), p...)
	}
	return all
}

func split(all []byte) (packets [][]byte) {
	for len(all) > 2 {
		n := min(int(binary.BigEndian.Uint16(all)), len(all)-2)
		if n > 0 {
			packets = append(packets, all[2:2+n])
		}
		all = all[2+n:]
	}
	return packets
}

// pair is two ends of a connection.
func pair(t testing.TB) (a, b *conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		u, err := net.FileConn(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if ends[i], err = newConn(u.(*net.UnixConn)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { u.Close() })
	}
	return ends[0], ends[1]
}

// FuzzKeeper lets a front say anything. It gets into no other account than one
// whose password it says, and removes nothing that it did not name in a commit;
// nothing panics.
func FuzzKeeper(f *testing.F) {
	login := loginPacket("alice", "secret")
	f.Add(joined(login, request(verbOctets, 0, 3), request(verbUIDLs, 1, 2), request(verbOpen, 0, 2)))
	f.Add(joined(login, request(verbNumbers, toRemove, 1), request(verbNumbers, wasRetrieved, 2), request(verbCommit, 1, 1)))
	f.Add(joined(login, request(verbListing, 0), request(verbListing, 1), request(verbListing, 0), request(verbCommit, 0, 0), request(verbListing, 0)))
	f.Add(joined(request(verbControl), request(verbCounts, 1, 1, 1, 1, 1, 1)))
	f.Add(joined(appendLogin(appendBool(appendBytes(request(verbSASL), "PLAIN"), false), background, pop3.Peer{}), appendBytes(request(verbResponse), "\x00alice\x00secret")))
	f.Add(joined(appendLogin(appendBytes(appendBytes(appendBytes(request(verbAPOP), "alice"), "<1@x>"), strings.Repeat("0", 32)), background, peer)))
	f.Fuzz(func(t *testing.T, said []byte) {
		b := memory.New()
		b.Add("alice", "secret", "one\n", "two\n", "three\n")
		b.Add("root", "\x00 nobody says this \x00", "other\n")
		events := &record{}
		s := &Server{Events: events}
		s.SetBackend(versioned{b})
		s.setUp()
		defer s.listings.close()
		theirs, ours := pair(t)
		x := &session{server: s, conn: ours}
		done := make(chan struct{})
		go func() { defer close(done); x.serve() }()
		commits := false
		for _, p := range split(said) {
			commits = commits || len(p) > 1 && p[1] == byte(verbCommit)
			if theirs.send(p, nil) != nil {
				break
			}
			for { // what is answered meanwhile, so that nobody waits for room
				_ = theirs.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
				in, err := theirs.receive(true)
				if err != nil {
					break
				}
				closeAll(in.descriptors)
				in.free()
			}
		}
		_ = theirs.Close()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("the session does not end")
		}
		if told := events.String(); strings.Contains(told, "panic") {
			t.Error(told)
		}
		if n := len(b.Messages("alice")); n != 3 && !commits {
			t.Errorf("%d messages are left, without a commit", n)
		}
		if n := len(b.Messages("root")); n != 1 {
			t.Errorf("another account has %d messages", n)
		}
	})
}

// FuzzFront lets a keeper answer anything. What a front takes for true stays
// within bounds, and nothing panics or waits longer than it may.
func FuzzFront(f *testing.F) {
	for _, s := range stages {
		f.Add(joined(rightLogin, s.answer))
	}
	f.Add(joined(loginAnswer(minListing, 0, 0), request(verbListingIs, 0)))
	f.Add(joined(rightLogin, request(verbOctetsAre, 1), request(verbOctetsAre, 2, 3),
		appendBytes(request(verbUIDLsAre), "a"), appendBytes(appendBytes(request(verbFailed), "SYS/TEMP"), "x")))
	f.Fuzz(func(t *testing.T, said []byte) {
		theirs, ours := pair(t)
		answers := split(said)
		go func() {
			defer theirs.Close()
			for _, p := range answers {
				in, err := theirs.receive(false)
				if err != nil {
					return
				}
				in.free()
				if theirs.send(p, nil) != nil {
					return
				}
			}
		}()
		ctx, cancel := context.WithTimeout(background, patience)
		defer cancel()
		c := &Client{}
		b := newBuffer()
		challenge, m, err := c.logIn(ctx, &link{ours}, b, append(b.packet[:0], loginPacket("alice", "secret")...))
		if err != nil || challenge != nil {
			return
		}
		defer m.Close()
		messages, octets := m.Stat()
		if messages < 0 || messages > maxMessages || octets < 0 {
			t.Fatalf("%d messages of %d octets", messages, octets)
		}
		if r, _ := m.(pop3.Lister).Listing(ctx, pop3.ListOctets); r != nil { // no descriptor came
			t.Error("a listing")
		}
		asked := min(messages, 3)
		n := 0
		for octets, err := range m.Octets(ctx, 0, asked) {
			if n++; err == nil && (octets < 0 || n > asked) {
				t.Errorf("%d octets, %d", octets, n)
			}
		}
		n = 0
		for uidl, err := range m.UIDLs(ctx, 0, asked) {
			if n++; err == nil && (len(uidl) == 0 || len(uidl) > maxUIDL || n > asked) {
				t.Errorf("UIDL %q, %d", uidl, n)
			}
		}
		if messages > 0 {
			if _, _, err := m.Open(ctx, 0); err == nil { // no descriptor came
				t.Error("opened")
			}
			if failed, _ := m.Commit(ctx, []int{0}, nil); failed < 0 || failed > 1 {
				t.Errorf("%d failed", failed)
			}
		}
		if err := ctx.Err(); err != nil {
			t.Error(err)
		}
	})
}

// bound is a peer with channel bindings.
var bound = pop3.Peer{TLS: &tls.ConnectionState{Version: tls.VersionTLS13}, Bindings: []pop3.ChannelBinding{
	{Type: pop3.BindingExporter, Data: []byte(strings.Repeat("x", 32))}, {Type: pop3.BindingEndPoint, Data: []byte(strings.Repeat("y", maxBinding))},
}}

// FuzzLogin: there is one way to write a login, so what decodes is what would
// have been sent.
func FuzzLogin(f *testing.F) {
	f.Add(appendLogin(nil, background, peer))
	f.Add([]byte("\x01s\x10\xfe\x80aaaaaaaaaaaabb\x04eth0\x05\x00\x01\x01\x01\x84\x06\x81\x26\x01x\x00\x00\x00"))
	f.Add(appendLogin(nil, background, bound))
	f.Fuzz(func(t *testing.T, p []byte) {
		d := &decoder{packet: p}
		peer, left := d.login()
		if d.end() != nil {
			return
		}
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		got := appendLogin(nil, ctx, peer)
		if want := appendUint(p[:len(p)-len(appendUint(nil, left.Milliseconds()))], MaxLogin.Milliseconds()); !bytes.Equal(got, want) {
			t.Errorf("%q became %+v and then %q", p, peer, got)
		}
	})
}
