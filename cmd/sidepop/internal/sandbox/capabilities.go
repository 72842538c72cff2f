package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Capability is a right of root (capabilities(7)) and why a process has it.
type Capability struct {
	Name   string
	Number uint
	Reason string
}

// keeperCapabilities are the rights of root that the keeper keeps.
var keeperCapabilities = []Capability{
	{"CAP_SETUID", unix.CAP_SETUID, "setfsuid: files are opened, listed and removed as the mail's owner"},
	{"CAP_SETGID", unix.CAP_SETGID, "setgroups and setfsgid: with the owner's groups"},
}

func maskOf(list []Capability) uint64 {
	var mask uint64
	for _, c := range list {
		mask |= 1 << c.Number
	}
	return mask
}

// rights are the capabilities of a role.
type rights struct {
	use  uint64 // its own: in its effective and its permitted set
	give uint64 // of programs that it starts: in its permitted set alone
}

func (r rights) all() uint64 { return r.use | r.give }

// data is what the kernel takes and gives for them.
func (r rights) data() [2]unix.CapUserData {
	return [2]unix.CapUserData{
		{Effective: uint32(r.use), Permitted: uint32(r.all())},
		{Effective: uint32(r.use >> 32), Permitted: uint32(r.all() >> 32)},
	}
}

// names lists the capabilities in the form of the log.
func (r rights) names() string {
	text := names(r.use)
	if r.give != 0 {
		text += ", for the PAM helper " + names(r.give)
	}
	return text
}

// securebits (capabilities(7), "The securebits flags"), each with its lock: an
// exec as uid 0 gives no capabilities; no capability is made ambient; none
// survives a change of user. SECBIT_NO_SETUID_FIXUP stays off and is locked
// so: a thread that becomes a mail's owner loses root's file rights with it.
const securebits = 1<<0 | 1<<1 | // SECBIT_NOROOT, locked
	1<<3 | // SECBIT_NO_SETUID_FIXUP locked
	1<<5 | // SECBIT_KEEP_CAPS locked
	1<<6 | 1<<7 // SECBIT_NO_CAP_AMBIENT_RAISE, locked

// givingSecurebits are those of a process that gives capabilities to programs:
// SECBIT_NO_CAP_AMBIENT_RAISE is locked while it is off, and SECBIT_KEEP_CAPS is
// off and not locked, because Go sets and clears it in the child.
const givingSecurebits = securebits &^ (1<<5 | 1<<6)

// lockSecurebits keeps programs that the process starts from getting root's
// rights through uid 0.
func (m *Measures) lockSecurebits(securebits int) error {
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
		if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, uintptr(securebits), 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	m.add(name, true, "locked, no rights through exec")
	return nil
}

// keepCapabilities takes away all capabilities that are not in keep.
func (m *Measures) keepCapabilities(keep rights) error {
	bounding, err := dropBounding(keep.all())
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
func (m *Measures) setCapabilities(keep rights, bounding bool) error {
	if err := allThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := keep.data()
	err := allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if err != nil {
		return fmt.Errorf("capabilities: %w; root needs %s", err, keep.names())
	}
	m.add("capabilities", true, keep.names())
	if bounding {
		m.add("bounding set", true, names(keep.all()))
	} else {
		m.add("bounding set", false, "CAP_SETPCAP is missing")
	}
	return nil
}

// names lists capabilities that a role may have.
func names(mask uint64) string {
	text := ""
	for _, c := range slices.Concat(keeperCapabilities, sessionCapabilities, shadowCapabilities) {
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
func proveCapabilities(keep rights) error {
	data, err := capabilities()
	if err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if data != keep.data() {
		return fmt.Errorf("capabilities are %+v, not %s", data, keep.names())
	}
	for number := range boundingSet() {
		ambient, err := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, uintptr(number), 0, 0)
		if err != nil || ambient != 0 {
			return errors.New("the ambient set is not empty")
		}
	}
	return nil
}
