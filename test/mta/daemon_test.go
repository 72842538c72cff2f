package mta

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// stopTime is how long a daemon may take to end after SIGTERM.
const stopTime = 20 * time.Second

// daemon is a program that runs until it is told to end.
type daemon struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{}
}

// startDaemon starts a program that stays in the foreground. It is stopped with the
// test, if not before.
func startDaemon(t testing.TB, log, program string, args ...string) *daemon {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(t, err)
	defer out.Close()
	d := &daemon{name: program, cmd: exec.Command(program, args...), exited: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = out, out
	must(t, d.cmd.Start())
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	t.Cleanup(func() { d.stop(t) })
	return d
}

// stop ends the program. It may have been stopped before.
func (d *daemon) stop(t testing.TB) {
	t.Helper()
	if d.ended() {
		return
	}
	must(t, d.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-d.exited:
	case <-time.After(stopTime):
		t.Errorf("%s runs %v after SIGTERM", d.name, stopTime)
		_ = d.cmd.Process.Kill()
		<-d.exited
	}
}

func (d *daemon) ended() bool {
	select {
	case <-d.exited:
		return true
	default:
		return false
	}
}

// awaitListening waits until the program answers at an address.
func (d *daemon) awaitListening(t testing.TB, network, address string) {
	t.Helper()
	await(t, d.name+" listens at "+address, func() bool {
		if d.ended() {
			t.Fatalf("%s ended at its start: %v", d.name, d.cmd.ProcessState)
		}
		return listening(network, address)
	})
}

func listening(network, address string) bool {
	c, err := net.Dial(network, address)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}
