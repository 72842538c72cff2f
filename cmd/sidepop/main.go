// Command sidepop serves Maildirs over POP3.
//
// A server is two processes of this program, started from serve.go or by a service
// manager: the front (front.go) speaks to clients and sees nothing else, the
// keeper (keeper.go) has the accounts and the mail and no network. role.go is how
// both begin. backend.go is the only place where the protocol, the accounts and
// the Maildirs meet. `sidepop try` shows a server without any set-up, `sidepop
// index` looks at the index of one that runs or is stopped.
//
// What runs as root, where a server is started as root:
//
//   - serve.go: reading the configuration, opening sockets, starting the roles;
//     nothing that a client or a mail owner wrote is read;
//   - front.go and inetd*.go up to sandbox.Front: the same;
//   - keeper*.go: passwd files, TLS keys, the index's own files; everything in a
//     Maildir within privilege.As, as its owner, with the capabilities that
//     internal/sandbox names;
//   - index_*.go, as the keeper, of a server that is stopped;
//   - check*.go and auth_*.go: what an operator asks for; nothing is changed, and
//     Maildirs are looked at within privilege.As.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"

	"github.com/spf13/cobra"

	"sidepop/cmd/sidepop/internal/config"
)

// Exit statuses.
const (
	exitFailure = 1 // something went wrong, or `sidepop index verify` has found a difference
	exitUsage   = 2 // the command line or the configuration can't be used, or nothing can be verified
)

// main works in another goroutine, since its own is bound to a thread that can't
// be given up: see privilege.As.
func main() {
	status := make(chan int)
	go func() { status <- run(os.Args[1:], os.Stdout, standardError(os.Args[1:])) }()
	os.Exit(<-status)
}

// run runs a command line and gives the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var failed *failure
	var problems config.Problems
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(loggedError)):
		if errors.As(err, &problems) || roleStatus(err) == exitUsage {
			return exitUsage
		}
		return exitFailure
	case errors.As(err, &problems):
		printProblems(stderr, problems)
		return exitUsage
	case errors.Is(err, errDifferent):
		return exitFailure // all has been said
	case errors.As(err, new(reported)):
		return reportedStatus(err)
	case errors.As(err, &failed):
		fmt.Fprintf(stderr, "sidepop: %s\n", failed)
		return failed.status
	}
	fmt.Fprintf(stderr, "sidepop: %s\nSee \"sidepop --help\".\n", err)
	return exitUsage
}

// roleStatus is the exit status of the role whose end an error is about: what only the
// keeper can find out of a configuration, it has told.
func roleStatus(err error) int {
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode()
	}
	return exitFailure
}

// printProblems prints a line for each: where in which file, or else who says it.
func printProblems(w io.Writer, problems config.Problems) {
	for _, p := range problems {
		if p.File == "" {
			fmt.Fprint(w, "sidepop: ")
		}
		fmt.Fprintln(w, p)
	}
}

// loggedError is an error that is in the log, and is not told again.
type loggedError struct{ error }

func (e loggedError) Unwrap() error { return e.error }

func logged(err error) error {
	if err == nil {
		return nil
	}
	return loggedError{err}
}

// failure is an error of a command that was understood, as opposed to cobra's
// own about the command line.
type failure struct {
	error
	status int
}

func (f *failure) Unwrap() error { return f.error }

// running marks the errors of a command as its own.
func running(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		var failed *failure
		if err == nil || errors.As(err, &failed) {
			return err
		}
		return &failure{err, exitFailure}
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sidepop",
		Short: "Serve Maildirs over POP3",
		Long: `sidepop serves the Maildirs that a mail server delivers into over POP3.

To see it work, without any set-up:   sidepop try`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("sidepop {{.Version}}\n")
	root.AddCommand(serveCommand(), keeperCommand(), frontCommand(), inetdCommand(), tryCommand(), indexCommand(), sessionsCommand(),
		checkCommand(), authCommand(), completionCommand())
	addCompletions(root)
	return root
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
