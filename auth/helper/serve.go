package helper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketFD is the descriptor at which a helper finds its socket: the first one
// after the standard three.
const socketFD = 3

// drainTimeout is how long Serve waits for its handlers when nobody is left
// to answer: enough to close a session that was opened, and less than
// [endTimeout], after which the process would be killed.
const drainTimeout = 2 * time.Second

// Handler does the work of a helper. Its methods are called from many
// goroutines at once.
type Handler interface {
	// Authenticate checks a password. It gives one of the outcomes [Accepted]
	// to [Permanent].
	Authenticate(l *Login) Answer

	// Admit says whether a user may log in who needs no password. It gives one of
	// these outcomes but [Credentials].
	Admit(l *Login) Answer

	// Lookup gives the account of a user without a password: [Found],
	// [Unknown], [Temporary] or [Permanent].
	Lookup(user string) Answer
}

// Inherited gives the socket that a [Pool] started this process with. No child
// of this process inherits it. It is called once.
func Inherited() (*net.UnixConn, error) {
	kind, err := unix.GetsockoptInt(socketFD, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return nil, fmt.Errorf("descriptor %d is not the socket of a keeper: this program is started by sidepop, not by hand", socketFD)
	}
	conn, err := packetConn(socketFD)
	if err != nil {
		return nil, fmt.Errorf("socket of the keeper: %w", err)
	}
	return conn, nil
}

// packetConn makes a connection of a socket's descriptor, which it closes.
func packetConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "helper socket")
	conn, err := net.FileConn(f) // a copy, closed on exec
	_ = f.Close()
	if err != nil {
		return nil, err
	}
	packets, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return nil, errors.New("not a unix socket")
	}
	return packets, nil
}

// Serve says that it is ready and answers the requests that come over conn, at
// most concurrency of them at once, until its other end is closed; that is no
// error. Handlers that still run then get a few seconds to end. A request that
// breaks the protocol ends it with an error.
func Serve(conn *net.UnixConn, h Handler, concurrency int) error {
	if concurrency < 1 {
		return fmt.Errorf("cannot answer %d requests at once: at least 1", concurrency)
	}
	s := &service{conn: conn, handler: h,
		working: make(chan struct{}, concurrency),
		taken:   make(chan struct{}, MaxUnderWay),
		ended:   make(chan struct{}),
	}
	ready := reply{verb: verbReady}
	if _, err := conn.Write(ready.encode()); err != nil {
		return fmt.Errorf("tell the keeper: %w", err)
	}
	err := s.receive()
	close(s.ended)
	s.drain()
	return err
}

// service is one call of Serve.
type service struct {
	conn     *net.UnixConn
	handler  Handler
	working  chan struct{} // has an element for each handler that runs
	taken    chan struct{} // has an element for each request that was not answered
	ended    chan struct{} // closed when no answer is wanted any more
	requests sync.WaitGroup
}

// receive reads requests, whether or not they can be worked on at once: so the
// keeper's writes do not wait, and its end is seen at once.
func (s *service) receive() error {
	buffer := make([]byte, maxPacket+1)
	for {
		n, err := s.conn.Read(buffer)
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("keeper's socket: %w", err)
		}
		r, err := decodeRequest(buffer[:n])
		wipe(buffer[:n])
		if err != nil {
			return err
		}
		select {
		case s.taken <- struct{}{}:
		default:
			r.login.Password.Wipe()
			return fmt.Errorf("more than %d requests under way", MaxUnderWay)
		}
		s.requests.Go(func() { s.answer(r) })
	}
}

// answer works on one request as soon as there is a place.
func (s *service) answer(r *request) {
	defer func() { <-s.taken }()
	select {
	case s.working <- struct{}{}:
	case <-s.ended:
		r.login.Password.Wipe()
		return
	}
	defer func() { <-s.working }()
	var a Answer
	switch r.verb {
	case verbLookup:
		a = s.handler.Lookup(r.login.User)
	case verbAdmit:
		a = s.handler.Admit(&r.login)
	default:
		a = s.handler.Authenticate(&r.login)
	}
	out := reply{id: r.id, verb: verbAnswer, answer: carriable(a, r)}
	r.login.Password.Wipe()
	// A keeper that does not take the answer is gone, and receive sees that.
	_, _ = s.conn.Write(out.encode())
}

// drain waits for the handlers, but not for ever: foreign code may hang.
func (s *service) drain() {
	done := make(chan struct{})
	go func() {
		s.requests.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(drainTimeout):
	}
}

// carriable makes a handler's answer one that can be carried. What cannot is
// a permanent fault: fewer groups would be other rights, and a shorter home
// another's mail.
func carriable(a Answer, r *request) Answer {
	if !a.Outcome.hasAccount() {
		a.Account = Account{}
	}
	a.Messages = fitMessages(a.Messages, r.login.Password)
	err := a.check()
	if err == nil && !a.Outcome.answers(r.verb) {
		err = fmt.Errorf("handler's answer %q does not fit the request", a.Outcome)
	}
	if err != nil {
		return Answer{Outcome: Permanent, Messages: []string{printable(err.Error(), MaxMessage)}}
	}
	return a
}

// fitMessages cuts messages to what can be carried, and leaves out those that
// repeat the password.
func fitMessages(messages []string, password Secret) []string {
	var fit []string
	for _, m := range messages {
		if len(fit) == MaxMessages {
			break
		}
		if len(password) > 0 && bytes.Contains([]byte(m), password) {
			m = "(message left out: it has the password in it)"
		}
		fit = append(fit, printable(m, MaxMessage))
	}
	return fit
}
