package sandbox

import (
	"os"

	"github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// frontCalls is all that the front may ask of the kernel: what the Go runtime
// needs, and what sessions on sockets that are open already need. Whatever is
// not here is refused with EPERM, which ends no session: opening files, other
// programs, other processes, other identities, namespaces, keys, modules,
// binding and listening.
var frontCalls = []string{
	// Memory of the runtime. Limited below: never executable.
	"mmap", "munmap", "mprotect", "madvise",
	// Threads of the runtime. clone is limited below to threads.
	"clone", "futex", "sched_yield", "sched_getaffinity", "gettid", "getpid", "exit", "exit_group",
	// Signals: handlers, masks, stacks; preemption by tgkill, limited below.
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "tgkill",
	// What the kernel itself continues after the process was stopped.
	"restart_syscall",
	// Clocks, where the vDSO has none, and sleeping.
	"clock_gettime", "nanosleep",
	// The names that the runtime gives to its memory. Limited below to these.
	"prctl",
	// Waiting for descriptors. The poller may be made at the first wait.
	"epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2",
	// Descriptors that are open or were received: messages, connections.
	"read", "pread64", "preadv2", "write", "writev", "close", "fcntl", "fstat", "lseek", "sendfile",
	// Connections: those accepted, and those to the keeper.
	// socket is limited below to unix sockets.
	"accept4", "socket", "connect", "getsockname", "getpeername", "getsockopt", "setsockopt", "shutdown",
	// With recvmsg come the descriptors that the keeper hands over.
	"recvfrom", "recvmsg", "sendto", "sendmsg",
	// Randomness for TLS.
	"getrandom",
}

// threadFlags are clone's flags for a thread of the runtime.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND |
	unix.CLONE_SYSVSEM | unix.CLONE_THREAD | unix.CLONE_SETTLS

// frontPrograms: the limits first, since the list of calls ends the loading.
func frontPrograms() []program {
	return []program{
		// The front is on the network by its listeners alone.
		limit("socket", unix.EPERM, none(0, unix.AF_UNIX)),
		// A thread, not a process, and in no other namespace.
		limit("clone", unix.EPERM,
			is(0, seccomp.BitsNotSet, unix.CLONE_VM),
			is(0, seccomp.BitsNotSet, unix.CLONE_THREAD),
			is(0, seccomp.BitsSet, ^uint64(threadFlags))),
		// What clients send never becomes code.
		limit("mmap", unix.EPERM, is(2, seccomp.BitsSet, unix.PROT_EXEC)),
		limit("mprotect", unix.EPERM, is(2, seccomp.BitsSet, unix.PROT_EXEC)),
		limit("prctl", unix.EPERM, none(0, unix.PR_SET_VMA)),
		// Not F_SETOWN, which makes the kernel signal other processes.
		limit("fcntl", unix.EPERM, none(1, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC)),
		// Signals to no other process.
		limit("tgkill", unix.EPERM, none(0, uint64(os.Getpid()))),
		{
			fallback: seccomp.ActionErrno, // EPERM
			groups:   []seccomp.SyscallGroup{{Action: seccomp.ActionAllow, Names: frontCalls}},
		},
	}
}
