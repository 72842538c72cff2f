package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/config"
)

const (
	// tryPort and tryTLSPort are where `sidepop try` begins to look for a free
	// port: POP3's own ones plus 1000, which need no root.
	tryPort, tryTLSPort = 1110, 1995

	// tryPatience is how long open sessions may go on after Ctrl-C.
	tryPatience = time.Second
)

// trial is the options of `sidepop try`.
type trial struct {
	maildir       string // serve this one instead of samples
	keep          bool
	port, tlsPort uint16 // 0: the next free one
}

func tryCommand() *cobra.Command {
	var t trial
	cmd := &cobra.Command{
		Use:   "try",
		Short: "Show sidepop at work, without any set-up",
		Long: `Serve a mailbox with sample messages to this machine alone, say how to read it
with curl, openssl and mail programs, and show what happens. It needs no root,
no configuration and no network, and leaves nothing behind.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error { return t.run(cmd.OutOrStdout()) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&t.maildir, "maildir", "", "serve the Maildir `DIR` instead of sample messages")
	flags.BoolVar(&t.keep, "keep", false, "keep the folder that is made at the end")
	flags.Uint16Var(&t.port, "port", 0, fmt.Sprintf("`PORT` for POP3 (default: %d or the next free one)", tryPort))
	flags.Uint16Var(&t.tlsPort, "tls-port", 0, fmt.Sprintf("`PORT` for POP3 over TLS (default: %d or the next free one)", tryTLSPort))
	return cmd
}

// run sets everything up, serves until a signal, and cleans up.
func (t *trial) run(stdout io.Writer) (err error) {
	signals := make(chan os.Signal, 2)
	// A terminal that closes and a reader that goes away end it too: the
	// folder must not stay behind.
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer signal.Stop(signals)

	if t.maildir != "" {
		if t.maildir, err = existingMaildir(t.maildir); err != nil {
			return err
		}
	}
	f, err := newFolder(t.maildir)
	if err != nil {
		return err
	}
	screen := newScreen(stdout)
	defer func() { t.cleanUp(f, screen, err) }()

	listeners, err := t.listen()
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	return t.serve(f, listeners, screen, signals)
}

func (t *trial) serve(f *folder, ls []listener, screen *screen, signals <-chan os.Signal) (err error) {
	told := &words{screen: screen, user: f.user}
	pair, err := certs.Load(f.certificate, f.key, told)
	if err != nil {
		return err
	}
	mail, err := watch(f.maildir, told)
	if err != nil {
		return err
	}
	defer mail.Close()

	c := t.config(f)
	x, err := newIndex(c, told)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	server := newServer(c, pair.Config(), x, told)
	failed := start(server, ls)
	guide, err := t.guide(f, ls, screen.style)
	if err != nil {
		return err
	}
	screen.print(guide)
	screen.say("ready for clients")
	select {
	case err = <-failed:
	case <-signals:
		screen.print("\n")
	}
	if cut := shutdown(server, tryPatience, signals); errors.Is(cut, errCutOff) {
		err = cut
	}
	return err
}

func (t *trial) cleanUp(f *folder, screen *screen, err error) {
	switch {
	case t.keep && err == nil:
		screen.print("Ended. " + f.path + " is kept.\n")
		return
	case os.RemoveAll(f.path) != nil:
		screen.print("Ended. Please remove " + f.path + " yourself.\n")
	case err != nil:
	case t.maildir != "":
		screen.print("Ended, and " + f.path + " is removed. The Maildir is as clients left it.\n")
	default:
		screen.print("Ended, and " + f.path + " is removed.\n")
	}
}

// config is the configuration of the trial: as little different from that of
// `sidepop serve` as can be. In somebody's own Maildir nothing is marked.
func (t *trial) config(f *folder) *config.Config {
	c := config.Default()
	c.Mailbox = escapePercent(f.maildir)
	c.Auth.PasswdFile = f.passwd
	c.Index.StateDir = f.state
	c.Index.MarkSeen = t.maildir == ""
	return c
}
