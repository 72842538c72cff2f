package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// layers are kinds of protection, any one of which refuses an attempt.
type layers uint8

const (
	credentials layers = 1 << iota // user and capabilities
	lockedFiles                    // Landlock: files, tracing
	lockedTCP                      // Landlock: bind and connect
	lockedScope                    // Landlock: signals, abstract sockets
	filtered                       // seccomp
)

// attempt is something that must fail. Its try does no harm if it succeeds:
// the process ends then.
type attempt struct {
	name string
	// by are the protections that refuse it. It is tried if one is held.
	by  layers
	try func(*probe) error
}

// probe is what attempts need from before the sandbox.
type probe struct {
	dir      int           // the folder / of before
	listener int           // listens on an abstract unix socket
	abstract unix.Sockaddr // its address, chosen by the kernel
	parent   int
}

func newProbe() (*probe, error) {
	p := &probe{parent: os.Getppid()}
	var err error
	if p.dir, err = unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open /: %w", err)
	}
	if p.listener, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("unix socket: %w", err)
	}
	if err := unix.Bind(p.listener, &unix.SockaddrUnix{}); err != nil {
		return nil, fmt.Errorf("abstract unix socket: %w", err)
	}
	if err := unix.Listen(p.listener, 1); err != nil {
		return nil, fmt.Errorf("abstract unix socket: %w", err)
	}
	p.abstract, err = unix.Getsockname(p.listener)
	return p, err
}

func (p *probe) close() {
	unix.Close(p.dir)
	unix.Close(p.listener)
}

// tryAll makes the attempts that one of the held protections refuses. Only a
// refusal counts: after another failure nobody knows who prevented it.
func tryAll(attempts []attempt, held layers, p *probe) error {
	for _, a := range attempts {
		if a.by&held == 0 {
			continue
		}
		err := a.try(p)
		if err == nil {
			return fmt.Errorf("an attempt succeeded that must fail: %s", a.name)
		}
		if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EAFNOSUPPORT) {
			return fmt.Errorf("an attempt was not refused: %s: %w", a.name, err)
		}
	}
	return nil
}

// count is the number of attempts that held protections refuse.
func count(attempts []attempt, held layers) int {
	n := 0
	for _, a := range attempts {
		if a.by&held != 0 {
			n++
		}
	}
	return n
}

// call tries a system call whose arguments are such that the kernel would
// answer another error than a refusal if it came to look at them.
func call(number uintptr, arguments ...uintptr) func(*probe) error {
	var a [6]uintptr
	copy(a[:], arguments)
	return func(*probe) error {
		if _, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
}

// socket tries to make a socket.
func socket(family, kind int) func(*probe) error {
	return func(*probe) error {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

// netlink tries to make a netlink socket of a protocol.
func netlink(protocol int) func(*probe) error {
	return func(*probe) error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

// open tries to open a name in the folder that the probe has open.
func open(flags int) func(*probe) error {
	return func(p *probe) error {
		fd, err := unix.Openat(p.dir, ".", flags|unix.O_CLOEXEC, 0o600)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

// onTCP tries use on a TCP socket with a local address.
func onTCP(use func(fd int, address unix.Sockaddr) error, port int) func(*probe) error {
	return func(*probe) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return use(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
}

// capability tries to get one that the role does not keep.
func capability(*probe) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := rights{use: 1 << unix.CAP_SYS_ADMIN}.data()
	return unix.Capset(&header, &data[0])
}

// seize tries to trace the parent, without stopping it.
func seize(p *probe) error {
	if p.parent == 0 {
		return unix.EPERM // the first of its PID namespace sees no parent
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(p.parent), 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// executable tries to make memory that is written executable too.
func executable(*probe) error {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("no memory (%v)", err)
	}
	defer unix.Munmap(page)
	return unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC)
}

// raiseLimit tries to raise the hard limit of core files.
func raiseLimit(*probe) error {
	return unix.Prlimit(0, unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 1}, nil)
}

// readRoot tries to read the folder that is the root now.
func readRoot(*probe) error {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// connectAbstract tries to connect to a socket from before the sandbox.
func connectAbstract(p *probe) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("no unix socket (%v)", err)
	}
	defer unix.Close(fd)
	return unix.Connect(fd, p.abstract)
}

// signalParent asks whether a signal to the parent would be allowed.
func signalParent(p *probe) error {
	if p.parent == 0 {
		return unix.EPERM // the first of its PID namespace sees no parent
	}
	return unix.Kill(p.parent, 0)
}
