package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/maillog"
)

// inetdRole is the name of the command, and of its processes in the log.
const inetdRole = "inetd"

func inetdCommand() *cobra.Command {
	o := roleOptions{oneOfMany: true}
	var c inetdClient
	cmd := &cobra.Command{
		Use:   inetdRole,
		Short: "Serve one connection on standard input and output",
		Long: `Serve one connection on standard input and output, for a keeper that runs: from
systemd (Accept=yes), inetd, xinetd, tcpserver or stunnel. Started as root it
becomes the user of the configuration, in a root directory with nothing but the
keeper's socket; else it must be started as that user. Its log is not written to
the client. sidepop-inetd(8) has examples.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			_, o.apart = cmd.ErrOrStderr().(*apart)
			r, err := begin(inetdRole, o)
			if err != nil {
				return err
			}
			if err = runInetd(r, c); err != nil {
				r.log.Stopped(err)
			}
			return logged(err)
		}),
	}
	cmd.Flags().StringVar(&o.file, "config", config.DefaultFile, "the configuration `file`")
	cmd.Flags().BoolVar(&c.implicit, "tls", false, "begin with TLS, as on port 995")
	cmd.Flags().BoolVar(&c.secured, "secured", false, "whoever starts this has ended TLS with the client, as stunnel does")
	cmd.MarkFlagsMutuallyExclusive("tls", "secured")
	return cmd
}

// inetdClient is how the one connection begins.
type inetdClient struct {
	implicit bool // with TLS
	secured  bool // TLS has been ended by somebody else
}

// runInetd is runFront for one connection.
func runInetd(r *role, c inetdClient) error {
	conn, err := stdio(c.secured)
	if err != nil {
		return err
	}
	defer conn.Close()
	r.closeSockets() // systemd passes the connection on a second time
	f := &front{role: r, settings: settingsOf(r.config)}
	if err := f.confine(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f.connect(ctx)
	if conn, err = f.inbound(listener{}).Take(conn); err != nil {
		return nil // which is logged
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		f.server.ServeConn(conn, c.implicit)
	}()
	select {
	case <-served:
		return nil
	case end := <-f.ended():
		f.log.Stopping(end)
		return f.shutdown()
	}
}

// apart takes what a command would tell on standard error where that is a client's
// connection, and logs it. Nothing but POP3 is written to a client.
type apart struct{ log *maillog.Log }

func (a *apart) Write(b []byte) (int, error) {
	a.log.Stopped(errors.New(strings.TrimSpace(string(b))))
	return len(b), nil
}

// standardError gives what commands write complaints to. Servers that start others
// for connections make standard error a connection too: then it is closed to this
// process for good, the runtime's last words included.
func standardError(args []string) io.Writer {
	if len(args) == 0 || args[0] != inetdRole {
		return os.Stderr
	}
	var fi unix.Stat_t
	if err := unix.Fstat(unix.Stderr, &fi); err != nil || fi.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return os.Stderr
	}
	if is, err := journal.StderrIsJournalStream(); is && err == nil {
		return os.Stderr
	}
	if err := discard(unix.Stderr); err != nil {
		return io.Discard
	}
	log, err := maillog.NewApart(config.Default().Log.Level)
	if err != nil {
		return io.Discard
	}
	return &apart{log.As(inetdRole)}
}

// discard makes descriptors lead nowhere.
func discard(fds ...int) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for _, fd := range fds {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("close descriptor %d: %w", fd, err)
		}
	}
	return nil
}
