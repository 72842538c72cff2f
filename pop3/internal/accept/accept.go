// Package accept is the loop that takes connections from a listener.
package accept

import (
	"errors"
	"net"
	"time"
)

// Bounds of the waits between failed accepts, such as for want of descriptors.
const (
	minDelay = 5 * time.Millisecond
	maxDelay = time.Second
)

// Loop accepts connections and gives each to serve, in a goroutine of its own. It
// ends with [net.ErrClosed] when the listener is closed. Any other error of accept
// is given to failed, and accepting tried again.
func Loop[C net.Conn](accept func() (C, error), serve func(C), failed func(error)) error {
	delay := minDelay
	for {
		conn, err := accept()
		switch {
		case err == nil:
			delay = minDelay
			go serve(conn)
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			failed(err)
			time.Sleep(delay)
			delay = min(2*delay, maxDelay)
		}
	}
}
