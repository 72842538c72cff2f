package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// stdio takes standard input and output for a connection: one socket, or two pipes.
// The descriptors themselves lead nowhere then, so that nothing else can be written
// there. A connection that is not TCP's own is of an address that the environment
// says, and never counts as one within this machine.
func stdio(secured bool) (net.Conn, error) {
	conn, err := stdioConn()
	if err != nil {
		return nil, err
	}
	if err := discard(unix.Stdin, unix.Stdout); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if _, isTCP := conn.(*net.TCPConn); isTCP && !secured {
		return conn, nil
	}
	h := &handed{Conn: conn, remote: conn.RemoteAddr(), local: conn.LocalAddr()}
	if _, isTCP := conn.(*net.TCPConn); !isTCP {
		h.remote, h.local = environmentAddresses(os.Getenv)
	}
	if secured {
		h.terminated = &tls.ConnectionState{} // nobody says which
	}
	return h, nil
}

func stdioConn() (net.Conn, error) {
	const expected = "expected the connection of a client: start it from inetd, xinetd, tcpserver, stunnel or a systemd socket with Accept=yes, as sidepop-inetd(8) shows"
	var fi unix.Stat_t
	if err := unix.Fstat(unix.Stdin, &fi); err != nil {
		return nil, fmt.Errorf("standard input can't be used (%w), %s", err, expected)
	}
	switch fi.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return stdioPipes(expected)
	case unix.S_IFSOCK:
	default:
		return nil, errors.New("standard input is neither a socket nor a pipe, " + expected)
	}
	if listens, err := unix.GetsockoptInt(unix.Stdin, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens != 0 {
		return nil, errors.New("standard input is a socket that listens (inetd: \"wait\"; systemd: Accept=no), " + expected)
	}
	conn, err := net.FileConn(os.Stdin) // a duplicate
	if err != nil {
		return nil, fmt.Errorf("standard input can't be used: %w", err)
	}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return conn, nil
	}
	_ = conn.Close()
	return nil, fmt.Errorf("standard input is a socket of %s, %s", conn.LocalAddr().Network(), expected)
}

// stdioPipes makes a connection of two pipes.
func stdioPipes(expected string) (net.Conn, error) {
	var c pipes
	for _, end := range []struct {
		fd   int
		file **os.File
	}{{unix.Stdin, &c.in}, {unix.Stdout, &c.out}} {
		var fi unix.Stat_t
		if err := unix.Fstat(end.fd, &fi); err != nil || fi.Mode&unix.S_IFMT != unix.S_IFIFO {
			return nil, errors.New("standard input is a pipe and standard output is none, " + expected)
		}
		fd, err := unix.FcntlInt(uintptr(end.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err == nil {
			err = unix.SetNonblock(fd, true) // for deadlines
		}
		if err != nil {
			return nil, err
		}
		*end.file = os.NewFile(uintptr(fd), "pipe")
	}
	return c, nil
}

// pipes is a connection by two pipes.
type pipes struct{ in, out *os.File }

func (c pipes) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c pipes) Write(b []byte) (int, error) { return c.out.Write(b) }

// CloseWrite ends what the client gets.
func (c pipes) CloseWrite() error { return c.out.Close() }

func (c pipes) Close() error {
	err := c.out.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil // by CloseWrite
	}
	return errors.Join(c.in.Close(), err)
}

func (pipes) LocalAddr() net.Addr                  { return noAddress{} }
func (pipes) RemoteAddr() net.Addr                 { return noAddress{} }
func (c pipes) SetReadDeadline(t time.Time) error  { return c.in.SetReadDeadline(t) }
func (c pipes) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }
func (c pipes) SetDeadline(t time.Time) error {
	return errors.Join(c.in.SetReadDeadline(t), c.out.SetWriteDeadline(t))
}

// noAddress is the address of what has none.
type noAddress struct{}

func (noAddress) Network() string { return "pipe" }
func (noAddress) String() string  { return "none" }

// handed is a connection that another program hands on.
type handed struct {
	net.Conn
	remote, local net.Addr
	terminated    *tls.ConnectionState
}

var _ pop3.Relayed = (*handed)(nil)

// RemoteAddr is the client's address.
func (h *handed) RemoteAddr() net.Addr { return h.remote }

// LocalAddr is the address that the client connected to.
func (h *handed) LocalAddr() net.Addr { return h.local }

// Terminated is the TLS that the other program has ended; nil: none.
func (h *handed) Terminated() *tls.ConnectionState { return h.terminated }

// ClientName is that of nobody: it is not handed on.
func (h *handed) ClientName() string { return "" }

// CloseWrite ends what the client gets.
func (h *handed) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return io.ErrClosedPipe
}

// environmentAddresses are those of a client as whoever has accepted the connection
// says: tcpserver (tcp-environ(5)), systemd (systemd.socket(5), Accept=), and, with
// no port, xinetd and stunnel.
func environmentAddresses(value func(string) string) (remote, local net.Addr) {
	remote = cmp.Or(
		environmentAddress(value("TCPREMOTEIP"), value("TCPREMOTEPORT")),
		environmentAddress(value("REMOTE_ADDR"), value("REMOTE_PORT")),
		environmentAddress(value("REMOTE_HOST"), ""))
	local = environmentAddress(value("TCPLOCALIP"), value("TCPLOCALPORT"))
	if remote == nil {
		remote = noAddress{}
	}
	if local == nil {
		local = noAddress{}
	}
	return remote, local
}

// environmentAddress is an address, or nil where there is none, such as a name.
func environmentAddress(ip, port string) net.Addr {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return nil
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		p = 0
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Unmap(), uint16(p)))
}
