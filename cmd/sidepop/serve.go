package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/cmd/sidepop/internal/supervise"
)

func serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server from a configuration file",
		Long: `Run the server from a configuration file, in the foreground, until SIGTERM or
SIGINT: a process that speaks to clients, one that reads mail, and this one, which
starts them again when they end. The log goes to standard error. sidepop.toml(5)
describes the file.`,
		Args: cobra.NoArgs,
		RunE: running(func(*cobra.Command, []string) error { return serve(file) }),
	}
	cmd.Flags().StringVar(&file, "config", config.DefaultFile, "the configuration `file`")
	return cmd
}

// serve finds out whether the configuration can be used, opens the sockets,
// which outlive the roles, and supervises these.
func serve(file string) error {
	sockets := passedSockets()
	if err := closeInherited(); err != nil {
		return err
	}
	snapshot, c, err := newSnapshot(file)
	if err != nil {
		return err
	}
	if err := c.Prepare(); err != nil {
		return err
	}
	log, err := maillog.New(os.Stderr, c.Log.Level, c.Log.Format)
	if err != nil {
		return err
	}
	log = log.As("serve")
	ls, err := passedListeners(sockets)
	if err == nil && len(ls) == 0 {
		ls, err = listen(c.Listen)
	}
	if err != nil {
		return err
	}
	defer closeAll(ls)
	if os.Geteuid() != 0 {
		log.Unseparated(os.Geteuid())
	}
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(hangups, syscall.SIGHUP)
	s := &server{config: c, snapshot: snapshot, log: log, listeners: ls, beforeFront: func() {}, notify: newNotifier()}
	s.ready = func() {
		log.Ready(version())
		s.notify.ready()
	}
	err = s.run(signals, hangups)
	log.Stopped(err)
	return logged(err)
}

// server is the two roles as one process sees them.
type server struct {
	config    *config.Config // at the start
	snapshot  snapshot       // what roles are started with
	asked     map[int]string // contents that the keeper has not answered yet, by number
	last      int            // of these numbers
	answers   chan answer    // of the keeper
	lock      *os.File       // of the state folder
	log       *maillog.Log
	listeners []listener
	sentences string // see roleOptions

	beforeFront func() // called when the keeper is ready
	ready       func() // called when both are
	notify      *notifier

	keeper *supervise.Process // nil before it is started
	front  *supervise.Process
}

// roleEnd is how long a role may take to end beside the time that sessions have: a
// removal that has begun is completed, of as many messages as there may be, and
// the index is saved. What is cut off then is completed at the next start.
const roleEnd = time.Minute

// run runs the roles until a signal: first the keeper, and the front when the
// keeper is ready. A hangup makes them read the configuration again.
func (s *server) run(signals, hangups <-chan os.Signal) error {
	s.answers, s.asked = make(chan answer, 1), make(map[int]string)
	if err := s.startKeeper(); err != nil {
		return errors.Join(err, s.stop(signals))
	}
	defer s.lock.Close()
	ready, begun := s.keeper.Ready(), (<-chan struct{})(nil)
	for {
		select {
		case <-ready:
			ready = nil
			s.beforeFront()
			if err := s.startFront(); err != nil {
				return errors.Join(err, s.stop(signals))
			}
			begun = s.front.Ready()
		case <-begun:
			begun = nil
			s.ready()
		case <-s.keeper.Done():
			return errors.Join(s.keeper.Err(), s.stop(signals))
		case <-s.front.Done():
			return errors.Join(s.front.Err(), s.stop(signals))
		case <-hangups:
			s.reload()
		case a := <-s.answers:
			s.settle(a)
		case sig := <-signals:
			s.log.Stopping(sig.String())
			s.notify.stopping(s.config.Limits.ShutdownTime + 2*roleEnd)
			return s.stop(signals)
		}
	}
}

// reload reads the configuration again, and asks the keeper to use it. One that
// can't be used changes nothing. The keeper has the last word: it can read less.
func (s *server) reload() {
	next, err := s.snapshot.ask(s.last + 1)
	if err != nil {
		s.log.ConfigRefused(err)
		return
	}
	s.last++
	s.asked[s.last] = next.Asked
	s.snapshot = next
	s.keeper.Tell(next.line())
}

// answer is what the keeper says of a configuration that it was asked to use.
type answer struct {
	number int
	used   bool
}

// settle makes what the keeper uses hold for roles that are started again.
func (s *server) settle(a answer) {
	text, ok := s.asked[a.number]
	if !ok {
		return
	}
	delete(s.asked, a.number)
	s.snapshot = s.snapshot.answered(a.number, text, a.used)
	if c, err := s.snapshot.current(); err == nil {
		s.config.Limits.ShutdownTime = c.Limits.ShutdownTime
	}
	s.keeper.First(s.snapshot.line())
	if s.front != nil {
		s.front.First(s.snapshot.line())
	}
}

// Ended implements [supervise.Events].
func (s *server) Ended(role, how string, wait time.Duration) { s.log.Ended(role, how, wait) }

// Said implements [supervise.Events]. What the front says, somebody who has taken
// it over may say.
func (s *server) Said(role, line string) {
	if role != keeperRole {
		return
	}
	for prefix, used := range map[string]bool{configUsed: true, configRefused: false} {
		if text, ok := strings.CutPrefix(line, prefix); ok {
			if number, err := strconv.Atoi(text); err == nil {
				s.answers <- answer{number, used}
			}
		}
	}
}

// startKeeper starts the keeper with its socket, which outlives it: logins wait
// there for the next one.
func (s *server) startKeeper() error {
	var err error
	if s.lock, err = lockState(s.config.Index.StateDir); err != nil {
		return err
	}
	l, err := listenKeeper(s.config)
	if err != nil {
		return err
	}
	defer l.Close() // the role has a copy
	sockets, err := files(l)
	if err != nil {
		return err
	}
	s.keeper, err = s.startRole(keeperRole, sockets, []string{keeperSocket})
	return err
}

func (s *server) startFront() (err error) {
	var sockets []*os.File
	var names []string
	for _, l := range s.listeners {
		fs, err := files(l.Listener)
		if err != nil {
			return err
		}
		sockets, names = append(sockets, fs...), append(names, l.name)
	}
	s.front, err = s.startRole(frontRole, sockets, names)
	return err
}

func (s *server) startRole(name string, sockets []*os.File, names []string) (*supervise.Process, error) {
	args := []string{name, "--config", s.snapshot.File} // for people who look at processes
	if s.sentences != "" {
		args = append(args, "--sentences", s.sentences)
	}
	return supervise.Start(s.config.Index.StateDir, supervise.Role{Name: name, Args: args, Sockets: sockets, Names: names}, s.snapshot.line(), s)
}

// lockFile in the state folder is locked by the process that supervises its roles,
// and has its id.
const lockFile = "serve.lock"

// lockState makes sure that nobody else supervises roles with a state folder. The
// lock ends with the process.
func lockState(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another \"sidepop serve\" uses %s: stop that one, or set another index.state_dir: %w", dir, err), f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	_, err = fmt.Fprintln(f, os.Getpid()) // for people and scripts
	return f, err
}

// files gives a listener's file, to be passed on.
func files(l net.Listener) ([]*os.File, error) {
	fl, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("a socket of %T can't be passed on", l)
	}
	f, err := fl.File()
	return []*os.File{f}, err
}

// stop ends the roles in the order in which they need each other. Another signal
// ends both at once.
func (s *server) stop(signals <-chan os.Signal) error {
	hurry, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-signals:
			close(hurry)
		case <-done:
		}
	}()
	var err error
	if s.front != nil {
		err = s.front.Stop(s.config.Limits.ShutdownTime+roleEnd, hurry)
	}
	if s.keeper != nil {
		err = errors.Join(err, s.keeper.Stop(roleEnd, hurry))
	}
	select {
	case <-hurry:
		return errHurry
	default:
		return err
	}
}
