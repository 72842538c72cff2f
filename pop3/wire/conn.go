package wire

import (
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3/internal/nowait"
)

// conn sends and receives packets. One goroutine receives, and one at a time
// sends.
type conn struct {
	*net.UnixConn
	raw syscall.RawConn

	// The two functions that the poller calls are made once: one made for each
	// packet would be garbage. They work on what follows.
	tryReceive, trySend func(fd uintptr) bool

	in      received
	inErr   error
	rights  bool // descriptors are expected
	out     []byte
	control []byte // goes with out
	outErr  error
	waited  bool // for room to send
}

// received is a packet with what came along.
type received struct {
	*buffer
	packet      []byte
	descriptors []int
	noRoom      bool // descriptors came, but this process may not have so many
}

func newConn(u *net.UnixConn) (*conn, error) {
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &conn{UnixConn: u, raw: raw}
	c.tryReceive, c.trySend = c.receiveNow, c.sendNow
	return c, nil
}

// receive waits for a packet. Its buffer becomes the caller's to free, and its
// descriptors, which come only where rights says so, to close: all that were
// sent, or none with noRoom. [io.EOF]: the other side has closed the connection.
func (c *conn) receive(rights bool) (received, error) {
	c.rights = rights
	err := c.raw.Read(c.tryReceive)
	if err == nil {
		err = c.inErr
	}
	in := c.in
	c.in, c.inErr = received{}, nil
	return in, err
}

// receiveNow takes a packet if there is one. A buffer is held only then.
func (c *conn) receiveNow(fd uintptr) bool {
	b := newBuffer()
	var control []byte
	if c.rights {
		control = b.rights[:]
	}
	n, controls, flags, err := nowait.ReceiveMessage(fd, b.packet[:], control)
	if err == unix.EAGAIN {
		b.free()
		return false
	}
	var descriptors []int
	if err == nil && controls > 0 {
		descriptors, err = parseRights(control[:controls])
	}
	noRoom := false
	switch {
	case err != nil:
	case flags&unix.MSG_TRUNC != 0:
		err = errTruncated
	case flags&unix.MSG_CTRUNC != 0 && c.rights && len(descriptors) < MaxOpen: // there was space for more
		closeAll(descriptors)
		descriptors, noRoom = nil, true
	case flags&unix.MSG_CTRUNC != 0:
		err = errRights
	case n == 0:
		err = io.EOF
	}
	if err != nil {
		b.secret = max(n, 0) // a login, perhaps
		b.free()
		closeAll(descriptors)
		c.inErr = err
		return true
	}
	c.in = received{b, b.packet[:n], descriptors, noRoom}
	return true
}

func parseRights(control []byte) (descriptors []int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	for i := range messages {
		var fds []int
		if fds, err = unix.ParseUnixRights(&messages[i]); err != nil {
			break
		}
		descriptors = append(descriptors, fds...)
	}
	return descriptors, err
}

func closeAll(descriptors []int) {
	for _, fd := range descriptors {
		_ = unix.Close(fd)
	}
}

// send sends a packet, with descriptors in a control message if there are any.
func (c *conn) send(packet, control []byte) error {
	if len(packet) > MaxPacket {
		return errTruncated
	}
	c.out, c.control = packet, control
	err := c.raw.Write(c.trySend)
	if err == nil {
		err = c.outErr
	}
	c.out, c.control, c.outErr = nil, nil, nil
	if c.waited {
		c.waited = false
		_ = c.SetWriteDeadline(time.Time{})
	}
	return err
}

// sendNow sends if there is room, which there nearly always is: only if not, a
// deadline is set.
func (c *conn) sendNow(fd uintptr) bool {
	var err error
	if c.control == nil {
		_, err = nowait.Send(fd, c.out)
	} else {
		_, err = nowait.SendMessage(fd, c.out, c.control)
	}
	if err == unix.EAGAIN {
		if !c.waited {
			c.waited = true
			_ = c.SetWriteDeadline(time.Now().Add(sendWait))
		}
		return false
	}
	c.outErr = err
	return true
}
