package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// session is the keeper's end of a session's connection. All of it is its goroutine's
// alone, except where the comments say otherwise.
type session struct {
	server *Server
	*conn
	in    received // the packet at hand, until release
	phase phase
	again bool // others had the connection before

	peer  pop3.Peer
	user  string    // the account's own name
	since time.Time // of the login; zero: none. Set under server.mu, with the two above

	mechanism string
	exchange  pop3.Exchange      // nil: none
	login     context.Context    // that of the exchange
	cancel    context.CancelFunc // of login

	drop     pop3.Maildrop // nil: none
	messages int
	sets     [2][]int    // what verbNumbers brought
	listings [2]*listing // that are held, by pop3.Listing
	removing bool        // counted in server.removals. Set under server.mu
}

// phase is what a session has come to.
type phase int

const (
	silentSoFar phase = iota // a login, or the control connection's beginning, is waited for
	challenged               // a response is waited for
	loggedIn                 // requests are waited for
	committed                // nothing is waited for but the end
	over                     // everything is said
	left                     // the same, and the connection is free for another session
)

// handlers are the verbs of each phase. An error ends the connection.
var handlers = [...]map[verb]func(*session, *decoder) error{
	silentSoFar: {
		verbPassword: (*session).password,
		verbAPOP:     (*session).apop,
		verbSASL:     (*session).sasl,
		verbControl:  (*session).control,
	},
	challenged: {
		verbResponse: (*session).response,
	},
	loggedIn: {
		verbOctets:  (*session).listOctets,
		verbUIDLs:   (*session).listUIDLs,
		verbOpen:    (*session).open,
		verbListing: (*session).listing,
		verbNumbers: (*session).numbers,
		verbCommit:  (*session).commit,
		verbLeave:   (*session).leave,
	},
	committed: {
		verbLeave: (*session).leave,
	},
}

// serve runs the session to its end.
func (x *session) serve() {
	defer x.end()
	var err error
	if !x.again { // there the deadline of the session before still runs: to set an earlier one wakes another thread
		err = x.SetReadDeadline(time.Now().Add(firstWait))
	}
	for err == nil && x.phase < over {
		err = x.next()
	}
	x.server.broken(x, err)
}

// next waits for a packet and does what it asks for.
func (x *session) next() error {
	in, err := x.await()
	if err != nil {
		return err
	}
	x.in = in
	defer x.release()
	if x.phase < loggedIn {
		in.secret = len(in.packet)
	}
	v, d, err := decode(in.packet)
	if err != nil {
		return err
	}
	handle := handlers[x.phase][v]
	if handle == nil {
		return fmt.Errorf("%w: %d", errTurn, v)
	}
	return handle(x, d)
}

// await waits for a packet: before a login until the deadline that is set, and
// after it as long as a session may be silent.
func (x *session) await() (received, error) {
	if x.phase < loggedIn {
		return x.receive(false)
	}
	silence := cmp.Or(time.Duration(x.server.silence.Load()), DefaultSilence)
	if err := x.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return received{}, err
	}
	in, err := x.receive(false)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing was asked for %v", silence)
	}
	return in, err
}

// taken is called when all was taken out of the packet at hand. Its buffer is
// given back before the backend is asked, which may take its time.
func (x *session) taken(d *decoder) error {
	defer x.release()
	return d.end()
}

func (x *session) release() {
	if x.in.buffer != nil {
		x.in.free()
		x.in = received{}
	}
}

// reply sends the packet p, which is in b, and frees b.
func (x *session) reply(b *buffer, p []byte) error {
	defer b.free()
	return x.send(p, nil)
}

// failed answers with what the front may know of err, and tells the rest to
// the log; but a message that somebody else removed is nobody's fault.
func (x *session) failed(what string, err error) error {
	if !errors.Is(err, pop3.ErrGone) {
		x.server.Events.Failed(x.peer, x.user, what, err)
	}
	b := newBuffer()
	return x.reply(b, appendError(b.begin(verbFailed), err))
}

// broken reports a connection that did not end as it should.
func (s *Server) broken(x *session, err error) {
	late := errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE): // the front has gone
	case s.isClosing(), errors.Is(err, net.ErrClosed): // why was told before
	case late && x.phase == challenged: // the client did not answer
	case late && x.phase == silentSoFar && x.again: // nobody needs it any more
	case late && x.phase == silentSoFar:
		s.Events.Broken(x.peer, x.user, fmt.Errorf("nothing was asked within %v", firstWait))
	case late:
		s.Events.Broken(x.peer, x.user, fmt.Errorf("an answer was not read within %v", sendWait))
	default:
		s.Events.Broken(x.peer, x.user, err)
	}
}

// end gives up everything that the session holds. A panic in it, or in the
// backend on its behalf, ends that session alone.
func (x *session) end() {
	if p := recover(); p != nil {
		x.phase = over
		x.fault(p)
	}
	x.endExchange()
	x.closeDrop()
	x.releaseListings()
	if x.removing {
		x.server.removals.Done()
	}
}

func (x *session) fault(p any) {
	x.server.Events.Failed(x.peer, x.user, "session", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
}

// endExchange closes the SASL exchange, if there is one. That happens once, even
// if it panics.
func (x *session) endExchange() {
	exchange := x.exchange
	if exchange == nil {
		return
	}
	x.exchange = nil
	defer func() {
		if p := recover(); p != nil {
			x.fault(p)
		}
	}()
	x.cancel()
	_ = exchange.Close()
}

// closeDrop does the same with the maildrop.
func (x *session) closeDrop() {
	drop := x.drop
	if drop == nil {
		return
	}
	x.drop = nil
	defer func() {
		if p := recover(); p != nil {
			x.fault(p)
		}
	}()
	if err := drop.Close(); err != nil {
		x.server.Events.Failed(x.peer, x.user, "closing the maildrop", err)
	}
}
