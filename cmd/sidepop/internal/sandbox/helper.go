package sandbox

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sessionCapabilities are what PAM's modules need where sessions are opened. Not
// CAP_DAC_OVERRIDE: a home is filled while it is still root's, in a folder of root.
var sessionCapabilities = []Capability{
	{"CAP_CHOWN", unix.CAP_CHOWN, "pam_mkhomedir gives a new home to its user"},
	{"CAP_FOWNER", unix.CAP_FOWNER, "and sets its permissions after that"},
}

// shadowCapabilities are what pam_unix needs where even root may not read the
// file with the hashes.
var shadowCapabilities = []Capability{
	{"CAP_DAC_READ_SEARCH", unix.CAP_DAC_READ_SEARCH, "/etc/shadow has mode 0000, as on Red Hat"},
}

// shadowFile has the hashes of the machine's own users (shadow(5)).
const shadowFile = "/etc/shadow"

// HelperCapabilities are those that the PAM helper needs on this machine; with
// sessions, its modules are asked to open sessions too. None, on most machines:
// root reads its own files without. And none where this process is not root.
func HelperCapabilities(sessions bool) []Capability {
	if os.Geteuid() != 0 {
		return nil
	}
	var list []Capability
	if sessions {
		list = append(list, sessionCapabilities...)
	}
	if !rootReads(shadowFile) {
		list = append(list, shadowCapabilities...)
	}
	return list
}

// Numbers are capabilities as SysProcAttr.AmbientCaps has them.
func Numbers(list []Capability) []uintptr {
	var numbers []uintptr
	for _, c := range list {
		numbers = append(numbers, uintptr(c.Number))
	}
	return numbers
}

// rootReads says whether uid 0, gid 0 can read a file without capabilities. What
// is not there is not to be read.
func rootReads(name string) bool {
	info, err := os.Stat(name)
	if err != nil {
		return true
	}
	file := info.Sys().(*syscall.Stat_t)
	switch {
	case file.Uid == 0:
		return file.Mode&unix.S_IRUSR != 0
	case file.Gid == 0:
		return file.Mode&unix.S_IRGRP != 0
	}
	return file.Mode&unix.S_IROTH != 0
}
