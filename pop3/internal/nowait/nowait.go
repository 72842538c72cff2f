// Package nowait does what the kernel answers at once, without telling Go's scheduler
// of it.
//
// A system call of the standard library is announced to the scheduler, which may have
// to find another thread for the other goroutines if it takes long. In a process that
// was at rest, as a server is that waits for its clients, the announcement wakes the
// scheduler's monitor: a thread that looks after the others every 20 us from then on.
// Where each call is short that costs a fifth of all that such a server does. So the
// calls here are made without it, and only those that never wait: on sockets with
// MSG_DONTWAIT, on files with RWF_NOWAIT. Who has to wait does so in Go's poller, or in
// a call of the usual kind.
package nowait

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Receive is recv(2): 0 at the end, EAGAIN where nothing has come.
func Receive(fd uintptr, p []byte) (n int, err error) {
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			received()
			return result(r, errno)
		}
	}
}

// Send is send(2), which may take a part of p: EAGAIN where there is no room at all.
func Send(fd uintptr, p []byte) (n int, err error) {
	sent()
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return result(r, errno)
		}
	}
}

// ReceiveMessage is recvmsg(2) without the sender's address. The descriptors that come
// are closed when a program is executed.
func ReceiveMessage(fd uintptr, p, control []byte) (n, controls, flags int, err error) {
	msg, iov := header(p, control)
	msg.Iov = &iov
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC, 0, 0, 0)
		if errno != unix.EINTR {
			received()
			n, err = result(r, errno)
			return n, int(msg.Controllen), int(msg.Flags), err
		}
	}
}

// SendMessage is sendmsg(2).
func SendMessage(fd uintptr, p, control []byte) (n int, err error) {
	msg, iov := header(p, control)
	msg.Iov = &iov
	sent()
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0, 0)
		if errno != unix.EINTR {
			return result(r, errno)
		}
	}
}

func header(p, control []byte) (msg unix.Msghdr, iov unix.Iovec) {
	iov.Base = unsafe.SliceData(p)
	iov.SetLen(len(p))
	msg.SetIovlen(1)
	msg.Control = unsafe.SliceData(control)
	msg.SetControllen(len(control))
	return msg, iov
}

// ReadAt is preadv2(2) of what is in memory. With an error, or with nothing, only a call
// that may wait tells what there is: EAGAIN says that it is not in memory, EOPNOTSUPP
// that the file system can't tell, and Linux 5.9 and 5.10 may find an end where none
// is. File systems of networks can't tell.
func ReadAt(fd int, p []byte, at int64) (n int, err error) { return readAt(fd, p, at, unix.RWF_NOWAIT) }

// ReadMemory is the same for a file of memfd_create(2), of which all is there: it waits
// only as any access to memory may, that was swapped out.
func ReadMemory(fd int, p []byte, at int64) (n int, err error) { return readAt(fd, p, at, 0) }

func readAt(fd int, p []byte, at int64, flags uintptr) (n int, err error) {
	var iov unix.Iovec
	iov.Base = unsafe.SliceData(p)
	iov.SetLen(len(p))
	low, high := uintptr(at), uintptr(at>>32) // of which 64-bit kernels take the first alone
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 1, low, high, flags)
		if errno != unix.EINTR {
			return result(r, errno)
		}
	}
}

// Close is close(2), for a file in memory, or a small one on a local file system or from
// which [ReadAt] has read: nothing is written back, and no server on a network is told. If it was removed
// meanwhile its space is given back, which takes long only for much.
func Close(fd int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	_, err := result(0, errno)
	return err
}

// Flags is fcntl(2) with F_GETFL.
func Flags(fd int) (flags int, err error) {
	r, _, errno := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_GETFL, 0)
	return result(r, errno)
}

// Type is the type of an open file, as S_IFREG, by statx(2) with AT_STATX_DONT_SYNC: no
// server on a network is asked.
func Type(fd int) (mode uint32, err error) {
	var st unix.Statx_t
	var empty byte
	_, _, errno := unix.RawSyscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&empty)),
		unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, uintptr(unsafe.Pointer(&st)), 0)
	_, err = result(0, errno)
	return uint32(st.Mode) & unix.S_IFMT, err
}

// Untaken is ioctl(2) with SIOCOUTQ: of what was sent, so many octets were not received.
func Untaken(fd uintptr) (octets int, err error) {
	var n int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, fd, unix.SIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	_, err = result(0, errno)
	return int(n), err
}

func result(r uintptr, errno unix.Errno) (n int, err error) {
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}
