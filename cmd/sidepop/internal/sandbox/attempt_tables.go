package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"
)

// frontAttempts are what a front that serves its attacker would do next.
var frontAttempts = []attempt{
	{"read the root folder", lockedFiles | filtered, readRoot},
	{"read a folder through a descriptor left open", lockedFiles | filtered, open(unix.O_RDONLY | unix.O_DIRECTORY)},
	{"reach a folder through a descriptor left open", filtered, open(unix.O_PATH)},
	{"create a file", filtered, open(unix.O_TMPFILE | unix.O_RDWR)},
	{"connect by TCP", lockedTCP | filtered, onTCP(unix.Connect, 1)},
	{"listen by TCP", lockedTCP | filtered, onTCP(unix.Bind, 0)},
	{"make a TCP socket", filtered, socket(unix.AF_INET, unix.SOCK_STREAM)},
	{"make a TCP socket (IPv6)", filtered, socket(unix.AF_INET6, unix.SOCK_STREAM)},
	{"make a UDP socket", filtered, socket(unix.AF_INET, unix.SOCK_DGRAM)},
	{"make a netlink socket", filtered, socket(unix.AF_NETLINK, unix.SOCK_RAW)},
	{"make a packet socket", credentials | filtered, socket(unix.AF_PACKET, unix.SOCK_RAW)},
	{"connect to another's abstract socket", lockedScope, connectAbstract},
	{"start a program", filtered, call(unix.SYS_EXECVE)},
	{"fork", filtered, call(unix.SYS_CLONE, unix.CLONE_SIGHAND)},
	{"trace the parent", lockedFiles | filtered, seize},
	{"signal the parent", lockedScope | filtered, signalParent},
	{"become root", credentials | filtered, call(unix.SYS_SETUID, 0)},
	{"change the groups", credentials | filtered, call(unix.SYS_SETGROUPS, 0, 0)},
	{"get a capability", credentials | filtered, capability},
	{"change the root folder", credentials | filtered, func(*probe) error { return unix.Chroot("/") }},
	{"make a user namespace", filtered, func(*probe) error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	{"raise a limit", credentials | filtered, raiseLimit},
	{"make memory executable", filtered, executable},
}

// keeperAttempts are what nothing in the keeper or its PAM helper may do.
func keeperAttempts(network bool) []attempt {
	if network {
		return alwaysAttempts
	}
	return slices.Concat(networkAttempts, alwaysAttempts)
}

// networkAttempts are those of a keeper without network.
var networkAttempts = []attempt{
	{"make a TCP socket", filtered, socket(unix.AF_INET, unix.SOCK_STREAM)},
	{"make a TCP socket (IPv6)", filtered, socket(unix.AF_INET6, unix.SOCK_STREAM)},
	{"make a UDP socket", filtered, socket(unix.AF_INET, unix.SOCK_DGRAM)},
	{"make a netlink socket", filtered, socket(unix.AF_NETLINK, unix.SOCK_RAW)},
}

// alwaysAttempts are those of every keeper.
var alwaysAttempts = []attempt{
	{"make an audit socket", filtered, netlink(unix.NETLINK_AUDIT)},
	{"make a packet socket", credentials | filtered, socket(unix.AF_PACKET, unix.SOCK_RAW)},
	{"get a capability", credentials, capability},
	{"change the root folder", credentials | filtered, func(*probe) error { return unix.Chroot("/") }},
	{"raise a limit", credentials, raiseLimit},
	{"trace the parent", filtered, seize},
	{"mount", credentials | filtered, func(*probe) error { return unix.Mount("", "/", "", 0, "") }},
	{"make a user namespace", filtered, func(*probe) error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	{"make a user namespace by clone", filtered, call(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_FS)},
	{"enter a namespace", filtered, call(unix.SYS_SETNS, ^uintptr(0))},
	{"load a BPF program", filtered, call(unix.SYS_BPF, ^uintptr(0))},
	{"load a kernel module", credentials | filtered, call(unix.SYS_INIT_MODULE)},
	{"make a ring of system calls", filtered, call(unix.SYS_IO_URING_SETUP)},
	{"restart the machine", credentials | filtered, call(unix.SYS_REBOOT)},
}
