package test

import (
	"crypto/rand"
	varint "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The protocol between front and keeper, as ../pop3/wire has it, written down
// once more: a front that was taken over speaks it as it likes.
const (
	wireVersion = 1

	wirePassword = 1
	wireAPOP     = 2
	wireSASL     = 3
	wireResponse = 4
	wireOctets   = 5
	wireUIDLs    = 6
	wireOpen     = 7
	wireListing  = 8
	wireNumbers  = 9
	wireCommit   = 10
	wireControl  = 11
	wireSign     = 12
	wireCounts   = 13

	wireLoggedIn  = 101
	wireRefused   = 103
	wireOpened    = 106
	wireCommitted = 109
	wireState     = 110
	wireNotSigned = 113

	wireMaxPacket = 64 << 10
)

// frame is a packet: its verb and what goes with it, numbers and strings.
func frame(verb byte, parts ...any) []byte {
	p := []byte{wireVersion, verb}
	for _, part := range parts {
		switch v := part.(type) {
		case int:
			p = varint.AppendUvarint(p, uint64(v))
		case uint64:
			p = varint.AppendUvarint(p, v)
		case string:
			p = append(varint.AppendUvarint(p, uint64(len(v))), v...)
		case []byte:
			p = append(p, v...)
		default:
			panic(fmt.Sprintf("%T", part))
		}
	}
	return p
}

// wirePeer is what every login ends with: a client at 192.0.2.1 in a session, over
// what counts as secure, without TLS, and the milliseconds that it may take.
func wirePeer(session string) []byte {
	const address, port = "\xC0\x00\x02\x01", 4711
	return frame(0, session, address, port, address, port, 1, 0, 10000)[2:]
}

// wireLogin is a login by password.
func wireLogin(a account, session string) []byte {
	return frame(wirePassword, a.name, a.password, wirePeer(session))
}

// wireConn is a connection to the keeper.
type wireConn struct {
	*net.UnixConn
	t testing.TB
}

// dialKeeper connects to the keeper's socket as another user: the kernel takes
// down who connects, by the thread that does.
func (s *server) dialKeeper(uid, gid int) (*wireConn, error) {
	type result struct {
		conn *net.UnixConn
		err  error
	}
	done := make(chan result)
	go func() {
		var r result
		err := asThread(uid, gid, func() (err error) {
			r.conn, err = net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: s.path("run/keeper.sock")})
			return err
		})
		r.err = err
		done <- r
	}()
	r := <-done
	if r.err != nil {
		return nil, r.err
	}
	s.t.Cleanup(func() { _ = r.conn.Close() })
	return &wireConn{r.conn, s.t}, r.conn.SetDeadline(time.Now().Add(answerTime))
}

// asThread does something as another user, in a thread that ends with the
// goroutine, which should end next.
func asThread(uid, gid int, do func() error) error {
	runtime.LockOSThread()
	for _, call := range []struct{ number, a, b, c uintptr }{
		{unix.SYS_SETGROUPS, 0, 0, 0},
		{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
		{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
	} {
		if _, _, errno := unix.RawSyscall(call.number, call.a, call.b, call.c); errno != 0 {
			return errno
		}
	}
	return do()
}

// front connects as the front does.
func (s *server) front() *wireConn {
	s.t.Helper()
	uid, gid := identityOf(s.t, frontUser)
	c, err := s.dialKeeper(uid, gid)
	must(s.t, err)
	return c
}

// say sends a packet. What the keeper has ended can't be said any more.
func (c *wireConn) say(p []byte, descriptors ...int) error {
	var control []byte
	if len(descriptors) > 0 {
		control = unix.UnixRights(descriptors...)
	}
	_, _, err := c.WriteMsgUnix(p, control, nil)
	return err
}

// hear gives the next packet and all that can be read of the descriptors that
// came with it. The end of the connection is io.EOF, however it came about.
func (c *wireConn) hear() (packet []byte, files [][]byte, err error) {
	p, control := make([]byte, wireMaxPacket+1), make([]byte, 4096)
	n, controls, _, _, err := c.ReadMsgUnix(p, control)
	if err != nil || n == 0 {
		if err == nil || errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
			err = io.EOF
		}
		return nil, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil {
		return nil, nil, err
	}
	for _, m := range messages {
		descriptors, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, nil, err
		}
		for _, fd := range descriptors {
			data, err := readPassed(fd)
			if err != nil {
				return nil, nil, err
			}
			files = append(files, data)
		}
	}
	return p[:n], files, nil
}

// readPassed reads a descriptor that was passed on, makes sure that nothing can be
// written to it, and closes it.
func readPassed(fd int) ([]byte, error) {
	f := os.NewFile(uintptr(fd), "passed on")
	defer f.Close()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return nil, err
	}
	if flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_PATH != 0 {
		return nil, fmt.Errorf("a descriptor with the flags %#x", flags)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("a descriptor that is not a regular file: %v", err)
	}
	return io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
}

// logIn logs in and gives the keeper's answer.
func (c *wireConn) logIn(a account, session string) (answer []byte) {
	c.t.Helper()
	must(c.t, c.say(wireLogin(a, session)))
	answer, _, err := c.hear()
	must(c.t, err)
	return answer
}

// session is a name for a session, as a front makes them.
func newSession() string { return rand.Text()[:10] }
