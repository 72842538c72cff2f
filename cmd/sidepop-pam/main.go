// Command sidepop-pam checks passwords with PAM and looks accounts up with NSS,
// for the keeper of sidepop, which starts it and asks it over a socket (package
// auth/helper). It is the only program of sidepop that is linked with C
// libraries, and the modules that these load are foreign code.
//
// All of it runs as root, where a server is started as root: without
// capabilities, under the system call filter of the keeper.
//
// Invariants:
//   - A password is found right only by a PAM service that has a file of its
//     own and whose modules have asked for the password.
//   - An account is used only after pam_acct_mgmt has succeeded and, but where the
//     keeper knows otherwise who the user is, pam_authenticate before it.
//   - Every transaction has a thread for itself, which ends with it: whatever a
//     module has changed about its thread nobody else gets.
//   - A transaction that sleeps, waits or hangs holds up no other one.
//   - A fault is never taken for a wrong password or an unknown user, if the
//     modules tell: Debian's common-auth has pam_deny answer in their place.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"sidepop/auth/helper"
)

// Exit statuses.
const (
	exitFailure = 1
	exitUsage   = 2
)

// concurrency is how many requests are worked on at once: as many as a keeper
// sends, since most of them sleep after a wrong password.
const concurrency = helper.MaxUnderWay

const usage = `sidepop-pam checks passwords with PAM for the keeper of sidepop, which starts it
when a configuration says that system users log in. It is of no use by hand: it
takes no arguments, talks to no terminal, and does nothing without the keeper's
socket. "sidepop-pam --version" prints its version, which has to be that of
sidepop. See sidepop-pam(8).
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) (status int) {
	if len(args) == 1 && args[0] == "--version" {
		fmt.Fprintf(stdout, "sidepop-pam %s\n", version())
		return 0
	}
	if len(args) > 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	h, err := prepare()
	if err != nil {
		fmt.Fprintf(stderr, "sidepop-pam: %v\n", err)
		return exitFailure
	}
	conn, err := helper.Inherited()
	if err != nil {
		fmt.Fprintf(stderr, "sidepop-pam: %v\n\n%s", err, usage)
		return exitUsage
	}
	if err := guardSecrets(); err != nil {
		fmt.Fprintf(stderr, "sidepop-pam: %v\n", err)
		return exitFailure
	}
	if err := helper.Serve(conn, h, concurrency); err != nil {
		fmt.Fprintf(stderr, "sidepop-pam: %v\n", err)
		return exitFailure
	}
	return 0
}

// guardSecrets keeps passwords in memory from core files and debuggers.
func guardSecrets() error {
	// A core that is piped to a program heeds no limit, but the second.
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("RLIMIT_CORE: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	return nil
}

// release is the version of a package, which makes it with the linker's
// -X main.release=VERSION.
var release string

// version is that of the package, or the module's as the go command recorded it.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown version)"
	}
	return info.Main.Version
}
