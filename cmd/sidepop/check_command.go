package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sidepop/cmd/sidepop/internal/check"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/mta"
)

// checkTime bounds a check: each tool that it asks has a bound of its own, and a
// person waits.
const checkTime = 2 * time.Minute

func checkCommand() *cobra.Command {
	var file string
	var json bool
	cmd := &cobra.Command{
		Use:   "check [USER]",
		Short: "Find out whether this machine is set up right, or why USER gets no mail",
		Long: `Look at the configuration, the mail server, the accounts, the certificate, the
addresses and the limits of this machine, and say what to change. Nothing is
changed. With a USER: follow that name from the login to the mail.

The exit status is 0 if everything is in order, 1 if it works and something
should be changed, and 2 if it will not work. Run it as root: others see less.`,
		Args: cobra.MaximumNArgs(1),
		RunE: running(func(cmd *cobra.Command, users []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, checkTime)
			defer cancel()
			c := newCheckup(file)
			defer c.helpers.close()
			if c.read(); len(users) == 0 {
				c.machine(ctx)
			} else {
				c.user(ctx, users[0])
			}
			if err := printReport(newOutput(cmd.OutOrStdout(), json), c.Report); err != nil {
				return err
			}
			if status := c.Status(); status != check.StatusOrder {
				return reported(status)
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&file, "config", config.DefaultFile, "the configuration `file`")
	cmd.Flags().BoolVar(&json, "json", false, "print JSON, one object")
	return cmd
}

// reported is the exit status of a command that has said everything.
type reported int

func (reported) Error() string { return "there are problems" }

func reportedStatus(err error) int {
	var status reported
	errors.As(err, &status)
	return int(status)
}

// checkup is `sidepop check`. It goes on where it can't find something out: later
// parts do without.
type checkup struct {
	*check.Report
	file      string
	root      bool
	config    *config.Config // nil if it can't be used
	found     *mta.MTA       // nil: unknown
	local     mta.Delivery   // what found says of system users
	helpers   helpers
	warned    []error // of malformed lines in passwd files
	*accounts         // nil if there are none

	keeper int              // the process id of one that runs; 0: there is none
	files  *check.Processes // nil if /proc can't be read
}

func newCheckup(file string) *checkup {
	return &checkup{Report: check.NewReport(), file: file, root: os.Geteuid() == 0, helpers: helpers{events: silentHelper{}}}
}

// machine checks everything that is the same for all users.
func (c *checkup) machine(ctx context.Context) {
	c.server()
	c.detect(ctx)
	c.mailServer()
	if c.config == nil {
		return
	}
	c.open(ctx)
	c.mailboxes()
	c.logins(ctx)
	c.secrets()
	c.tokens(ctx)
	c.certificates()
	c.clientCertificates()
	c.addresses(ctx)
	c.limits(ctx)
	c.folders()
	if !c.root {
		c.Miss("This was not run as root (it is user id %d): whether root can use what it needs was not found out.", os.Geteuid())
	}
}

// read reads the configuration.
func (c *checkup) read() {
	var err error
	c.config, err = config.Read(c.file)
	c.problems(check.Error, err)
}

// problems adds those of a configuration, or another error.
func (c *checkup) problems(severity check.Severity, err error) {
	var ps config.Problems
	if err != nil && !errors.As(err, &ps) {
		c.Add(check.Problem{Severity: severity, Text: err.Error()})
	}
	for _, p := range ps {
		c.Add(check.Problem{Severity: severity, Text: p.Complaint(), Remedy: p.Remedy})
	}
}

// detect finds out about the MTA.
func (c *checkup) detect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, detectTime)
	defer cancel()
	var err error
	if c.found, err = mta.Detect(ctx); err != nil {
		severity := check.Error
		if c.config != nil && c.config.Mailbox != "" {
			severity = check.Warning
		}
		c.Add(check.Problem{Severity: severity, Text: fmt.Sprintf("The mail server can't be asked where it delivers: %v", err),
			Remedy: "Correct what it complains of, or set mailbox in " + c.file + "."})
		return
	}
	c.local = c.found.Local()
}

// open finds the sources of accounts.
func (c *checkup) open(ctx context.Context) {
	var err error
	c.accounts, err = newAccounts(ctx, c.config, c.found, &c.helpers, func(err error) { c.warned = append(c.warned, err) })
	if err == nil {
		return
	}
	c.accounts = nil
	c.problems(check.Error, err)
	c.problems(check.Error, (&accounts{config: c.config}).nobody())
}
