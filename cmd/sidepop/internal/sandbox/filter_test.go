package sandbox

import (
	"os"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// setThreadGroups sets the groups of this thread only.
func setThreadGroups(n int, list *uint32) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(n), uintptr(unsafe.Pointer(list)), 0)
	return failure(errno)
}

// asked is what the kernel shows a filter of one system call.
type asked struct {
	number, arch uint32
	arguments    [6]uint64
}

// word is the 32-bit word at an offset of struct seccomp_data on a
// little-endian machine.
func (a asked) word(offset uint32) uint32 {
	switch offset {
	case 0:
		return a.number
	case 4:
		return a.arch
	}
	argument := a.arguments[(offset-16)/8]
	if offset%8 != 0 {
		argument >>= 32
	}
	return uint32(argument)
}

// run runs one program as the kernel does.
func run(t *testing.T, instructions []bpf.Instruction, a asked) uint32 {
	var value uint32
	for i := 0; ; i++ {
		switch in := instructions[i].(type) {
		case bpf.LoadAbsolute:
			value = a.word(in.Off)
		case bpf.Jump:
			i += int(in.Skip)
		case bpf.RetConstant:
			return in.Val
		case bpf.JumpIf:
			holds := map[bpf.JumpTest]bool{
				bpf.JumpEqual:          value == in.Val,
				bpf.JumpNotEqual:       value != in.Val,
				bpf.JumpGreaterThan:    value > in.Val,
				bpf.JumpGreaterOrEqual: value >= in.Val,
				bpf.JumpBitsSet:        value&in.Val != 0,
				bpf.JumpBitsNotSet:     value&in.Val == 0,
			}[in.Cond]
			if holds {
				i += int(in.SkipTrue)
			} else {
				i += int(in.SkipFalse)
			}
		default:
			t.Fatalf("unexpected instruction %v", in)
		}
	}
}

const allowed = uint32(seccomp.ActionAllow)

// answer is what the programs together make of a call: the first refusal, or
// that it is allowed.
func answer(t *testing.T, programs [][]bpf.Instruction, a asked) uint32 {
	for _, p := range programs {
		if verdict := run(t, p, a); verdict != allowed {
			return verdict
		}
	}
	return allowed
}

func compile(t *testing.T, list []program) ([][]bpf.Instruction, *arch.Info) {
	table, err := arch.GetInfo("")
	if err != nil {
		skip(t, "no table of system calls for "+runtime.GOARCH)
	}
	var programs [][]bpf.Instruction
	for _, p := range list {
		instructions, err := p.assemble(table)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, instructions)
	}
	return programs, table
}

// TestNames finds calls that no architecture has.
func TestNames(t *testing.T) {
	for _, name := range slices.Concat(frontCalls, keeperRefused) {
		_, amd := arch.X86_64.SyscallNames[name]
		_, arm := arch.AARCH64.SyscallNames[name]
		if !amd && !arm {
			t.Errorf("no system call %s", name)
		}
	}
}

// TestNumbers asks for every number, with arguments that no limit minds.
func TestNumbers(t *testing.T) {
	thread := uint64(threadFlags)
	harmless := map[string][6]uint64{
		"socket": {unix.AF_UNIX}, "socketpair": {unix.AF_UNIX}, "clone": {thread},
		"prctl": {unix.PR_SET_VMA}, "fcntl": {0, unix.F_GETFL}, "tgkill": {uint64(os.Getpid())},
	}
	for _, role := range []struct {
		name     string
		programs []program
		want     func(call string) uint32
	}{
		{"front", frontPrograms(), func(call string) uint32 {
			if slices.Contains(frontCalls, call) {
				return allowed
			}
			return uint32(refuse(unix.EPERM))
		}},
		{"keeper", keeperPrograms(false), func(call string) uint32 {
			switch {
			case call == "clone3":
				return uint32(refuse(unix.ENOSYS))
			case slices.Contains(keeperRefused, call):
				return uint32(refuse(unix.EPERM))
			}
			return allowed
		}},
	} {
		programs, table := compile(t, role.programs)
		foreign := uint32(refuse(unix.ENOSYS))
		for number := range uint32(1024) {
			call := table.SyscallNumbers[int(number)]
			a := asked{number: number, arch: uint32(table.ID), arguments: harmless[call]}
			if got, want := answer(t, programs, a), role.want(call); got != want {
				t.Errorf("%s: %s (%d): %#x, not %#x", role.name, call, number, got, want)
			}
			for _, other := range []*arch.Info{arch.I386, arch.ARM} {
				a.arch = uint32(other.ID)
				if got := answer(t, programs, a); got != foreign {
					t.Errorf("%s: %d of %s: %#x", role.name, number, other.Name, got)
				}
			}
			if table == arch.X86_64 {
				a.arch, a.number = uint32(table.ID), number|uint32(arch.X32.SeccompMask)
				if got := answer(t, programs, a); got != foreign {
					t.Errorf("%s: %d of x32: %#x", role.name, number, got)
				}
			}
		}
	}
}

// TestLimits asks for calls with arguments that are refused. No value of one
// may be taken for the number of another call.
func TestLimits(t *testing.T) {
	const high = 1 << 32
	var others [][6]uint64
	for value := range uint64(1024) {
		if value != unix.AF_UNIX {
			others = append(others, [6]uint64{value}, [6]uint64{value | high}, [6]uint64{value, 0, unix.PROT_READ})
		}
	}
	others = append(others, [6]uint64{unix.AF_UNIX | high})
	flags, pid := uint64(threadFlags), uint64(os.Getpid())
	for _, c := range []struct {
		programs  []program
		call      string
		errno     unix.Errno
		arguments [][6]uint64
	}{
		{frontPrograms(), "socket", unix.EPERM, others},
		{frontPrograms(), "clone", unix.EPERM, [][6]uint64{{0}, {uint64(unix.SIGCHLD)}, {unix.CLONE_VM | unix.CLONE_VFORK}, {flags &^ unix.CLONE_VM},
			{flags &^ unix.CLONE_THREAD}, {flags | unix.CLONE_NEWUSER}, {flags | unix.CLONE_NEWNET}, {flags | unix.CLONE_PTRACE}, {flags | high}}},
		{frontPrograms(), "mmap", unix.EPERM, [][6]uint64{{0, 4096, unix.PROT_EXEC}, {0, 4096, unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC}}},
		{frontPrograms(), "mprotect", unix.EPERM, [][6]uint64{{0, 4096, unix.PROT_EXEC}, {0, 4096, unix.PROT_READ | unix.PROT_EXEC}}},
		{frontPrograms(), "prctl", unix.EPERM, [][6]uint64{{unix.PR_SET_DUMPABLE, 1}, {unix.PR_SET_SECCOMP}, {unix.PR_SET_PDEATHSIG}}},
		{frontPrograms(), "fcntl", unix.EPERM, [][6]uint64{{3, unix.F_SETOWN}, {3, unix.F_SETSIG}, {3, unix.F_SETPIPE_SZ}, {3, unix.F_NOTIFY}, {3, unix.F_GETFL | high}}},
		{frontPrograms(), "tgkill", unix.EPERM, [][6]uint64{{pid + 1}, {1}, {pid | high}, {^uint64(0)}}},
		{keeperPrograms(false), "socket", unix.EAFNOSUPPORT, others},
		{keeperPrograms(false), "socketpair", unix.EAFNOSUPPORT, others},
		{keeperPrograms(false), "clone", unix.EPERM, [][6]uint64{{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, {flags | unix.CLONE_NEWNS}, {unix.CLONE_NEWNET}}},
	} {
		programs, table := compile(t, c.programs)
		a := asked{number: uint32(table.SyscallNames[c.call]), arch: uint32(table.ID)}
		for _, a.arguments = range c.arguments {
			if got, want := answer(t, programs, a), uint32(refuse(c.errno)); got != want {
				t.Errorf("%s%v: %#x, not %#x", c.call, a.arguments, got, want)
			}
		}
	}
	// With a network there are two more families, and one protocol of a third.
	networked, table := compile(t, keeperPrograms(true))
	for family := range uint64(1024) {
		want := uint32(refuse(unix.EAFNOSUPPORT))
		if family == unix.AF_UNIX || family == unix.AF_INET || family == unix.AF_INET6 {
			want = allowed
		}
		for _, protocol := range []uint64{unix.NETLINK_ROUTE, unix.NETLINK_AUDIT, 1, unix.NETLINK_ROUTE | high} {
			want := want
			if family == unix.AF_NETLINK && protocol == unix.NETLINK_ROUTE {
				want = allowed
			}
			for _, kind := range []uint64{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW} {
				a := asked{number: uint32(table.SyscallNames["socket"]), arch: uint32(table.ID), arguments: [6]uint64{family, kind, protocol}}
				if got := answer(t, networked, a); got != want {
					t.Errorf("with a network, family %d, protocol %d: %#x, not %#x", family, protocol, got, want)
				}
			}
		}
	}
	// What Go makes processes with in the keeper.
	programs, table := compile(t, keeperPrograms(false))
	a := asked{number: uint32(table.SyscallNames["clone"]), arch: uint32(table.ID),
		arguments: [6]uint64{unix.CLONE_VFORK | unix.CLONE_VM | unix.CLONE_PIDFD | uint64(unix.SIGCHLD)}}
	if got := answer(t, programs, a); got != allowed {
		t.Errorf("the keeper can't start programs: %#x", got)
	}
}
