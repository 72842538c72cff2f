package accept

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestLoop(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	shortage := &net.OpError{Op: "accept", Err: syscall.EMFILE}
	results := []struct {
		conn net.Conn
		err  error
	}{{nil, shortage}, {nil, shortage}, {a, nil}, {nil, shortage}, {nil, &net.OpError{Op: "accept", Err: net.ErrClosed}}}
	served := make(chan net.Conn, 2)
	failures := 0
	err := Loop(func() (net.Conn, error) {
		r := results[0]
		results = results[1:]
		return r.conn, r.err
	}, func(c net.Conn) { served <- c }, func(err error) {
		if !errors.Is(err, syscall.EMFILE) {
			t.Error(err)
		}
		failures++
	})
	if !errors.Is(err, net.ErrClosed) || failures != 3 || <-served != a || len(served) != 0 {
		t.Errorf("%v after %d failures", err, failures)
	}
}
