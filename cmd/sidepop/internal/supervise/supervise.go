// Package supervise runs the roles of a program as processes of its own and
// starts those again that end.
//
// A role is started as systemd would start it: listening sockets are passed on
// (sd_listen_fds(3)), and it tells when it is ready (sd_notify(3)). On its standard
// input it is told things, one a line, and knows by the end of it that the
// supervisor is gone, however that came about; it ends then as if it were told to.
//
// Invariants:
//   - A role that was ready once is started again whenever it ends, after a wait
//     that grows while it keeps ending, until it is stopped.
//   - A role that ends before it was ever ready is not: what keeps it from
//     starting is for a person to mend.
//   - Only processes that were started here are signalled.
package supervise

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// minWait and maxWait bound the time from a role's end to its next start:
	// short enough that clients hardly notice one crash, long enough that a
	// crash loop leaves the machine usable.
	minWait = 100 * time.Millisecond
	maxWait = 10 * time.Second

	// settled is how long a role must have run for its next end to count as
	// the first one.
	settled = time.Minute

	// maxNotice is more than the notices of roles need.
	maxNotice = 4096
)

// Supervised is the option that a role is started with beside its own.
const Supervised = "--supervised"

// notifyPrefix begins the names of the sockets in the folder of [Start]; a
// role's name follows.
const notifyPrefix = "notify-"

// Role is one process.
type Role struct {
	Name string
	Args []string // of this program

	// Sockets are passed on; Names are theirs, in the same order.
	Sockets []*os.File
	Names   []string
}

// Events is told what happens to roles. Its methods return soon.
type Events interface {
	// Ended: a role has ended without being told to, and is started again after
	// a wait.
	Ended(role, how string, wait time.Duration)

	// Said: a role has said something else than that it is ready.
	Said(role, line string)
}

// Process keeps a role running.
type Process struct {
	role   Role
	events Events
	notify *net.UnixConn
	ready  chan struct{} // closed when it was ready for the first time
	done   chan struct{} // closed when it has ended for good
	stop   chan struct{} // closed when it is to be stopped
	once   sync.Once

	mu      sync.Mutex
	current *os.Process // nil while none runs
	lines   chan []byte // for its standard input, whose end ends it
	first   []byte      // what each run is told first
	err     error       // why it ended for good

	wake chan struct{} // ends the wait for the next run
}

// Start starts a role, which is told a line first: see [Process.First]. The folder
// is this process's alone, to talk to the role in.
func Start(folder string, role Role, line []byte, events Events) (*Process, error) {
	path := filepath.Join(folder, notifyPrefix+role.Name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("start the %s: %w", role.Name, err)
	}
	p := &Process{
		role: role, events: events, notify: notify, first: line,
		ready: make(chan struct{}), done: make(chan struct{}), stop: make(chan struct{}),
		wake: make(chan struct{}, 1),
	}
	go p.listen()
	run, err := p.start()
	if err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	go p.keep(run)
	return p, nil
}

// Ready is closed when the role was ready for the first time.
func (p *Process) Ready() <-chan struct{} { return p.ready }

// Done is closed when the role has ended for good; Err says why. Of a nil
// Process, one that is not started yet, it is nil.
func (p *Process) Done() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.done
}

// Err is why the role ended for good; nil if it was stopped. It wraps the
// [exec.ExitError] of a role that could not start.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Signal sends the role a signal, if it runs.
func (p *Process) Signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		_ = p.current.Signal(s)
	}
}

// Tell tells the role a line, and every run from the next one on the same as its
// first. A role that waits to be started again is started now. One that does not
// read misses the line: it has more to catch up with than that.
func (p *Process) Tell(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first = line
	if p.current == nil {
		select {
		case p.wake <- struct{}{}:
		default:
		}
		return
	}
	select {
	case p.lines <- line:
	default:
	}
}

// First is what each run from the next one on is told first.
func (p *Process) First(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first = line
}

// unread is how many lines may wait for a role to read them.
const unread = 16

// write writes lines to a role's standard input, until there are no more of them
// or nobody to read them.
func write(stdin io.WriteCloser, lines <-chan []byte) {
	defer stdin.Close()
	for line := range lines {
		if _, err := stdin.Write(append(line[:len(line):len(line)], '\n')); err != nil {
			return // the run has ended
		}
	}
}

// Stop tells the role to end (SIGTERM) and waits until it has. When patience is
// over, or at once when hurry is closed, it is killed, which is an error. One that
// has ended by itself is stopped.
func (p *Process) Stop(patience time.Duration, hurry <-chan struct{}) error {
	p.once.Do(func() { close(p.stop) })
	p.Signal(syscall.SIGTERM)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
	case <-hurry:
	}
	p.Signal(syscall.SIGKILL)
	<-p.done
	return fmt.Errorf("the %s did not end in time and was killed", p.role.Name)
}

// run is one run of a role.
type run struct {
	cmd   *exec.Cmd
	begun time.Time
}

// start starts the process, from the file that this one was started from, even
// if that was replaced: the roles speak to each other and must be of one version.
func (p *Process) start() (*run, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{filepath.Base(os.Args[0])}, append(p.role.Args, Supervised)...)
	cmd.Env = append(environment(),
		"NOTIFY_SOCKET="+p.notify.LocalAddr().String(),
		"LISTEN_FDS="+strconv.Itoa(len(p.role.Sockets)),
		"LISTEN_FDNAMES="+strings.Join(p.role.Names, ":"))
	cmd.ExtraFiles = p.role.Sockets
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// A terminal's Ctrl-C is for the supervisor, which ends roles in their order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", p.role.Name, err)
	}
	p.current, p.lines = cmd.Process, make(chan []byte, unread)
	p.lines <- p.first
	go write(stdin, p.lines)
	return &run{cmd, time.Now()}, nil
}

// environment is this process's without what systemd meant for it alone.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC":
		default:
			env = append(env, e)
		}
	}
	return env
}

// keep waits for the end of a run and begins the next one.
func (p *Process) keep(r *run) {
	defer close(p.done)
	defer p.notify.Close()
	wait := minWait
	for {
		how := p.wait(r)
		if p.isStopping() {
			return
		}
		if !p.wasReady() {
			p.end(fmt.Errorf("the %s could not start (%w); it has said why", p.role.Name, how))
			return
		}
		if time.Since(r.begun) >= settled {
			wait = minWait
		}
		for r = nil; r == nil; wait = min(2*wait, maxWait) {
			p.events.Ended(p.role.Name, how.Error(), wait)
			select {
			case <-p.stop:
				return
			case <-p.wake:
			case <-time.After(wait):
			}
			var err error
			if r, err = p.start(); err != nil {
				how = err
			}
		}
		if p.isStopping() { // since it began to start: it may not have had the signal
			p.Signal(syscall.SIGTERM)
		}
	}
}

// errSuccess is a role that ended as if it had been told to.
var errSuccess = errors.New("exit status 0")

// wait gives how a run ended, which is never nil.
func (p *Process) wait(r *run) error {
	err := r.cmd.Wait()
	p.mu.Lock()
	p.current = nil
	close(p.lines)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return errSuccess
}

func (p *Process) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *Process) isStopping() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

func (p *Process) wasReady() bool {
	select {
	case <-p.ready:
		return true
	default:
		return false
	}
}

// listen waits for the role to say that it is ready.
func (p *Process) listen() {
	var once sync.Once
	buf := make([]byte, maxNotice)
	for {
		n, err := p.notify.Read(buf)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(buf[:n])) {
			switch line = strings.TrimSuffix(line, "\n"); line {
			case "READY=1":
				once.Do(func() { close(p.ready) })
			default:
				p.events.Said(p.role.Name, line)
			}
		}
	}
}
