package helper

import (
	"cmp"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// handlerFuncs is a handler made of functions.
type handlerFuncs struct {
	authenticate func(l *Login) Answer
	admit        func(l *Login) Answer
	lookup       func(user string) Answer
}

func (h handlerFuncs) Authenticate(l *Login) Answer { return h.authenticate(l) }
func (h handlerFuncs) Admit(l *Login) Answer        { return h.admit(l) }
func (h handlerFuncs) Lookup(user string) Answer    { return h.lookup(user) }

// serve runs Serve in this process. It gives the keeper's end, on which Serve
// has said that it is ready, and what Serve returns.
func serve(t *testing.T, h Handler, concurrency int) (*net.UnixConn, <-chan error) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range pair {
		if ends[i], err = packetConn(fd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ends[i].Close() })
	}
	served := make(chan error, 1)
	go func() { served <- Serve(ends[1], h, concurrency) }()
	if r := read(t, ends[0]); r.verb != verbReady {
		t.Fatalf("began with %+v", r)
	}
	return ends[0], served
}

// read reads a packet of Serve.
func read(t *testing.T, conn *net.UnixConn) *reply {
	t.Helper()
	buffer := make([]byte, maxPacket+1)
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	r, err := decodeReply(buffer[:n])
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// write writes a packet to Serve.
func write(t *testing.T, conn *net.UnixConn, packet []byte) {
	t.Helper()
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
}

func TestServeBoundsConcurrency(t *testing.T) {
	const bound, asked = 3, 20
	begun, proceed := make(chan string), make(chan struct{})
	h := handlerFuncs{lookup: func(user string) Answer {
		begun <- user
		<-proceed
		return Answer{Outcome: Unknown}
	}}
	conn, served := serve(t, h, bound)
	for i := range asked {
		write(t, conn, (&request{id: uint64(i), verb: verbLookup, login: Login{User: "joe"}}).encode())
	}
	seen := make(map[uint64]bool)
	running := 0
	for len(seen) < asked {
		// All that may run do; one more would offer itself here.
		for ; running < min(bound, asked-len(seen)); running++ {
			<-begun
		}
		select {
		case <-begun:
			t.Fatalf("more than %d handlers run", bound)
		case proceed <- struct{}{}:
		}
		running--
		seen[read(t, conn).id] = true
	}
	conn.Close()
	if err := <-served; err != nil {
		t.Errorf("at the end of the socket: %v", err)
	}
}

func TestServeWipesPasswords(t *testing.T) {
	var kept Secret
	h := handlerFuncs{authenticate: func(l *Login) Answer {
		kept = l.Password
		if string(kept) != "hunter2" {
			t.Errorf("the password arrived as %q", []byte(kept))
		}
		return Answer{Outcome: Credentials, Messages: []string{"bad password hunter2 for joe"}}
	}}
	conn, served := serve(t, h, 1)
	r := requests["authenticate"]
	write(t, conn, r.encode())
	answer := read(t, conn).answer
	conn.Close()
	<-served
	if string(kept) != strings.Repeat("\x00", len("hunter2")) {
		t.Errorf("the handler's password is not wiped")
	}
	if len(answer.Messages) != 1 || strings.Contains(answer.Messages[0], "hunter2") {
		t.Errorf("messages %q", answer.Messages)
	}
}

func TestServeEndsAtBreach(t *testing.T) {
	for _, c := range malformedRequests {
		if len(c.packet) == 0 {
			continue // that is the end of the socket
		}
		conn, served := serve(t, handlerFuncs{}, 1)
		write(t, conn, c.packet)
		if err := <-served; err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q", c.name, err, c.want)
		}
	}
}

// TestServeBoundsRequests: and handlers that hang do not keep Serve.
func TestServeBoundsRequests(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	defer close(hold)
	conn, served := serve(t, handlerFuncs{lookup: func(string) Answer {
		<-hold
		return Answer{Outcome: Unknown}
	}}, 1)
	for i := range MaxUnderWay + 1 {
		write(t, conn, (&request{id: uint64(i), verb: verbLookup, login: Login{User: "joe"}}).encode())
	}
	if err := <-served; err == nil || !strings.Contains(err.Error(), "more than 1024 requests") {
		t.Errorf("got error %v", err)
	}
}

func TestServeNeedsAPlace(t *testing.T) {
	if err := Serve(nil, handlerFuncs{}, 0); err == nil {
		t.Error("no error for no concurrency")
	}
}

// TestCarriable: what a handler answers and what is sent.
func TestCarriable(t *testing.T) {
	account := Account{Name: "joe", UID: 1, GID: 2, Home: "/home/joe"}
	for _, c := range []struct {
		name    string
		given   Answer
		verb    verb // else verbAuthenticate
		want    Outcome
		message string // in the only message
	}{
		{name: "accepted", given: Answer{Outcome: Accepted, Account: account}, want: Accepted},
		{name: "accepted without an account", given: Answer{Outcome: Accepted}, want: Permanent, message: "account name is empty"},
		{name: "refusal with an account", given: Answer{Outcome: Locked, Account: account}, want: Locked},
		{name: "too many groups", given: Answer{Outcome: Accepted, Account: Account{Name: "joe", Groups: make([]uint32, 2000)}}, want: Permanent, message: "in 2000 groups"},
		{name: "long home", given: Answer{Outcome: Accepted, Account: Account{Name: "joe", Home: strings.Repeat("/", 5000)}}, want: Permanent, message: "home folder has 5000 octets"},
		{name: "none", want: Permanent, message: "outcome 0"},
		{name: "found by a password", given: Answer{Outcome: Found, Account: account}, want: Permanent, message: "does not fit"},
		{name: "accepted without a password", verb: verbLookup, given: Answer{Outcome: Accepted, Account: account}, want: Permanent, message: "does not fit"},
		{name: "found", verb: verbLookup, given: Answer{Outcome: Found, Account: account}, want: Found},
		{name: "admitted", verb: verbAdmit, given: Answer{Outcome: Accepted, Account: account}, want: Accepted},
		{name: "a wrong password that was not asked for", verb: verbAdmit, given: Answer{Outcome: Credentials}, want: Permanent, message: "does not fit"},
		{name: "control characters", given: Answer{Outcome: Denied, Messages: []string{"a\x00b\n"}}, want: Denied, message: "a?b?"},
		{name: "long message", given: Answer{Outcome: Denied, Messages: []string{strings.Repeat("m", 600)}}, want: Denied, message: "mmm..."},
	} {
		r := request{verb: cmp.Or(c.verb, verbAuthenticate)}
		got := carriable(c.given, &r)
		if got.Outcome != c.want {
			t.Errorf("%s: got %+v, want %v", c.name, got, c.want)
		}
		if got.check() != nil {
			t.Errorf("%s: cannot be carried: %v", c.name, got.check())
		}
		if c.message != "" && (len(got.Messages) != 1 || !strings.Contains(got.Messages[0], c.message)) {
			t.Errorf("%s: got messages %q, want %q", c.name, got.Messages, c.message)
		}
		if !got.Outcome.hasAccount() && got.Account.Name != "" {
			t.Errorf("%s: has the account %+v", c.name, got.Account)
		}
	}
	many := carriable(Answer{Outcome: Denied, Messages: repeat("m", 99)}, &request{verb: verbAuthenticate})
	if many.Outcome != Denied || len(many.Messages) != MaxMessages {
		t.Errorf("99 messages: got %+v", many)
	}
}
