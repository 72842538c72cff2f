// Command sidepop serves Maildirs over POP3.
//
// `sidepop serve` runs a server from a configuration file, `sidepop try` shows
// one without any set-up. Both are wired in server.go; backend.go is the only
// place where the protocol, the accounts and the Maildirs meet. `sidepop index`
// looks at the index of a server that runs or of one that is stopped.
//
// What runs as root: of `sidepop serve`, everything up to privilege.Drop in
// serve.go, which is reading the configuration, loading the TLS certificate
// and key, opening the listening sockets, and making the state folder; of
// `sidepop index`, reading the configuration. Nothing else does.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"sidepop/cmd/sidepop/internal/config"
)

// Exit statuses.
const (
	exitFailure = 1 // something went wrong, or `sidepop index verify` has found a difference
	exitUsage   = 2 // the command line or the configuration can't be used, or nothing can be verified
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

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
	case errors.As(err, &problems):
		fmt.Fprintf(stderr, "%s\n", problems)
		return exitUsage
	case errors.Is(err, errDifferent):
		return exitFailure // all has been said
	case errors.As(err, &failed):
		fmt.Fprintf(stderr, "sidepop: %s\n", failed)
		return failed.status
	}
	fmt.Fprintf(stderr, "sidepop: %s\nSee \"sidepop --help\".\n", err)
	return exitUsage
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
	root.AddCommand(serveCommand(), tryCommand(), indexCommand())
	return root
}

// version is the module's version as the go command recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown version)"
	}
	return info.Main.Version
}
