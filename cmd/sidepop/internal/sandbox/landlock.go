package sandbox

import (
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Versions of Landlock's interface (landlock(7)) from which on it restricts
// more than files.
const (
	abiTCP   = 4
	abiScope = 6
	// signalErratum is the bit of the correction without which signals can't
	// be scoped in a process with threads; the library then does without
	// what came with abiScope.
	signalErratum = 1 << 1
)

// landlock takes away everything that the kernel's Landlock knows. The only
// rule, which kernels before version 9 of the interface don't need, is for
// connecting to unix sockets in the working directory: the keeper's.
func (m *Measures) landlock() (layers, error) {
	const name = "Landlock"
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		m.add(name, false, fmt.Sprintf("the kernel or container does not offer it: %v", err))
		return 0, nil
	}
	socket := landlock.PathAccess(ll.AccessFSResolveUnix, ".")
	if err := landlock.V11.BestEffort().Restrict(socket); err != nil {
		return 0, err
	}
	held, what := lockedFiles, "files"
	if abi >= abiTCP {
		held, what = held|lockedTCP, what+", TCP"
	}
	if errata, err := ll.LandlockGetErrata(); abi >= abiScope && err == nil && errata&signalErratum != 0 {
		held, what = held|lockedScope, what+", signals, abstract sockets"
	}
	m.add(name, true, fmt.Sprintf("version %d: %s", abi, what))
	return held, nil
}
