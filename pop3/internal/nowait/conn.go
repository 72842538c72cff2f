package nowait

import (
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Conn reads and writes a socket. One goroutine at a time reads, and one writes. All
// else is that of the connection it was made of.
type Conn struct {
	net.Conn
	raw syscall.RawConn

	// What the poller calls is made once: one made for each call would be garbage. It
	// works on what follows.
	tryRead, tryWrite func(fd uintptr) bool
	in, out           []byte
	got, sent         int
	inErr, outErr     error
}

// NewConn makes one of a connection and of its socket, which may be the same.
func NewConn(conn net.Conn, socket syscall.Conn) (*Conn, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: conn, raw: raw}
	c.tryRead, c.tryWrite = c.readNow, c.writeNow
	return c, nil
}

// Wrapped gives the connection that this one was made of.
func (c *Conn) Wrapped() net.Conn { return c.Conn }

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in = p
	err = c.raw.Read(c.tryRead)
	if err == nil {
		err = c.inErr
	}
	n = c.got
	c.in, c.got, c.inErr = nil, 0, nil
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (c *Conn) readNow(fd uintptr) (done bool) {
	n, err := Receive(fd, c.in)
	if err == unix.EAGAIN {
		return false
	}
	c.got, c.inErr = n, c.failed("read", err)
	return true
}

// Write implements [net.Conn].
func (c *Conn) Write(p []byte) (n int, err error) {
	c.out = p
	err = c.raw.Write(c.tryWrite)
	if err == nil {
		err = c.outErr
	}
	n = c.sent
	c.out, c.sent, c.outErr = nil, 0, nil
	return n, err
}

func (c *Conn) writeNow(fd uintptr) (done bool) {
	for c.sent < len(c.out) {
		n, err := Send(fd, c.out[c.sent:])
		if err == unix.EAGAIN {
			return false
		}
		if err != nil {
			c.outErr = c.failed("write", err)
			return true
		}
		c.sent += n
	}
	return true
}

// failed is err as package net has it.
func (c *Conn) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	failed := &net.OpError{Op: op, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, err)}
	if failed.Addr != nil { // or the client had gone before anybody asked who it is
		failed.Net = failed.Addr.Network()
	}
	return failed
}

// CloseWrite is shutdown(2) of what is sent. It is an error where there is no such thing.
func (c *Conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return unix.EOPNOTSUPP
	}
	return half.CloseWrite()
}
