package sandbox

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept is a right of root (capabilities(7)) and why it is kept.
type kept struct {
	Name   string
	Number uint
	Reason string
}

// keeperCapabilities are the rights of root that the keeper keeps.
var keeperCapabilities = []kept{
	{"CAP_SETUID", unix.CAP_SETUID, "setfsuid: files are opened, listed and removed as the mail's owner"},
	{"CAP_SETGID", unix.CAP_SETGID, "setgroups and setfsgid: with the owner's groups"},
}

func keeperMask() uint64 {
	var mask uint64
	for _, c := range keeperCapabilities {
		mask |= 1 << c.Number
	}
	return mask
}

// securebits (capabilities(7), "The securebits flags"), each with its lock: an
// exec as uid 0 gives no capabilities; no capability is made ambient; none
// survives a change of user. SECBIT_NO_SETUID_FIXUP stays off and is locked
// so: a thread that becomes a mail's owner loses root's file rights with it.
const securebits = 1<<0 | 1<<1 | // SECBIT_NOROOT, locked
	1<<3 | // SECBIT_NO_SETUID_FIXUP locked
	1<<5 | // SECBIT_KEEP_CAPS locked
	1<<6 | 1<<7 // SECBIT_NO_CAP_AMBIENT_RAISE, locked

// lockSecurebits keeps programs that the process starts from getting root's
// rights through uid 0.
func (m *Measures) lockSecurebits() error {
	const name = "securebits"
	now, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if now != securebits {
		if !mayChangeSets() {
			m.add(name, false, "CAP_SETPCAP is missing")
			return nil
		}
		if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, securebits, 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	m.add(name, true, "locked, no rights through exec")
	return nil
}

// keepCapabilities takes away all capabilities that are not in keep.
func (m *Measures) keepCapabilities(keep uint64) error {
	bounding, err := dropBounding(keep)
	if err != nil {
		return err
	}
	return m.setCapabilities(keep, bounding)
}

// dropBounding reduces the bounding set to keep. It returns false if rights to
// do so are missing.
func dropBounding(keep uint64) (bool, error) {
	for number, in := range boundingSet() {
		if !in || keep&(1<<number) != 0 {
			continue
		}
		if !mayChangeSets() {
			return false, nil
		}
		if err := allThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(number), 0); err != nil {
			return false, fmt.Errorf("capability bounding set: %w", err)
		}
	}
	for number, in := range boundingSet() {
		if in && keep&(1<<number) == 0 {
			return false, fmt.Errorf("capability %d is still in the bounding set", number)
		}
	}
	return true, nil
}

// boundingSet tells for each capability of the kernel if it is in the set.
func boundingSet() []bool {
	var set []bool
	for number := uintptr(0); ; number++ {
		in, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, number, 0, 0, 0)
		if err != nil {
			return set
		}
		set = append(set, in == 1)
	}
}

// setCapabilities makes keep the permitted and effective set, and the
// inheritable and ambient sets empty.
func (m *Measures) setCapabilities(keep uint64, bounding bool) error {
	if err := allThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := capabilityData(keep)
	err := allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if err != nil {
		return fmt.Errorf("capabilities: %w; root needs %s", err, names(keep))
	}
	m.add("capabilities", true, names(keep))
	if bounding {
		m.add("bounding set", true, names(keep))
	} else {
		m.add("bounding set", false, "CAP_SETPCAP is missing")
	}
	return nil
}

func capabilityData(mask uint64) [2]unix.CapUserData {
	low, high := uint32(mask), uint32(mask>>32)
	return [2]unix.CapUserData{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
}

// names lists the kept capabilities in the form of the log.
func names(mask uint64) string {
	text := ""
	for _, c := range keeperCapabilities {
		if mask&(1<<c.Number) != 0 {
			text += " " + c.Name
		}
	}
	if text == "" {
		return "none"
	}
	return text[1:]
}

// mayChangeSets tells if the thread may change bounding set and securebits.
func mayChangeSets() bool {
	data, err := capabilities()
	return err == nil && data[0].Effective&(1<<unix.CAP_SETPCAP) != 0
}

func capabilities() ([2]unix.CapUserData, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	return data, err
}

// proveCapabilities reads the sets back.
func proveCapabilities(keep uint64) error {
	data, err := capabilities()
	if err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if data != capabilityData(keep) {
		return fmt.Errorf("capabilities are %+v, not %s", data, names(keep))
	}
	for number := range boundingSet() {
		ambient, err := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, uintptr(number), 0, 0)
		if err != nil || ambient != 0 {
			return errors.New("the ambient set is not empty")
		}
	}
	return nil
}
