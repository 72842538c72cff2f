// Package sandbox puts the two roles of sidepop into their sandboxes and
// proves that these hold.
//
// Invariants:
//   - What a sandbox takes away, it takes from every thread of the process,
//     and nothing gives it back.
//   - A protection counts only after what it forbids was tried and refused. A
//     role whose attempt succeeds gets an error and must not start.
//   - A protection that the kernel, the container or missing root rights don't
//     offer is no error: it is reported as not available.
//
// The program must be built with CGO_ENABLED=0: threads that a C library made
// can't be changed together.
//
// A system call filter from outside must refuse calls with an error, not kill
// the process (systemd: SystemCallErrorNumber=EPERM), since the attempts make
// calls that it forbids.
package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"sidepop/cmd/sidepop/internal/privilege"

	"golang.org/x/sys/unix"
)

// Measure is one protection.
type Measure struct {
	Name string
	// Held is false where the protection is not available.
	Held bool
	// Detail says what holds, or why nothing does.
	Detail string
}

// Measures are all protections of a role.
type Measures []Measure

// Front puts the process into the sandbox of the role that talks to the
// network. Its working directory becomes root, a folder that holds nothing but
// the keeper's socket: the socket is named relative to it. Started as root, it
// is also the root directory, and the process becomes user, without
// supplementary groups; otherwise user may be nil.
//
// The listeners must exist already. What the runtime and the standard library
// open when they first need it must have been used before, or never be: name
// and user lookups, time zones other than time.Local, system certificates,
// configuration, log files. No program can be started. Standard error stays
// writable.
//
// After an error the process must end: its sandbox is incomplete.
func Front(root string, user *privilege.Identity) (Measures, error) {
	// time.Local reads /etc/localtime when it is first asked for its zone.
	_, _ = time.Now().Zone()
	// A descriptor such as a careless caller leaves open, for the attempts.
	p, err := newProbe()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	defer p.close()
	var m Measures
	if err := m.confine(root, user); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if err := m.process(rights{}); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	held, err := m.landlock()
	if err != nil {
		return nil, fmt.Errorf("sandbox: Landlock: %w", err)
	}
	held |= credentials
	// Before the filter, which would refuse the same attempts first.
	if err := tryAll(frontAttempts, held, p); err != nil {
		return nil, fmt.Errorf("sandbox: without the seccomp filter: %w", err)
	}
	return m.finish(held, frontPrograms(), frontAttempts, p)
}

// machineFile is on every machine, and in no root folder that a unit gives the front
// (RootDirectory=, TemporaryFileSystem=).
const machineFile = "/etc/passwd"

// confine takes root's rights, and the file system beyond root, away.
func (m *Measures) confine(root string, user *privilege.Identity) error {
	if os.Geteuid() != 0 {
		if err := os.Chdir(root); err != nil {
			return fmt.Errorf("enter the folder of the keeper's socket: %w", err)
		}
		if _, err := os.Lstat(machineFile); errors.Is(err, fs.ErrNotExist) {
			m.add("root folder", true, "as started, without the machine's files")
		} else {
			m.add("root folder", false, "not started as root")
		}
		m.add("user", true, fmt.Sprintf("uid %d, as started", os.Getuid()))
		return m.keepCapabilities(rights{})
	}
	if user == nil {
		return errors.New("started as root without a user to become: name one, or start as that user")
	}
	if err := syscall.Chroot(root); err != nil {
		return fmt.Errorf("make %s the root folder: %w", root, err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("enter the root folder %s: %w", root, err)
	}
	m.add("root folder", true, root)
	// The bounding set can be emptied only while there are root's rights.
	bounding, err := dropBounding(0)
	if err != nil {
		return err
	}
	alone := *user
	alone.Groups = nil
	if err := privilege.Drop(&alone); err != nil {
		return err
	}
	if groups, err := syscall.Getgroups(); err != nil || len(groups) != 0 {
		return fmt.Errorf("groups left after giving up root: %v (%v)", groups, err)
	}
	m.add("user", true, user.Name)
	return m.setCapabilities(rights{}, bounding)
}

// KeeperOptions are what an operator may need beside what the keeper does
// itself. The zero value is the narrowest sandbox.
type KeeperOptions struct {
	// Network leaves IPv4 and IPv6 sockets, and the netlink ones that tell of
	// the machine's addresses, for PAM modules and databases that
	// ask other machines.
	Network bool

	// Helper are capabilities that the keeper can give to programs that it
	// starts, with SysProcAttr.AmbientCaps (see [Numbers]), and does not use
	// itself: those of [HelperCapabilities], or none.
	Helper []Capability
}

// Keeper puts the process into the sandbox of the role that reads mail: as
// root it keeps the capabilities of keeperCapabilities alone, and whoever
// started it, without a network no socket but unix ones can be made any more. Files are opened
// with root's user id but without the right to pass over permissions: what the
// keeper reads must be readable by its owner root. A program that it starts
// inherits all this and has no capability at all but those it is given.
//
// After an error the process must end: its sandbox is incomplete.
func Keeper(o KeeperOptions) (Measures, error) {
	p, err := newProbe()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	defer p.close()
	var m Measures
	var keep rights
	if os.Geteuid() == 0 {
		keep = rights{use: maskOf(keeperCapabilities), give: maskOf(o.Helper)}
		bits := securebits
		if keep.give != 0 {
			bits = givingSecurebits
		}
		if err := m.lockSecurebits(bits); err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
	}
	if err := m.keepCapabilities(keep); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if err := m.process(keep); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if o.Network {
		m.add("network", true, "IPv4 and IPv6, as configured")
	}
	return m.finish(credentials, keeperPrograms(o.Network), keeperAttempts(o.Network), p)
}

// finish loads the filter, the last of the protections, and tries what all of
// them together forbid.
func (m *Measures) finish(held layers, programs []program, attempts []attempt, p *probe) (Measures, error) {
	filtered, err := m.seccomp(programs)
	if err != nil {
		return nil, fmt.Errorf("sandbox: seccomp: %w", err)
	}
	held |= filtered
	if err := tryAll(attempts, held, p); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	m.add("attempts", true, fmt.Sprintf("%d of %d refused", count(attempts, held), len(attempts)))
	return *m, nil
}

func (m *Measures) add(name string, held bool, detail string) {
	*m = append(*m, Measure{name, held, detail})
}

// process sets what holds for a process and not for its identity, and reads
// back everything set so far. keep are the capabilities that must be left.
func (m *Measures) process(keep rights) error {
	// Neither a core file nor, by a process of the same user, ptrace or
	// /proc/PID/mem. After the change of user, which sets it too.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	// Piped to a program, a core is written in spite of its limit only if
	// the process is dumpable. No limit on the size of files: standard error
	// may be one. None on processes: the threads of all processes of the
	// user count, and the runtime needs new ones.
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("RLIMIT_CORE: %w", err)
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if err := proveProcess(keep); err != nil {
		return err
	}
	m.add("no_new_privs", true, "on")
	m.add("core files and ptrace", true, "off")
	return nil
}

// proveProcess reads back what the kernel holds for this thread; the others
// got the same or [allThreads] had failed.
func proveProcess(keep rights) error {
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil || core.Cur != 0 || core.Max != 0 {
		return fmt.Errorf("the limit of core files is not 0 (%v)", err)
	}
	for _, state := range []struct {
		name   string
		option int
		want   int
	}{
		{"no_new_privs", unix.PR_GET_NO_NEW_PRIVS, 1},
		{"dumpable", unix.PR_GET_DUMPABLE, 0},
	} {
		if got, err := unix.PrctlRetInt(state.option, 0, 0, 0, 0); err != nil || got != state.want {
			return fmt.Errorf("%s is %d, not %d (%v)", state.name, got, state.want, err)
		}
	}
	return proveCapabilities(keep)
}

// allThreads makes a system call on every thread of the process.
//
//go:uintptrescapes
func allThreads(call, a, b, c uintptr) error {
	switch _, _, errno := syscall.AllThreadsSyscall(call, a, b, c); errno {
	case 0:
		return nil
	case unix.ENOTSUP:
		return ErrCgo
	default:
		return errno
	}
}

// ErrCgo is why there is no sandbox for a program with threads of a C library.
var ErrCgo = errors.New("this program was built with cgo and can't change all its threads: build it with CGO_ENABLED=0")

// Possible says whether this program can be put into a sandbox, or [ErrCgo].
func Possible() error { return allThreads(unix.SYS_GETPID, 0, 0, 0) }
