package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// program is one filter. The kernel asks every program loaded; the strictest
// answer counts.
//
// A program has either calls without conditions or one call with conditions:
// when a condition does not match, the assembler compares what follows with
// the argument loaded last instead of the call's number.
type program struct {
	fallback seccomp.Action
	groups   []seccomp.SyscallGroup
}

// archOffset is where struct seccomp_data (seccomp(2)) has the architecture.
const archOffset = 4

// refuse answers a call with errno.
func refuse(errno unix.Errno) seccomp.Action {
	return seccomp.ActionErrno | seccomp.Action(errno)
}

// limit refuses a call with errno where one of the lists of conditions is
// true, and leaves all else to the other programs.
func limit(name string, errno unix.Errno, lists ...seccomp.ArgumentConditions) program {
	group := seccomp.SyscallGroup{Action: refuse(errno)}
	for _, list := range lists {
		group.NamesWithCondtions = append(group.NamesWithCondtions, seccomp.NameWithConditions{Name: name, Conditions: list})
	}
	return program{fallback: seccomp.ActionAllow, groups: []seccomp.SyscallGroup{group}}
}

// is makes the condition of one argument.
func is(argument uint32, operation seccomp.Operation, value uint64) seccomp.ArgumentConditions {
	return seccomp.ArgumentConditions{{Argument: argument, Operation: operation, Value: value}}
}

// none is true where the argument is none of the values.
func none(argument uint32, values ...uint64) seccomp.ArgumentConditions {
	var list seccomp.ArgumentConditions
	for _, value := range values {
		list = append(list, is(argument, seccomp.NotEqual, value)...)
	}
	return list
}

// assemble makes the instructions. Calls of another architecture, such as the
// 32-bit ones that a 64-bit kernel also answers, have other numbers: they are
// refused before anything is compared.
func (p program) assemble(table *arch.Info) ([]bpf.Instruction, error) {
	policy := seccomp.Policy{DefaultAction: p.fallback}
	for _, group := range p.groups {
		group.Names = present(table, group.Names)
		policy.Syscalls = append(policy.Syscalls, group)
	}
	rest, err := policy.Assemble()
	if err != nil {
		return nil, err
	}
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(table.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(refuse(unix.ENOSYS))},
	}, rest...), nil
}

// present leaves out calls that the architecture does not have.
func present(table *arch.Info, names []string) []string {
	var list []string
	for _, name := range names {
		if _, ok := table.SyscallNames[name]; ok {
			list = append(list, name)
		}
	}
	return list
}

// seccomp loads the programs for all threads.
func (m *Measures) seccomp(programs []program) (layers, error) {
	const name = "seccomp"
	table, err := arch.GetInfo("")
	if err != nil {
		m.add(name, false, "no table of system calls for "+runtime.GOARCH)
		return 0, nil
	}
	if err := load(nil); !errors.Is(err, unix.EFAULT) {
		m.add(name, false, fmt.Sprintf("the kernel or container does not offer it: %v", err))
		return 0, nil
	}
	for _, p := range programs {
		instructions, err := p.assemble(table)
		if err != nil {
			return 0, err
		}
		raw, err := bpf.Assemble(instructions)
		if err != nil {
			return 0, err
		}
		if err := load(raw); err != nil {
			return 0, err
		}
	}
	m.add(name, true, fmt.Sprintf("%d programs", len(programs)))
	return filtered, nil
}

// load loads one program, or none, to ask whether the kernel takes any: then
// the error is EFAULT.
func load(raw []bpf.RawInstruction) error {
	var argument unsafe.Pointer
	if raw != nil {
		filter := make([]unix.SockFilter, len(raw))
		for i, one := range raw {
			filter[i] = unix.SockFilter{Code: one.Op, Jt: one.Jt, Jf: one.Jf, K: one.K}
		}
		argument = unsafe.Pointer(&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(argument))
	if errno != 0 {
		return errno
	}
	if thread != 0 {
		return fmt.Errorf("thread %d has a filter of its own", thread)
	}
	return nil
}
