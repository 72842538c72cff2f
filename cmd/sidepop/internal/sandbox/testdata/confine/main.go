// Command confine runs a program as the keeper runs its PAM helper, for the tests
// of that: confine [-sessions] PROGRAM [ARGUMENT...].
package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"sidepop/cmd/sidepop/internal/sandbox"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "confine:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	sessions := args[0] == "-sessions"
	if sessions {
		args = args[1:]
	}
	given := sandbox.HelperCapabilities(sessions)
	if _, err := sandbox.Keeper(sandbox.KeeperOptions{Helper: given}); err != nil {
		return err
	}
	runtime.LockOSThread() // what follows is of the thread that becomes the program
	if err := raise(given); err != nil {
		return err
	}
	return unix.Exec(args[0], args, os.Environ())
}

// raise makes capabilities ambient, as Go does in a child with AmbientCaps.
func raise(given []sandbox.Capability) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	for _, c := range given {
		data[c.Number/32].Inheritable |= 1 << (c.Number % 32)
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	for _, c := range given {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c.Number), 0, 0); err != nil {
			return err
		}
	}
	return nil
}
