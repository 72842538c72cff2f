package sandbox

import (
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// keeperRefused are calls that neither the keeper nor the PAM helper it starts
// ever needs. All else is allowed: PAM's modules are foreign code whose calls
// nobody can list.
var keeperRefused = slices.Concat(
	// Other processes' memory and descriptors.
	[]string{"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp"},
	// Other views of the file system than the one the keeper was given.
	[]string{"mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig",
		"fsmount", "fspick", "mount_setattr"},
	// Files by number, past the permissions of the folders above them.
	[]string{"open_by_handle_at"},
	// Namespaces, in which a process may have rights that it lacks outside.
	[]string{"unshare", "setns"},
	// Code in the kernel.
	[]string{"init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf"},
	// Large parts of the kernel that had many faults.
	[]string{"perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
		"add_key", "request_key", "keyctl"},
	// The machine itself.
	[]string{"reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "settimeofday", "clock_settime",
		"clock_adjtime", "adjtimex", "sethostname", "setdomainname", "syslog", "iopl", "ioperm", "vhangup", "fanotify_init"},
)

// cloneNamespaces are clone's flags for new namespaces. CLONE_NEWTIME is not
// among them: its bit belongs to the signal there.
const cloneNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

func keeperPrograms(network bool) []program {
	families := []uint64{unix.AF_UNIX}
	var netlink []program
	if network {
		// C libraries, and Postfix's tools at their start, ask by netlink
		// for the machine's addresses (getifaddrs(3)).
		families = append(families, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK)
		others := append(is(0, seccomp.Equal, unix.AF_NETLINK), is(2, seccomp.NotEqual, unix.NETLINK_ROUTE)...)
		netlink = []program{limit("socket", unix.EAFNOSUPPORT, others)}
	}
	return append(netlink, []program{
		// EAFNOSUPPORT, as from a kernel without networks: libraries, PAM's
		// audit among them, take it for an answer and go on.
		limit("socket", unix.EAFNOSUPPORT, none(0, families...)),
		limit("socketpair", unix.EAFNOSUPPORT, none(0, unix.AF_UNIX)),
		limit("clone", unix.EPERM, is(0, seccomp.BitsSet, cloneNamespaces)),
		{
			fallback: seccomp.ActionAllow,
			groups: []seccomp.SyscallGroup{
				{Action: refuse(unix.EPERM), Names: keeperRefused},
				// Its flags are in memory, where no filter sees them. To
				// this answer C libraries and Go use clone instead.
				{Action: refuse(unix.ENOSYS), Names: []string{"clone3"}},
			},
		},
	}...)
}
