package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

type forbidden struct {
	name string
	try  func() error
}

// frontForbidden are attempts beside those that Front makes itself. dir is a
// descriptor of / from before.
func frontForbidden(dir int) []forbidden {
	list := append(forbiddenFiles(dir), forbiddenSockets()...)
	list = append(list, []forbidden{
		{"exec", func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) }},
		{"start a process", func() error { _, err := os.StartProcess("/bin/true", nil, &os.ProcAttr{}); return err }},
		{"run itself", func() error { return exec.Command("/proc/self/exe").Run() }},
		{"attach to the parent", func() error { return unix.PtraceAttach(os.Getppid()) }},
		{"signal the parent", func() error { return unix.Kill(os.Getppid(), 0) }},
		{"signal the parent's thread", func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) }},
		{"signals for the parent by a descriptor", func() error {
			_, err := unix.FcntlInt(3, unix.F_SETOWN, os.Getppid())
			return err
		}},
		{"executable memory", func() error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
			return err
		}},
		{"dumpable", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
		{"a limit", func() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}) }},
		{"another filter", func() error { return load(nil) }},
		{"a terminal's input", func() error { return unix.IoctlSetInt(0, unix.TIOCSTI, 0) }},
	}...)
	for _, one := range rawForbidden {
		list = append(list, forbidden{one.name, func() error {
			_, _, errno := unix.RawSyscall6(one.number, one.a, one.b, 0, 0, 0, 0)
			return failure(errno)
		}})
	}
	return list
}

// forbiddenFiles are attempts on files. dir is a descriptor of / from before.
func forbiddenFiles(dir int) []forbidden {
	list := []forbidden{
		{"open2 through a descriptor", func() error {
			_, err := unix.Openat2(dir, "etc/shadow", &unix.OpenHow{})
			return err
		}},
		{"list a descriptor", func() error { _, err := unix.Getdents(dir, make([]byte, 4096)); return err }},
		{"change to a descriptor", func() error { return unix.Fchdir(dir) }},
		{"stat through a descriptor", func() error { return unix.Fstatat(dir, "etc/shadow", &unix.Stat_t{}, 0) }},
		{"create", func() error { _, err := os.Create("new"); return err }},
		{"make a folder", func() error { return os.Mkdir("new", 0o700) }},
		{"remove the socket", func() error { return os.Remove("keeper.sock") }},
	}
	for _, name := range []string{"/", ".", "/etc/passwd", "/etc/shadow", "/dev/null", "/dev/mem", "/proc", "/proc/self/fd",
		"/proc/self/mem", fmt.Sprintf("/proc/self/fd/%d/etc/passwd", dir), "/proc/1/root", "keeper.sock", "../../../etc/passwd"} {
		list = append(list, forbidden{"open " + name, func() error { _, err := os.Open(name); return err }})
	}
	return list
}

// forbiddenSockets are attempts on the network and on other processes' sockets.
func forbiddenSockets() []forbidden {
	list := []forbidden{
		{"listen", func() error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err }},
		{"connect to the listener's port", func() error { _, err := net.Dial("tcp", os.Getenv("PORT")); return err }},
		{"listen by UDP", func() error { _, err := net.ListenPacket("udp", "127.0.0.1:0"); return err }},
		{"listen on a unix socket", func() error { _, err := net.Listen("unix", "@sidepop-test"); return err }},
		{"a pair of sockets", func() error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err }},
		{"a family with high bits", func() error {
			_, _, errno := unix.RawSyscall(unix.SYS_SOCKET, 1<<32|unix.AF_INET, unix.SOCK_STREAM, 0)
			return failure(errno)
		}},
	}
	for family := range unix.AF_MAX + 10 {
		if family == unix.AF_UNIX {
			continue
		}
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
			list = append(list, forbidden{fmt.Sprintf("socket of family %d, type %d", family, kind), func() error {
				_, err := unix.Socket(family, kind, 0)
				return err
			}})
		}
	}
	return list
}

// rawForbidden are calls that must be refused before anyone looks at their
// arguments.
var rawForbidden = []struct {
	name         string
	number, a, b uintptr
}{
	{"setuid", unix.SYS_SETUID, 0, 0},
	{"setreuid", unix.SYS_SETREUID, 0, 0},
	{"setresuid", unix.SYS_SETRESUID, 0, 0},
	{"setfsuid", unix.SYS_SETFSUID, 0, 0},
	{"setgid", unix.SYS_SETGID, 0, 0},
	{"setgroups", unix.SYS_SETGROUPS, 0, 0},
	{"capset", unix.SYS_CAPSET, 0, 0},
	{"unshare mounts", unix.SYS_UNSHARE, unix.CLONE_NEWNS, 0},
	{"unshare files", unix.SYS_UNSHARE, unix.CLONE_FILES, 0},
	{"setns", unix.SYS_SETNS, 3, 0},
	{"clone as fork", unix.SYS_CLONE, uintptr(unix.SIGCHLD) | unix.CLONE_SIGHAND, 0},
	{"clone as vfork", unix.SYS_CLONE, unix.CLONE_VM | unix.CLONE_NEWUSER | unix.CLONE_FS, 0},
	{"clone3", unix.SYS_CLONE3, 0, 0},
	{"memfd_create", unix.SYS_MEMFD_CREATE, 0, 0},
	{"pidfd_open", unix.SYS_PIDFD_OPEN, 1, 0},
	{"pidfd_send_signal", unix.SYS_PIDFD_SEND_SIGNAL, 3, 0},
	{"process_vm_readv", unix.SYS_PROCESS_VM_READV, 1, 0},
	{"io_uring_setup", unix.SYS_IO_URING_SETUP, 1, 0},
	{"userfaultfd", unix.SYS_USERFAULTFD, 0, 0},
	{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, 0, 0},
	{"bpf", unix.SYS_BPF, 0, 0},
	{"keyctl", unix.SYS_KEYCTL, 0, 0},
	{"add_key", unix.SYS_ADD_KEY, 0, 0},
	{"personality", unix.SYS_PERSONALITY, 0, 0},
	{"pivot_root", unix.SYS_PIVOT_ROOT, 0, 0},
	{"inotify_init1", unix.SYS_INOTIFY_INIT1, 0, 0},
	{"sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, 0, 0},
	{"kill everything", unix.SYS_KILL, ^uintptr(0), 0},
	{"tkill", unix.SYS_TKILL, 1, 0},
}

func failure(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// refusal is nil for errors that are none, with which something else got in
// the way of an attempt.
func refusal(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return err
	}
	fmt.Println("not refused:", err)
	return nil
}
