package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/cmd/sidepop/internal/sandbox"
	"sidepop/cmd/sidepop/internal/supervise"
	"sidepop/pop3/wire"
)

// roleOptions is how a role is started.
type roleOptions struct {
	file       string // the configuration
	supervised bool   // by this program, not by a service manager
	sentences  string // tell of this user's sessions in sentences, on standard output
	apart      bool   // standard error is not for the log
	oneOfMany  bool   // processes of the same kind: what is usual is not logged
}

// roleCommand is `sidepop front` or `sidepop keeper`.
func roleCommand(name, short, long string, run func(*role) error) *cobra.Command {
	var o roleOptions
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long,
		Args: cobra.NoArgs,
		RunE: running(func(*cobra.Command, []string) (err error) {
			defer slowly(&err, !o.supervised && os.Getenv("LISTEN_FDS") != "")()
			r, err := begin(name, o)
			if err != nil {
				return err
			}
			err = run(r)
			if err != nil {
				r.notify.is(err.Error()) // which "systemctl status" shows until the next start
			}
			if errors.As(err, new(config.Problems)) && !o.supervised {
				return err // for a person, as at any start
			}
			r.log.Stopped(err)
			return logged(err)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.file, "config", config.DefaultFile, "the configuration `file`")
	flags.BoolVar(&o.supervised, supervisedFlag, false, "end with the process that started this one")
	flags.StringVar(&o.sentences, "sentences", "", "tell what happens in sentences")
	for _, name := range []string{supervisedFlag, "sentences"} {
		_ = flags.MarkHidden(name) // they are for `sidepop serve` and `sidepop try`
	}
	return cmd
}

// shortestRun is how long a role that fails runs at least, if it is started by
// connections: those that wait would start it again at once, without end.
const shortestRun = time.Second

// slowly begins to count that time. What it gives waits for the rest of it.
func slowly(err *error, activated bool) func() {
	begun := time.Now()
	return func() {
		if activated && *err != nil {
			time.Sleep(time.Until(begun.Add(shortestRun)))
		}
	}
}

// supervisedFlag is [supervise.Supervised] as a flag's name.
var supervisedFlag = strings.TrimPrefix(supervise.Supervised, "--")

// role is a process of the server.
type role struct {
	roleOptions
	config *config.Config
	log    *maillog.Log // of the process itself
	events events       // told what happens in sessions and mailboxes
	notify *notifier

	root    bool                  // started as root
	sockets map[string][]*os.File // passed on, by name
	signals chan os.Signal        // to end; closed never
	hangups chan os.Signal
	told    <-chan []byte // snapshots, closed when the supervisor is gone; nil without one

	snapshot snapshot // the first of them
}

// begin is the first that each role does: it takes what it was given, and reads
// the configuration.
func begin(name string, o roleOptions) (*role, error) {
	r := &role{roleOptions: o, root: os.Geteuid() == 0}
	r.signals, r.hangups = make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(r.signals, syscall.SIGTERM, syscall.SIGINT)
	if o.supervised {
		r.told = supervise.Join()
		signal.Ignore(syscall.SIGHUP) // what holds is the supervisor's business
	} else {
		signal.Notify(r.hangups, syscall.SIGHUP)
	}
	r.notify = newNotifier()
	r.sockets = passedSockets()
	err := closeInherited()
	if err != nil {
		return nil, err
	}
	nameProcess(name)
	if r.config, err = r.configuration(); err != nil {
		r.notify.is(err.Error())
		return nil, err
	}
	if r.log, r.events, err = newLog(r.config, name, o); err != nil {
		return nil, err
	}
	return r, nil
}

// configuration is the supervisor's, or the file's.
func (r *role) configuration() (*config.Config, error) {
	if r.told == nil {
		return config.Read(r.file)
	}
	line, ok := <-r.told
	if !ok {
		return nil, errors.New("the process that started this one has ended")
	}
	var err error
	if r.snapshot, err = parseSnapshot(line); err != nil {
		return nil, err
	}
	return r.snapshot.current()
}

// newLog makes a role's log. Where there are sentences, the log has only what a
// person can't go without.
func newLog(c *config.Config, role string, o roleOptions) (log *maillog.Log, told events, err error) {
	level, format := c.Log.Level, c.Log.Format
	if o.sentences != "" {
		level, format = "warn", "text"
	}
	if o.apart {
		log, err = maillog.NewApart(level)
	} else {
		log, err = maillog.New(os.Stderr, level, format)
	}
	if err != nil {
		return nil, nil, err
	}
	log = log.As(role)
	if o.sentences != "" {
		return log, &words{screen: newScreen(os.Stdout), user: o.sentences}, nil
	}
	return log, log, nil
}

// next waits for something to do: a signal to end, with its name, a line of the
// supervisor, or a hangup, with neither.
func (r *role) next() (end string, line []byte) {
	select {
	case s := <-r.signals:
		return s.String(), nil
	case line, ok := <-r.told:
		if !ok {
			return "the process that started it has ended", nil
		}
		return "", line
	case <-r.hangups:
		return "", nil
	}
}

// sandboxed logs what came of a sandbox.
func (r *role) sandboxed(all sandbox.Measures) {
	var held, missing []string
	for _, m := range all {
		text := m.Name + ": " + m.Detail
		if m.Held {
			held = append(held, text)
			continue
		}
		missing = append(missing, text)
	}
	if !r.oneOfMany || r.root && len(missing) > 0 {
		r.log.Sandboxed(held, missing, r.root)
	}
}

// unconfined says that the role does without its sandbox: in a trial by somebody
// without rights, of a program that was built for no other purpose.
func (r *role) unconfined() bool {
	return r.sentences != "" && !r.root && sandbox.Possible() != nil
}

// nameProcess names the process for people who look at processes: it was started
// from a file that is called "exe".
func nameProcess(role string) {
	_ = os.WriteFile("/proc/self/comm", []byte("sidepop-"+role), 0) // a name more or less
}

// closeInherited closes what whoever started the process has left open by
// mistake: with a descriptor of a folder a front that was taken over would be out
// of its root directory. It is called when the sockets that were passed on are
// taken; those, and all that this program opens, are closed at an exec.
func closeInherited() error {
	const own = "/proc/self/fd"
	entries, err := os.ReadDir(own)
	if err != nil {
		return fmt.Errorf("find out what is open: %w", err)
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= unix.Stderr {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}

// passedSockets takes the sockets that the process was started with
// (sd_listen_fds(3)), by their names.
func passedSockets() map[string][]*os.File {
	sockets := make(map[string][]*os.File)
	for _, f := range activation.Files(true) {
		sockets[f.Name()] = append(sockets[f.Name()], f)
	}
	return sockets
}

// closeSockets closes those that were passed on.
func (r *role) closeSockets() {
	for _, files := range r.sockets {
		for _, f := range files {
			_ = f.Close()
		}
	}
}

// Names of the roles.
const (
	keeperRole = "keeper"
	frontRole  = "front"
)

// Names of passed sockets.
const (
	plainSocket       = "pop3"
	tlsSocket         = "pop3s"
	plainLegacySocket = "pop3-legacy" // for old devices
	tlsLegacySocket   = "pop3s-legacy"
	metricsSocket     = "metrics"
	keeperSocket      = "keeper"
)

// passedListeners makes listeners of passed sockets.
func passedListeners(sockets map[string][]*os.File) (all []listener, err error) {
	for _, k := range listenerKinds {
		for _, f := range sockets[k.name] {
			l, err := net.FileListener(f)
			if err != nil {
				return all, fmt.Errorf("the passed socket %s can't be used: %w", k.name, err)
			}
			_ = f.Close()
			all = append(all, listener{l, k})
		}
	}
	return all, nil
}

// Descriptors of a session: in the front its connection, that to the keeper and
// messages ahead; in the keeper the connection, and new, cur and the Maildir.
const (
	sessionDescriptors = 4

	// ownDescriptors is for listeners, logs and files that are open shortly.
	ownDescriptors = 64
)

// wantedDescriptors is how many files a role may come to have open.
func wantedDescriptors(c *config.Config) uint64 {
	return uint64(c.Limits.Connections)*sessionDescriptors + wire.DefaultAhead + ownDescriptors
}

// warnDescriptors tells when the limit of open files (getrlimit(2)) is reached
// before the limit of connections.
func warnDescriptors(c *config.Config, log *maillog.Log) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	if want := wantedDescriptors(c); limit.Cur < want {
		log.FewDescriptors(limit.Cur, want)
	}
}

// errHurry: a second signal came while the process was ending.
var errHurry = errors.New("a second signal ended it at once")
