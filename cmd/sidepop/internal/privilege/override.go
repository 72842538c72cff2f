package privilege

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// overriding are root's rights to pass over permissions (capabilities(7)).
var overriding = []uint{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH}

// WithoutOverride runs f without root's rights to pass over permissions: files are
// as reachable for it, and for the programs that it starts, as for a root without
// them. What f does it has to do in its own goroutine, which is not the caller's.
// For others than root it runs f, and as little as that where these rights can't be
// given up.
func WithoutOverride(f func()) {
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		dropOverride()
		f()
	}()
	<-done
}

// dropOverride takes the rights from the calling thread alone. A program that root
// starts would get them back from the bounding set.
func dropOverride() {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return
	}
	for _, right := range overriding {
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(right), 0, 0, 0)
		sets[right/32].Effective &^= 1 << (right % 32)
		sets[right/32].Permitted &^= 1 << (right % 32)
		sets[right/32].Inheritable &^= 1 << (right % 32)
	}
	_ = unix.Capset(&header, &sets[0])
}
