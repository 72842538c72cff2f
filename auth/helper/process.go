package helper

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// endTimeout is how long a process may take to end after either end of its
	// socket was closed, before it is killed. Serve waits [drainTimeout] of it.
	endTimeout = 3 * time.Second

	// exitTimeout is how long the requests of a process that was killed wait
	// for its end.
	exitTimeout = time.Second

	// sendTimeout is how long writing a packet may take. A helper reads all
	// the time, so a socket that stays full is that of one that has stopped.
	sendTimeout = time.Second
)

// environment is what the program finds there in any case: modules look for
// programs, and their messages should be those that operators search for.
var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}

// state is where a process is in its life.
type state int

const (
	starting state = iota // it has not said yet that it is ready
	serving               // it gets requests
	retired               // it gets no more requests and finishes those it has
	ending                // it has none left, and its socket is at its end
)

// process is one run of the program. What is not explained otherwise is
// guarded by the pool's lock.
type process struct {
	pool     *Pool
	state    state
	calls    map[uint64]*call // under way, by number
	entered  int              // requests so far
	ready    bool             // it has said so
	answered bool             // at least once
	killed   error            // why it was killed, if it was

	// Set before started is closed, and not changed afterwards.
	started chan struct{} // closed when it is ready or has failed to be
	failed  error         // why it never became ready

	// Set once by start, and not changed while the process is known.
	cmd    *exec.Cmd
	conn   *net.UnixConn
	exited chan struct{} // closed when the process was waited for
	lines  chan struct{} // closed when its last line was told
}

func newProcess(p *Pool) *process {
	return &process{
		pool:    p,
		calls:   make(map[uint64]*call),
		started: make(chan struct{}),
		exited:  make(chan struct{}),
		lines:   make(chan struct{}),
	}
}

func (h *process) pid() int { return h.cmd.Process.Pid }

// run is the life of the process, from its start until it was waited for.
func (h *process) run() {
	err := h.start()
	if err == nil {
		err = h.receive()
		h.pool.retire(h)
		err = h.await(err)
	}
	report := h.pool.leave(h, err)
	if h.conn != nil {
		<-h.exited // even a killed process can take its time
		<-h.lines
		_ = h.conn.Close()
	}
	h.pool.forget(h)
	report()
}

// start starts the program with one end of a socket pair.
func (h *process) start() error {
	o := &h.pool.options
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket pair for %s: %w", o.Command[0], err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "socket of the helper")
	defer theirs.Close()
	conn, err := packetConn(pair[0])
	if err != nil {
		return fmt.Errorf("socket pair for %s: %w", o.Command[0], err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		_ = conn.Close()
		return fmt.Errorf("pipe for %s: %w", o.Command[0], err)
	}
	defer in.Close()
	cmd := exec.Command(o.Command[0], o.Command[1:]...)
	cmd.Dir = o.Dir
	cmd.Env = append(environment[:len(environment):len(environment)], o.Env...)
	cmd.Stdout, cmd.Stderr = in, in
	cmd.ExtraFiles = []*os.File{theirs} // becomes socketFD
	// A session of its own: no terminal to ask for passwords at, and no
	// interrupt from there while requests are under way.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, AmbientCaps: o.AmbientCaps}
	// What this process has itself been started with may lack the flag.
	// Kernels before 5.11 cannot do this; what Go opens has it anyway.
	_ = unix.CloseRange(socketFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err := cmd.Start(); err != nil {
		_, _ = conn.Close(), out.Close()
		return fmt.Errorf("start: %w", err)
	}
	go h.wait(cmd, conn, out)
	go h.tellLines(cmd.Process.Pid, out)

	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	h.cmd, h.conn = cmd, conn
	_ = conn.SetReadDeadline(time.Now().Add(o.StartTimeout))
	if h.state == ending { // closed meanwhile
		h.endLocked()
	}
	return nil
}

// wait waits for the end of the process. It may have left children that hold
// its ends of the socket and the pipe: reading has to end nevertheless, after
// what it had answered and written before.
func (h *process) wait(cmd *exec.Cmd, conn *net.UnixConn, out *os.File) {
	_ = cmd.Wait() // its status is in cmd.ProcessState
	_ = conn.CloseRead()
	_ = out.SetReadDeadline(time.Now().Add(lastLines)) // an error: it was read to its end
	close(h.exited)
}

// send writes a packet.
func (h *process) send(packet []byte) error {
	_ = h.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, err := h.conn.Write(packet)
	return err
}

// receive delivers what the process says, until it can say nothing more or
// nothing more can be believed. It returns [io.EOF] at the end of the socket.
func (h *process) receive() error {
	buffer := make([]byte, maxPacket+1)
	for {
		n, err := h.conn.Read(buffer)
		if errors.Is(err, syscall.ECONNRESET) {
			// The process ended before it had read everything. Said once; what
			// it answered before is still to be read.
			continue
		}
		if err != nil {
			return err
		}
		r, err := decodeReply(buffer[:n])
		if err == nil {
			err = h.pool.deliver(h, r)
		}
		if err != nil {
			return fmt.Errorf("it broke the protocol: %w", err)
		}
	}
}

// await waits for the end of the process after receive, and kills it if it
// does not end. It says why the process ended; nil: it was told to.
func (h *process) await(received error) error {
	exited := errors.Is(received, io.EOF) && h.exitsWithin(endTimeout)
	h.pool.mu.Lock()
	told, killed := h.state == ending, h.killed
	h.pool.mu.Unlock()
	var why error
	switch {
	case exited && told && killed == nil:
		return nil
	case exited && !h.wasKilled():
		return fmt.Errorf("it ended by itself: %v", h.cmd.ProcessState)
	case killed != nil:
		why = killed
	case exited:
		return errors.New("something else killed it")
	case errors.Is(received, io.EOF):
		why = errors.New("it closed its socket and went on")
	case !errors.Is(received, os.ErrDeadlineExceeded):
		why = received
	case told:
		why = fmt.Errorf("it did not end within %v after the end of its socket", endTimeout)
	default:
		why = fmt.Errorf("it did not say that it is ready within %v", h.pool.options.StartTimeout)
	}
	if err := h.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%w, and killing it failed: %w", why, err)
	}
	h.exitsWithin(exitTimeout)
	return fmt.Errorf("%w, and it was killed", why)
}

// exitsWithin waits for the end of the process.
func (h *process) exitsWithin(patience time.Duration) bool {
	select {
	case <-h.exited:
		return true
	case <-time.After(patience):
		return false
	}
}

// wasKilled says whether the process, which has ended, was ended by SIGKILL.
func (h *process) wasKilled() bool {
	status, ok := h.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// readyLocked notes that the process is ready.
func (h *process) readyLocked() error {
	switch h.state {
	case ending:
		return nil
	case starting:
		h.state, h.ready = serving, true
		_ = h.conn.SetReadDeadline(time.Time{})
		close(h.started)
		return nil
	}
	return errors.New("it said twice that it is ready")
}

// settleLocked ends a retired process when it has finished its requests, or
// has only such that it will not finish.
func (h *process) settleLocked() {
	if h.state != retired {
		return
	}
	for _, c := range h.calls {
		if !c.givenUp {
			return
		}
	}
	if len(h.calls) == 0 {
		h.endLocked()
		return
	}
	if h.killed == nil {
		h.killed = fmt.Errorf("it did not answer %d requests in time", len(h.calls))
		_ = h.cmd.Process.Kill()
		_ = h.conn.CloseRead() // wakes receive
	}
}

// endLocked makes the process find the end of its socket.
func (h *process) endLocked() {
	h.state = ending
	if h.conn != nil {
		_ = h.conn.CloseWrite()
		_ = h.conn.SetReadDeadline(time.Now().Add(endTimeout))
	}
}

// name is what the process is called in errors.
func (h *process) name() string {
	program := h.pool.options.Command[0]
	if h.cmd == nil {
		return program
	}
	return fmt.Sprintf("%s (process %d)", program, h.pid())
}
