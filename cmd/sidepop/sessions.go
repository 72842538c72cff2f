package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/control"
	"sidepop/cmd/sidepop/internal/maillog"
)

func sessionsCommand() *cobra.Command {
	var file string
	var json bool
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "Show who is logged in",
		Long:  `Show who is logged in to the server that runs, and how many connections it has.`,
		Args:  cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return showSessions(ctx, file, newOutput(cmd.OutOrStdout(), json))
		}),
	}
	cmd.Flags().StringVar(&file, "config", config.DefaultFile, "the configuration `file`")
	cmd.Flags().BoolVar(&json, "json", false, "print JSON, one object a line")
	return cmd
}

// sessionJSON is a session as --json prints it.
type sessionJSON struct {
	User   string    `json:"user"`
	Remote string    `json:"remote"`
	TLS    string    `json:"tls"`
	Since  time.Time `json:"since"`
}

func showSessions(ctx context.Context, file string, out *output) error {
	c, err := config.Read(file)
	if err != nil {
		return err
	}
	client, err := control.Dial(c.Index.StateDir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run this as root, or as the user that sidepop runs as", err)
	case err != nil:
		return err
	}
	defer client.Close()
	all, n, err := client.Sessions(ctx)
	if err != nil {
		return err
	}
	if out.json {
		for _, s := range all {
			if err := out.object(sessionJSON(s)); err != nil {
				return err
			}
		}
		if n == nil {
			return nil
		}
		return out.object(map[string]*control.Connections{"connections": n})
	}
	rows := make([][]string, len(all))
	for i, s := range all {
		rows[i] = []string{s.User, s.Remote, s.TLS, s.Since.Local().Format(time.DateTime)}
	}
	if len(rows) > 0 {
		if err := out.table([]column{{"USER", false}, {"CLIENT", false}, {"TLS", false}, {"SINCE", false}}, rows); err != nil {
			return err
		}
	}
	switch {
	case !out.terminal:
		return nil
	case n == nil:
		return out.line("The front is not there, or does not answer.")
	}
	return out.line("%s, %d logged in; since its start %d accepted, %d refused, %s failed.",
		plural(int64(n.Open), "connection"), n.LoggedIn, n.Accepted, n.Refused, plural(int64(n.HandshakesFailed), "TLS handshake"))
}

// countsTime is how long the front may take to say its counts: it does nothing
// else for that, unless it hangs.
const countsTime = 2 * time.Second

// Sessions implements [control.Sessions].
func (k *keeper) Sessions(ctx context.Context) (all []control.Session, n *control.Connections, err error) {
	for _, s := range k.server.Sessions() {
		all = append(all, control.Session{
			User: s.User, Remote: s.Peer.Remote.String(), TLS: maillog.DescribeTLS(s.Peer.TLS), Since: s.Since,
		})
	}
	ctx, cancel := context.WithTimeout(ctx, countsTime)
	defer cancel()
	if c, err := k.server.Counts(ctx); err == nil {
		sum := c.Total()
		n = &control.Connections{
			Open: sum.Open, LoggedIn: c.LoggedIn, Accepted: sum.Accepted, Refused: sum.Refused, HandshakesFailed: sum.HandshakesFailed,
		}
	}
	return all, n, nil
}
