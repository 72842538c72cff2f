//go:build amd64 || arm64 || ppc64le || riscv64 || s390x

package index

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// resolveCached is RESOLVE_CACHED of openat2(2) (Linux 5.12): nothing is read from a
// disk, nor looked up elsewhere.
const resolveCached = 0x20

// openCached is openBelow for a message in a folder on a local file system (isLocal),
// if the kernel has its name in memory. Any error means that openBelow has to tell.
//
// Nothing is read for that, so it is not announced to Go's scheduler, nor is statCached.
// Such an announcement wakes the scheduler's monitor, a thread that then looks after the
// others every 20 us, which costs a sixth of all that the keeper does for a session that
// fetches small messages.
func openCached(at int, name string) (fd int, err error) {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return -1, err
	}
	how := unix.OpenHow{
		Flags:   openFlags | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_LARGEFILE,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV | resolveCached,
	}
	r, _, errno := unix.RawSyscall6(unix.SYS_OPENAT2, uintptr(at), uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(r), nil
}

// statCached is fstat(2) for what openCached has opened.
func statCached(fd int, st *unix.Stat_t) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(st)), 0); errno != 0 {
		return errno
	}
	return nil
}
