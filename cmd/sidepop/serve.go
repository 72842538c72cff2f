package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/control"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/cmd/sidepop/internal/privilege"
	"sidepop/index"
)

func serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server from a configuration file",
		Long: `Run the server from a configuration file, in the foreground, until SIGTERM or
SIGINT. The log goes to standard error. sidepop.toml(5) describes the file.`,
		Args: cobra.NoArgs,
		RunE: running(func(*cobra.Command, []string) error { return serve(file) }),
	}
	cmd.Flags().StringVar(&file, "config", config.DefaultFile, "the configuration `file`")
	return cmd
}

// serve reads the configuration, opens what needs root, gives root up, and
// serves.
func serve(file string) error {
	c, err := config.Read(file)
	if err != nil {
		return err
	}
	if err := c.Check(os.Geteuid()); err != nil {
		return err
	}
	log, err := maillog.New(os.Stderr, c.Log.Level, c.Log.Format)
	if err != nil {
		return err
	}
	secure, err := loadTLS(c, log)
	if err != nil {
		return err
	}
	listeners, err := listen(c.Listen)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	if err := drop(c, log); err != nil {
		return err
	}
	return serveOn(c, secure, listeners, log)
}

// loadTLS gives nil where there is no certificate.
func loadTLS(c *config.Config, log *maillog.Log) (*tls.Config, error) {
	if c.TLS.Certificate == "" {
		return nil, nil
	}
	pair, err := certs.Load(c.TLS.Certificate, c.TLS.Key, log)
	if err != nil {
		return nil, err
	}
	return pair.Config(), nil
}

// drop makes the state folder and gives up root, if there is something to give
// up, and finds out whether what logins need can be read without.
func drop(c *config.Config, log *maillog.Log) error {
	id := &privilege.Identity{UID: os.Geteuid(), GID: os.Getegid()}
	if id.UID == 0 {
		var err error
		if id, err = privilege.Lookup(c.User); err != nil {
			return err
		}
	}
	if err := c.PrepareState(id.UID, id.GID); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := privilege.Drop(id); err != nil {
			return err
		}
		log.Dropped(id.Name, id.UID, id.GID)
		warnCertificate(c, log)
	}
	return c.CheckPasswd()
}

// serveOn runs the server until a signal. Its parts end in the order in which
// they need each other: sessions, then commands, then the index.
func serveOn(c *config.Config, secure *tls.Config, ls []listener, log *maillog.Log) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			log.Hangup()
		}
	}()
	warnDescriptors(c, log)
	x, err := newIndex(c, log)
	if err != nil {
		return err
	}
	commands, err := control.Serve(c.Index.StateDir, control.Local{Index: x}, log.ControlFault)
	if err != nil {
		return errors.Join(err, x.Close())
	}
	server := newServer(c, secure, x, log)
	for _, l := range ls {
		log.Listening(l.protocol(), l.Addr())
	}
	go knowMailboxes(c, x)
	failed := start(server, ls)
	log.Ready(version())
	notify(daemon.SdNotifyReady)

	select {
	case err := <-failed:
		return errors.Join(err, commands.Close(), x.Close())
	case sig := <-signals:
		notify(daemon.SdNotifyStopping)
		log.Stopping(sig.String(), c.Limits.ShutdownTime)
	}
	err = shutdown(server, c.Limits.ShutdownTime, signals)
	if errors.Is(err, errCutOff) {
		log.Stopped(err)
		return err // at once: whatever is not saved is counted again
	}
	err = errors.Join(err, commands.Close(), x.Close())
	log.Stopped(err)
	return nil
}

// warnCertificate tells when a renewed certificate could not be read: the files
// were opened as root, and are another user's business from now on.
func warnCertificate(c *config.Config, log *maillog.Log) {
	if c.TLS.Certificate == "" {
		return
	}
	for _, file := range []string{c.TLS.Certificate, c.TLS.Key} {
		f, err := os.Open(file)
		if err != nil {
			log.CertificateUnreadable(fmt.Errorf("a renewed certificate will be used only after a restart, since user %s can't read it: %w", c.User, err))
			return
		}
		_ = f.Close()
	}
}

// knowMailboxes has the mailboxes of all accounts watched and counted before
// anybody logs in. With a file for each domain there is no list of them.
func knowMailboxes(c *config.Config, x *index.Index) {
	p := newPlaces(c)
	silent := func(error) {} // the first login tells what is wrong with the file
	_ = auth.NewPasswd(c.Auth.PasswdFile, silent).Accounts(func(a *auth.Account) {
		if path, err := p.of(a); err == nil {
			x.Know(path, index.ProcessOwner())
		}
	})
}

// notify tells systemd, where it listens (sd_notify(3)). That it does not is no
// fault.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

const (
	// sessionDescriptors is how many files a session keeps open: its
	// connection, the Maildir, new and cur.
	sessionDescriptors = 4

	// ownDescriptors is for listeners, logs and files that are open shortly.
	ownDescriptors = 64
)

// warnDescriptors tells when the limit of open files (getrlimit(2)) is reached
// before the limit of connections.
func warnDescriptors(c *config.Config, log *maillog.Log) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	want := uint64(c.Limits.Connections)*sessionDescriptors + ownDescriptors
	if limit.Cur < want {
		log.FewDescriptors(limit.Cur, want)
	}
}
