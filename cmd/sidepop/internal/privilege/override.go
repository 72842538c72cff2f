package privilege

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// overriding are root's rights to pass over permissions (capabilities(7)).
const overriding = 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH

// noRoot is SECBIT_NOROOT (capabilities(7)): a program gets no rights through
// being started by root.
const noRoot = 1 << 0

// WithoutOverride runs f without root's rights to pass over permissions: files are
// as reachable for the whole process meanwhile as for a root without them, and
// programs that it starts are as those of the keeper, without any capability. For
// others than root, and in a process with C libraries, it runs f alone.
func WithoutOverride(f func()) {
	if os.Geteuid() == 0 {
		defer dropOverride()()
	}
	f()
}

// dropOverride takes the rights from all threads, and gives them back.
func dropOverride() (restore func()) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var held [2]unix.CapUserData
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err != nil || unix.Capget(&header, &held[0]) != nil {
		return func() {}
	}
	set := func(bits int, data *[2]unix.CapUserData) {
		_, _, _ = syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, uintptr(bits), 0)
		_, _, _ = syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	}
	less := held
	less[0].Effective &^= overriding
	set(bits|noRoot, &less)
	return func() { set(bits, &held) }
}
