package pop3

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sidepop/pop3/internal/accept"
	"sidepop/pop3/internal/nowait"
)

// UTF8Policy is what a client that did not ask for UTF8 mode gets for a message
// with UTF-8 header fields.
type UTF8Policy int

const (
	// RefuseUTF8 answers -ERR [UTF8], as RFC 6856, section 2.1 asks for where
	// the server makes no surrogate of the message.
	RefuseUTF8 UTF8Policy = iota

	// SendUTF8 sends the message as it is stored, as servers without
	// RFC 6856 do. Many messages have such fields without need or right, and
	// a client that never heard of UTF8 mode can't fetch them otherwise.
	SendUTF8
)

// Settings are what may change while a server serves ([Server.Apply]). A
// connection keeps those that it began with.
type Settings struct {
	Limits Limits

	// TLS is for STLS and for [Server.ServeTLS]; nil: neither is there.
	TLS *tls.Config

	// ClientCAs are those whose certificates clients can authenticate with, by
	// EXTERNAL. TLS has to ask for these certificates, and need not verify them.
	// Nil: there are none.
	ClientCAs *x509.CertPool

	// RelayedNames lets clients authenticate by EXTERNAL with the certificates that
	// proxies say to have verified ([Relayed]).
	RelayedNames bool

	// AllowPlaintext lets passwords through without TLS from anywhere, not
	// only from loopback.
	AllowPlaintext bool

	// UTF8Headers is for clients that don't use the UTF8 command.
	UTF8Headers UTF8Policy

	// Hostname is the right side of the APOP timestamp; empty: localhost.
	Hostname string

	// Expire is the argument of the EXPIRE capability, such as NEVER; empty:
	// not announced (RFC 2449, section 6.7).
	Expire string
}

// filled is t with the defaults in place of zeros.
func (t Settings) filled() *Settings {
	t.Limits = t.Limits.filled()
	if t.Hostname == "" {
		t.Hostname = "localhost"
	}
	return &t
}

// Relayed is a connection that a proxy hands on. Its addresses are those of the
// client. It never counts as one within this machine, however near the proxy is.
type Relayed interface {
	net.Conn

	// Terminated is the TLS that the proxy has ended with the client, without keying
	// material and with HandshakeComplete false; nil: there is none. Where the
	// server does the handshake itself it does not count.
	Terminated() *tls.ConnectionState

	// ClientName is the common name of the certificate that the client has shown the
	// proxy and the proxy has verified; "": there is none. It goes with Terminated.
	ClientName() string
}

// Wrapper is a connection that tells more of another one, as [Relayed] does, and reads
// and writes as that does. Where a session's connection is given to others, as in a
// [tls.ClientHelloInfo], it may be one of the server's own, of what was accepted.
type Wrapper interface {
	net.Conn
	Wrapped() net.Conn
}

// direct is a connection that is read and written without announcement where it is a
// socket.
func direct(conn net.Conn) net.Conn {
	inner := conn
	if w, ok := conn.(Wrapper); ok {
		inner = w.Wrapped()
	}
	var socket syscall.Conn
	switch s := inner.(type) {
	case *net.TCPConn:
		socket = s
	case *net.UnixConn:
		socket = s
	default:
		return conn
	}
	c, err := nowait.NewConn(conn, socket)
	if err != nil { // it is closed
		return conn
	}
	return c
}

// Server serves POP3 connections from a [Backend]. Its fields are not changed
// once it serves.
type Server struct {
	Backend  Backend
	Events   Events   // told what happens, may be nil
	Settings Settings // those to begin with

	initialise sync.Once
	current    atomic.Pointer[Settings]
	perAddress Slots
	base       context.Context // of all sessions
	cancel     context.CancelFunc

	coming atomic.Int64 // connections that are accepted and not yet sessions

	mu        sync.Mutex
	ending    bool // Shutdown was called: nothing is accepted any more
	closed    bool // nor does a connection that was accepted become a session
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
}

// ErrServerClosed is what Serve returns after [Server.Shutdown].
var ErrServerClosed = errors.New("pop3: server closed")

func (s *Server) setUp() {
	s.initialise.Do(func() {
		s.use(s.Settings)
		s.base, s.cancel = context.WithCancel(context.Background())
		s.listeners = make(map[net.Listener]struct{})
		s.sessions = make(map[*session]struct{})
		if s.Events == nil {
			s.Events = silent{}
		}
	})
}

// Apply makes other settings hold for the connections that begin from now on.
func (s *Server) Apply(t Settings) {
	s.setUp()
	s.use(t)
}

func (s *Server) use(t Settings) {
	filled := t.filled()
	s.perAddress.Allow(filled.Limits.PerAddress)
	s.current.Store(filled)
}

// Serve accepts connections that begin in plaintext, with STLS where the
// server has TLS. It returns ErrServerClosed after Shutdown, or the listener's
// error, and closes the listener.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, false) }

// ServeTLS is Serve for connections that begin with a TLS handshake
// (RFC 8314, section 3.2).
func (s *Server) ServeTLS(l net.Listener) error { return s.serve(l, true) }

func (s *Server) serve(l net.Listener, implicit bool) error {
	s.setUp()
	defer l.Close()
	s.mu.Lock()
	if s.ending {
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

	err := accept.Loop(func() (net.Conn, error) {
		conn, err := l.Accept()
		if err == nil {
			s.coming.Add(1)
		}
		return conn, err
	}, func(conn net.Conn) { s.serveConn(conn, l.Addr(), implicit) },
		func(err error) { s.Events.AcceptFailed(l.Addr(), err) })
	if s.isEnding() {
		return ErrServerClosed
	}
	return err
}

// ServeConn serves one connection to its end and closes it. With implicit it
// begins with a TLS handshake.
func (s *Server) ServeConn(conn net.Conn, implicit bool) {
	s.setUp()
	s.coming.Add(1)
	s.serveConn(conn, nil, implicit)
}

// serveConn is ServeConn of a connection of a listener that is counted in coming.
func (s *Server) serveConn(conn net.Conn, listener net.Addr, implicit bool) {
	c := s.newSession(conn)
	c.peer.Listener = listener
	address := addressKey(c.peer.Remote.Addr())
	refusal := s.admit(c, address)
	s.coming.Add(-1)
	if refusal != nil {
		s.Events.Refused(c.peer, refusal)
		if !implicit { // nobody can read it before the handshake
			_ = conn.SetDeadline(time.Now().Add(goodbye))
			_, _ = conn.Write([]byte("-ERR " + refusal.Error() + "\r\n"))
			linger(conn, conn)
		}
		_ = conn.Close()
		return
	}
	defer s.dismiss(c, address)
	c.serve(implicit)
}

// Refusals of connections.
var (
	errTooMany        = &Error{Code: "SYS/TEMP", Text: "too many connections, try again later"}
	errTooManyAddress = &Error{Code: "SYS/TEMP", Text: "too many connections from your address, try again later"}
	errShutdown       = &Error{Code: "SYS/TEMP", Text: "the server is shutting down"}
)

func (s *Server) admit(c *session, address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errShutdown
	case len(s.sessions) >= c.settings.Limits.Connections:
		return errTooMany
	case !s.perAddress.Acquire(address):
		return errTooManyAddress
	}
	s.sessions[c] = struct{}{}
	return nil
}

func (s *Server) dismiss(c *session, address string) {
	s.perAddress.Release(address)
	s.mu.Lock()
	delete(s.sessions, c)
	s.mu.Unlock()
}

func (s *Server) isEnding() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

func (s *Server) newSession(conn net.Conn) *session {
	c := &session{
		server:    s,
		settings:  s.current.Load(),
		transport: direct(conn),
		peer: Peer{
			Session: rand.Text()[:sessionID],
			Remote:  addrPort(conn.RemoteAddr()),
			Local:   addrPort(conn.LocalAddr()),
		},
		begun: time.Now(),
	}
	relayed, isRelayed := conn.(Relayed)
	if isRelayed {
		c.peer.TLS = relayed.Terminated()
		if c.settings.RelayedNames && c.peer.TLS != nil {
			c.peer.ClientName = relayed.ClientName()
		}
	}
	c.peer.Secure = c.settings.AllowPlaintext || c.peer.TLS != nil ||
		!isRelayed && local(conn.RemoteAddr()) && local(conn.LocalAddr())
	c.in = input{wait: c.beforeRead}
	c.use(c.transport)
	return c
}

// sessionID is the length of a session's identifier in base32: 50 random bits,
// enough to tell apart all sessions that a log keeps.
const sessionID = 10

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// local says whether an end of a connection is on this machine, so that nobody
// elsewhere hears what is said.
func local(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// addressKey is what connections are counted by: an IPv4 address, or the /64
// that one IPv6 host can usually choose all its addresses from. Connections
// without an address are one.
func addressKey(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
