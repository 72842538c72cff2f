package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
	"sidepop/pop3/internal/accept"
)

// Server is the keeper's side: it lets fronts use a backend. The fields are not
// changed once it serves.
type Server struct {
	Events Events // may be nil

	// Allowed says whether processes of a user may connect (SO_PEERCRED); nil:
	// those of this process's own user.
	Allowed func(uid uint32) bool

	// Figures gives the figures of this process for a front that asks for them with
	// its own, at most [MaxFigures] octets; nil, or none: there are none. It is
	// called from a goroutine of each front's.
	Figures func(front Counts) []byte

	backend    atomic.Pointer[pop3.Backend]
	state      atomic.Pointer[state]
	silence    atomic.Int64 // of sessions, in nanoseconds; 0: the default
	initialise sync.Once
	base       context.Context // of everything but removals
	cancel     context.CancelFunc
	signing    signing
	listings   listings

	mu        sync.Mutex
	limit     int // of connections; 0: the default
	closing   bool
	listeners map[*net.UnixListener]struct{}
	sessions  map[*session]struct{}
	fronts    []*control // the last one to connect is the last
	running   sync.WaitGroup
	removals  sync.WaitGroup
}

// ErrServerClosed is what Serve returns after [Server.Shutdown].
var ErrServerClosed = errors.New("wire: server closed")

// Events is told what an operator wants to read in the keeper's log. Its methods
// are called from many sessions at once and return soon. No argument of theirs
// holds a secret.
type Events interface {
	// AcceptFailed: a listener could not accept; it tries again.
	AcceptFailed(listener net.Addr, err error)

	// Refused: a process of user uid was turned away.
	Refused(uid uint32, reason error)

	// LoginFailed and Failed are those of [pop3.Events].
	LoginFailed(p pop3.Peer, mechanism, user string, err error)
	Failed(p pop3.Peer, user, command string, err error)

	// Broken: a front did what it must not, and its connection was ended.
	// Before a login p and user are empty.
	Broken(p pop3.Peer, user string, err error)
}

// silent are the Events of a server without any.
type silent struct{}

func (silent) AcceptFailed(net.Addr, error)                 {}
func (silent) Refused(uint32, error)                        {}
func (silent) LoginFailed(pop3.Peer, string, string, error) {}
func (silent) Failed(pop3.Peer, string, string, error)      {}
func (silent) Broken(pop3.Peer, string, error)              {}

// SessionInfo is a session that is logged in.
type SessionInfo struct {
	Peer  pop3.Peer
	User  string // the account's own name
	Since time.Time
}

func (s *Server) setUp() {
	s.initialise.Do(func() {
		s.base, s.cancel = context.WithCancel(context.Background())
		s.listeners = make(map[*net.UnixListener]struct{})
		s.sessions = make(map[*session]struct{})
		s.signing.setUp()
		s.listings.setUp(maxListingOctets)
		if s.Events == nil {
			s.Events = silent{}
		}
		if s.Allowed == nil {
			own := uint32(os.Geteuid())
			s.Allowed = func(uid uint32) bool { return uid == own }
		}
	})
}

// SetBackend makes b the backend of the logins from now on. Until there is one
// they fail with [pop3.ErrTemporary]. The response that an exchange's Step is
// given is wiped when it returns.
func (s *Server) SetBackend(b pop3.Backend) { s.backend.Store(&b) }

// Allow sets how many connections there may be at once; before it is called
// [DefaultConnections]. Those beyond it go on.
func (s *Server) Allow(connections int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = connections
}

// AllowSilence sets how long a session that is logged in may ask for nothing;
// before it is called [DefaultSilence]. Then its connection is ended, and with it
// what its maildrop holds, so that a front that hangs locks nobody out for ever.
// That is for longer than an honest front is silent: the time for which a client
// may be idle, and [LongestTransfer]. A client that says nothing but NOOP all
// that time loses its session, too. Sessions that run heed it from their next
// request on.
func (s *Server) AllowSilence(d time.Duration) { s.silence.Store(int64(d)) }

// Serve accepts the connections of fronts. The listener is of type unixpacket.
// Serve returns [ErrServerClosed] after Shutdown, or the listener's error, and
// closes the listener.
func (s *Server) Serve(l *net.UnixListener) error {
	s.setUp()
	defer l.Close()
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, l)
	}()

	err := accept.Loop(l.AcceptUnix, s.serve, func(err error) { s.Events.AcceptFailed(l.Addr(), err) })
	if s.isClosing() {
		return ErrServerClosed
	}
	return err
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// Refusals of connections.
var (
	errNotAllowed = errors.New("processes of this user may not use the keeper")
	errTooMany    = errors.New("too many connections")
)

// serve serves one connection to its end, one session after the other.
func (s *Server) serve(u *net.UnixConn) {
	c, err := newConn(u)
	if err != nil { // it is closed
		return
	}
	uid, err := peerUser(c)
	if err == nil && !s.Allowed(uid) {
		err = errNotAllowed
	}
	x := &session{server: s, conn: c}
	if err == nil {
		err = s.admit(x)
	}
	if err != nil {
		_ = u.Close()
		if !errors.Is(err, ErrServerClosed) {
			s.Events.Refused(uid, err)
		}
		return
	}
	for x != nil {
		x.serve()
		x = s.next(x)
	}
}

func peerUser(c *conn) (uid uint32, err error) {
	var cred *unix.Ucred
	if controlErr := c.raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); controlErr != nil {
		err = controlErr
	}
	if err != nil {
		return 0, fmt.Errorf("whose process it is can't be told: %w", err)
	}
	return cred.Uid, nil
}

func (s *Server) admit(x *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return ErrServerClosed
	case len(s.sessions) >= cmp.Or(s.limit, DefaultConnections):
		return errTooMany
	}
	s.sessions[x] = struct{}{}
	s.running.Add(1)
	return nil
}

// next is what follows a session that is over: another one on its connection, or nil
// where that is closed.
func (s *Server) next(x *session) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, x)
	if x.phase == left && !s.closing {
		x = &session{server: s, conn: x.conn, again: true}
		s.sessions[x] = struct{}{}
		return x
	}
	_ = x.conn.Close()
	s.running.Done()
	return nil
}

// Sessions lists the sessions that are logged in.
func (s *Server) Sessions() []SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []SessionInfo
	for x := range s.sessions {
		if !x.since.IsZero() {
			list = append(list, SessionInfo{x.peer, x.user, x.since})
		}
	}
	return list
}

// beginRemoval says whether x may begin to remove messages, which Shutdown then
// waits for.
func (s *Server) beginRemoval(x *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.removals.Add(1)
		x.removing = true
	}
	return x.removing
}

// Shutdown ends the server: it accepts no more connections, and each session
// ends when the request that is under way has its answer. What has not ended
// when ctx is done is cut off; but a removal of messages that has begun is
// always waited for. Shutdown returns ctx's error if something was cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.setUp()
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		_ = l.Close()
	}
	for x := range s.sessions {
		_ = x.CloseRead()
	}
	s.mu.Unlock()
	s.cancel()
	s.listings.close()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for x := range s.sessions {
		if !x.removing {
			_ = x.Close()
		}
	}
	s.mu.Unlock()
	s.removals.Wait()
	return ctx.Err()
}
