package nowait

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is a connection over loopback, of which one end is a Conn.
func pair(t *testing.T) (*Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	own, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConn(own, own.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Close(), other.Close() })
	return c, other.(*net.TCPConn)
}

// TestConn waits for what comes late, writes more than fits, and ends as a connection
// of package net.
func TestConn(t *testing.T) {
	c, other := pair(t)
	long := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // far more than buffers hold
	received := make(chan []byte)
	go func() {
		time.Sleep(20 * time.Millisecond)
		_, _ = other.Write([]byte("late"))
		all, _ := io.ReadAll(other)
		received <- all
	}()
	p := make([]byte, 10)
	if n, err := c.Read(p[:0]); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	if n, err := c.Read(p); string(p[:n]) != "late" || err != nil {
		t.Errorf("%q, %v", p[:n], err)
	}
	if n, err := c.Write(long); n != len(long) || err != nil {
		t.Errorf("%d octets of %d, %v", n, len(long), err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if all := <-received; !bytes.Equal(all, long) {
		t.Errorf("%d octets came, of %d", len(all), len(long))
	}
	other.Close()
	for range 2 {
		if n, err := c.Read(p); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", n, err)
		}
	}
}

// TestConnErrors: deadlines, a reset, and a connection that is closed.
func TestConnErrors(t *testing.T) {
	c, other := pair(t)
	p := make([]byte, 1<<20)
	soon := func() time.Time { return time.Now().Add(20 * time.Millisecond) }
	_ = c.SetReadDeadline(soon())
	if n, err := c.Read(p); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %d, %v", n, err)
	}
	_ = c.SetWriteDeadline(soon())
	var sent int
	var err error
	for err == nil {
		sent, err = c.Write(p)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || sent == len(p) {
		t.Errorf("write: %d octets, %v", sent, err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_ = other.SetLinger(0)
	other.Close()
	_, err = c.Read(p)
	var call *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &call) || call.Op != "read" || call.Addr.String() != c.RemoteAddr().String() {
		t.Errorf("read after a reset: %v", err)
	}
	if n, err := c.Write(p); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write after a reset: %d, %v", n, err)
	}
	c.Close()
	if _, err := c.Read(p); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if _, err := c.Write(p); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
	c.Conn = stranger{c.Conn}
	if err := c.failed("read", syscall.ECONNRESET); !errors.Is(err, syscall.ECONNRESET) || !strings.Contains(err.Error(), "connection reset by peer") {
		t.Errorf("of one who had gone before: %v", err)
	}
	piped, _ := net.Pipe()
	if err := (&Conn{Conn: piped}).CloseWrite(); err == nil {
		t.Error("half of a pipe was closed")
	}
}

// stranger is a connection whose other end had gone before anybody asked who it is.
type stranger struct{ net.Conn }

func (stranger) RemoteAddr() net.Addr { return nil }

// TestReadAt reads what is in memory, from any place, and the end as one; a pipe has no
// places. And what is said of each.
func TestReadAt(t *testing.T) {
	const text = "0123456789"
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	memory, err := unix.MemfdCreate("file", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(memory, []byte(text)); err != nil {
		t.Fatal(err)
	}
	onDisk, err := unix.Open(name, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for where, read := range map[string]func(p []byte, at int64) (int, error){
		"disk":   func(p []byte, at int64) (int, error) { return ReadAt(onDisk, p, at) },
		"memory": func(p []byte, at int64) (int, error) { return ReadMemory(memory, p, at) },
	} {
		for _, want := range []struct {
			at   int64
			size int
			text string
		}{{0, 4, "0123"}, {4, 100, "456789"}, {10, 1, ""}, {1 << 40, 1, ""}} {
			p := make([]byte, want.size)
			n, err := read(p, want.at)
			if where == "disk" && errors.Is(err, unix.EOPNOTSUPP) {
				t.Logf("the file system of %s can't tell what is in memory", name)
				break
			}
			if string(p[:n]) != want.text || err != nil {
				t.Errorf("%s: at %d %q, %v", where, want.at, p[:n], err)
			}
		}
	}
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	if n, err := ReadAt(pipe[0], make([]byte, 1), 0); n != 0 || err == nil {
		t.Errorf("a pipe: %d, %v", n, err)
	}
	for fd, want := range map[int]struct{ flags, mode int }{
		onDisk: {unix.O_RDONLY, unix.S_IFREG}, memory: {unix.O_RDWR, unix.S_IFREG}, pipe[0]: {unix.O_RDONLY, unix.S_IFIFO}, pipe[1]: {unix.O_WRONLY, unix.S_IFIFO},
	} {
		if flags, err := Flags(fd); flags&unix.O_ACCMODE != want.flags || err != nil {
			t.Errorf("flags %o, %v, want %o", flags, err, want.flags)
		}
		if mode, err := Type(fd); mode != uint32(want.mode) || err != nil {
			t.Errorf("type %o, %v, want %o", mode, err, want.mode)
		}
	}
	for _, fd := range []int{memory, onDisk, pipe[0], pipe[1]} {
		if err := Close(fd); err != nil {
			t.Error(err)
		}
		if err := Close(fd); err != unix.EBADF {
			t.Errorf("closed twice: %v", err)
		}
		if _, err := Flags(fd); err != unix.EBADF {
			t.Errorf("flags of what is closed: %v", err)
		}
		if _, err := Type(fd); err != unix.EBADF {
			t.Errorf("type of what is closed: %v", err)
		}
	}
}

// TestMessages: packets with descriptors and without, cut where there is no room.
func TestMessages(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	here, there := uintptr(ends[0]), uintptr(ends[1])
	p, control := make([]byte, 100), make([]byte, unix.CmsgSpace(4))
	if _, _, _, err := ReceiveMessage(there, p, control); err != unix.EAGAIN {
		t.Errorf("nothing was sent: %v", err)
	}
	if n, err := SendMessage(here, []byte("with"), unix.UnixRights(ends[0])); n != 4 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if octets, err := Untaken(here); octets == 0 || err != nil {
		t.Errorf("%d octets are on their way, %v", octets, err)
	}
	n, controls, flags, err := ReceiveMessage(there, p, control)
	if string(p[:n]) != "with" || controls == 0 || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || err != nil {
		t.Errorf("%q, %d, %#x, %v", p[:n], controls, flags, err)
	}
	if octets, err := Untaken(here); octets != 0 || err != nil {
		t.Errorf("%d octets are said to be on their way, %v", octets, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	came, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(came) != 1 {
		t.Fatalf("%v, %v", came, err)
	}
	if at, err := unix.FcntlInt(uintptr(came[0]), unix.F_GETFD, 0); at&unix.FD_CLOEXEC == 0 || err != nil {
		t.Errorf("the descriptor stays open in other programs: %v", err)
	}
	if n, err := SendMessage(here, []byte(strings.Repeat("x", 200)), nil); n != 200 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, controls, flags, err := ReceiveMessage(there, p, nil); n != 100 || controls != 0 || flags&unix.MSG_TRUNC == 0 || err != nil {
		t.Errorf("%d, %d, %#x, %v", n, controls, flags, err)
	}
	if err := errors.Join(Close(came[0]), Close(ends[1])); err != nil {
		t.Error(err)
	}
	if _, err := Send(here, []byte("x")); err != unix.EPIPE {
		t.Errorf("nobody is there: %v", err)
	}
	if n, err := Receive(here, p); n != 0 || err != nil {
		t.Errorf("the end: %d, %v", n, err)
	}
	_ = Close(ends[0])
}
