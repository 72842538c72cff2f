// Package inbound accepts connections of clients, which come by themselves or
// through a proxy that says whose they are: the PROXY protocol, versions 1 and 2
// (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).
//
// Invariants:
//   - A connection from the network of a proxy begins with a header, or is refused;
//     one from elsewhere has none, and what looks like a header there is what a
//     client says. So nobody but a proxy can say to be somebody else.
//   - A header is read whole and nothing after it, in bounded memory and time, and
//     not by whoever accepts. What is read later is the client's.
//   - An accepted connection has a client's addresses, or those of a proxy that
//     comes for itself. It is never taken for one within this machine.
package inbound

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"sidepop/pop3"
)

const (
	// headerWait is how long a proxy may take to send its header, which is the
	// first that it sends: longer than a lost packet is waited for.
	headerWait = 5 * time.Second

	// maxWaiting is how many connections of a listener's are waited for at once:
	// more than proxies open in a second, and little memory.
	maxWaiting = 1024
)

// Listener is a listener whose connections may come through proxies. Its fields are
// not changed once it accepts.
type Listener struct {
	net.Listener

	// Legacy marks the connections as those of old devices: see [Legacy].
	Legacy bool

	// Proxy says whether an address is a proxy's. It is asked at each connection.
	Proxy func(netip.Addr) bool

	// Refused is told of a connection from a proxy that can't be used.
	Refused func(proxy, local net.Addr, reason error)

	begin    sync.Once
	accepted chan result
	closed   chan struct{}
	waiting  chan struct{}  // has one for each that is waited for
	headers  sync.WaitGroup // the same
}

// result is what accepting came to.
type result struct {
	conn net.Conn
	err  error
}

// Accept implements [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	l.setUp()
	select {
	case r := <-l.accepted:
		return r.conn, r.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener]. Connections that were accepted before it are given
// to Accept yet, also those whose header is waited for: their clients believe to be
// connected. Only then Accept fails.
func (l *Listener) Close() error {
	l.setUp()
	return l.Listener.Close()
}

func (l *Listener) setUp() {
	l.begin.Do(func() {
		l.accepted, l.closed = make(chan result), make(chan struct{})
		l.waiting = make(chan struct{}, maxWaiting)
		go l.run()
	})
}

// run accepts until the listener is closed.
func (l *Listener) run() {
	for {
		conn, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			l.headers.Wait()
			close(l.closed)
			return
		}
		t, ok := conn.(*net.TCPConn)
		switch {
		case !ok: // an error, or a connection without addresses
			l.give(result{conn, err})
		case !l.Proxy(address(t.RemoteAddr())):
			l.give(result{l.direct(t), nil})
		default:
			l.await(t)
		}
	}
}

// give hands over what was accepted, to somebody who accepts until the end.
func (l *Listener) give(r result) { l.accepted <- r }

// direct is a client's own connection.
func (l *Listener) direct(conn *net.TCPConn) net.Conn {
	if l.Legacy {
		return legacyConn{conn}
	}
	return conn
}

var errTooMany = errors.New("too many connections wait for their PROXY header")

// await has a header waited for, if there are not too many that are.
func (l *Listener) await(conn *net.TCPConn) {
	select {
	case l.waiting <- struct{}{}:
	default:
		l.refuse(conn, errTooMany)
		return
	}
	l.headers.Go(func() {
		relayed, err := l.relayed(conn)
		<-l.waiting
		switch {
		case err == nil:
			l.give(result{relayed, nil})
		case errors.Is(err, errSilent):
			_ = conn.Close()
		default:
			l.refuse(conn, err)
		}
	})
}

func (l *Listener) refuse(conn *net.TCPConn, reason error) {
	l.Refused(conn.RemoteAddr(), conn.LocalAddr(), reason)
	_ = conn.Close()
}

// Take is Accept for a connection that somebody else has accepted. It waits for the
// header, and closes what can't be used.
func (l *Listener) Take(conn net.Conn) (net.Conn, error) {
	t, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	if !l.Proxy(address(t.RemoteAddr())) {
		return l.direct(t), nil
	}
	relayed, err := l.relayed(t)
	switch {
	case err == nil:
		return relayed, nil
	case errors.Is(err, errSilent):
		_ = t.Close()
	default:
		l.refuse(t, err)
	}
	return nil, err
}

// relayed reads the header of a connection.
func (l *Listener) relayed(conn *net.TCPConn) (net.Conn, error) {
	if err := conn.SetReadDeadline(time.Now().Add(headerWait)); err != nil {
		return nil, err
	}
	h, err := readHeader(conn)
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	r := &Relayed{TCPConn: conn, remote: conn.RemoteAddr(), local: conn.LocalAddr(), terminated: h.terminated, client: h.client, legacy: l.Legacy}
	if h.remote != nil {
		r.remote, r.local = h.remote, h.local
	}
	return r, nil
}

// Relayed is a connection that a proxy hands on. It implements
// [sidepop/pop3.Relayed] and [sidepop/pop3.Wrapper].
type Relayed struct {
	*net.TCPConn
	remote, local net.Addr
	terminated    *tls.ConnectionState
	client        string
	legacy        bool
}

// Wrapped is the connection with the proxy.
func (r *Relayed) Wrapped() net.Conn { return r.TCPConn }

// RemoteAddr is the client's address.
func (r *Relayed) RemoteAddr() net.Addr { return r.remote }

// LocalAddr is the address that the client connected to.
func (r *Relayed) LocalAddr() net.Addr { return r.local }

// Terminated is what the proxy says of the TLS that it has ended; nil: none.
func (r *Relayed) Terminated() *tls.ConnectionState { return r.terminated }

// ClientName is the common name of the client's certificate, which the proxy says to
// have verified; "": there is none.
func (r *Relayed) ClientName() string { return r.client }

// legacyConn is a connection of an old device's.
type legacyConn struct{ *net.TCPConn }

// Wrapped implements [sidepop/pop3.Wrapper].
func (c legacyConn) Wrapped() net.Conn { return c.TCPConn }

// Legacy says whether a connection, or what it wraps, is of a listener for old devices.
func Legacy(conn net.Conn) bool {
	for {
		switch c := conn.(type) {
		case legacyConn:
			return true
		case *Relayed:
			return c.legacy
		case pop3.Wrapper:
			conn = c.Wrapped()
		default:
			return false
		}
	}
}

func address(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
