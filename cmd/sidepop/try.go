package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/cmd/sidepop/internal/sandbox"
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
	if err := sandbox.Possible(); err != nil && os.Geteuid() == 0 {
		return err
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

func (t *trial) serve(f *folder, ls []listener, screen *screen, signals <-chan os.Signal) error {
	mail, err := watch(f.maildir, &words{screen: screen, user: f.user})
	if err != nil {
		return err
	}
	defer mail.Close()
	snapshot, c, err := t.configure(f)
	if err != nil {
		return err
	}
	guide, err := t.guide(f, ls, screen.style)
	if err != nil {
		return err
	}
	log, err := maillog.New(os.Stderr, "warn", "text")
	if err != nil {
		return err
	}
	if err := c.Prepare(); err != nil {
		return err
	}
	s := &server{config: c, snapshot: snapshot, log: log.As("try"), listeners: ls, sentences: f.user, notify: &notifier{}}
	s.beforeFront = func() {
		screen.print(guide)
		if err := sandbox.Possible(); err != nil {
			screen.say("nothing is sandboxed here: %s", err)
		}
	}
	s.ready = func() { screen.say("ready for clients") }
	return s.run(signals, nil)
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

// configure writes the configuration of the trial: as little different from that
// of `sidepop serve` as can be. In somebody's own Maildir nothing is marked.
func (t *trial) configure(f *folder) (snapshot, *config.Config, error) {
	data, err := toml.Marshal(map[string]any{
		"mailbox":     escapePercent(f.maildir),
		"runtime_dir": f.runtime,
		"user":        f.frontUser,
		"minimum_uid": 1,
		"listen":      map[string]any{"pop3": []string{"127.0.0.1:110"}}, // others are passed on
		"tls":         map[string]any{"certificate": f.certificate, "key": f.key},
		"auth":        map[string]any{"sources": []string{config.SourcePasswd}, "passwd_file": f.passwd},
		"index":       map[string]any{"state_dir": f.state, "mark_seen": t.maildir == ""},
		"limits":      map[string]any{"shutdown_time": tryPatience.String()},
	})
	if err != nil {
		return snapshot{}, nil, err
	}
	if err := os.WriteFile(f.config, data, 0o644); err != nil {
		return snapshot{}, nil, err
	}
	return newSnapshot(f.config)
}
