package pop3

import (
	"context"
	"time"
)

// What clients may still do once a server ends, within the time that
// [Server.Shutdown] has.
const (
	// lastLogin is how long those who have connected may take to log in: longer
	// than programs take over slow lines, shorter than people.
	lastLogin = 5 * time.Second

	// lastCommand is how long the server waits for another command after a login.
	// A program that has more to do sends it within a round trip and what its own
	// disk takes; who is silent for longer is a person, or hangs.
	lastCommand = 3 * time.Second

	// shutdownLook is how often Shutdown looks at the sessions: less than anybody
	// notices, and seldom enough for thousands of them.
	shutdownLook = 10 * time.Millisecond
)

// Shutdown ends the server in order. It closes the listeners, and gives connections
// that were accepted 5 seconds to log in. Whoever has logged in goes on, to QUIT if
// it can be, and is told the end when no command has come for 3 seconds. When ctx is
// done those are told that the server waits for, and what is left is cut off soon
// after. Nothing is removed without QUIT; a removal that has begun is always waited
// for. It returns ctx's error if sessions had to be ended because ctx was done.
//
// With listening sockets that others have open too, as those that a service manager
// passes on, no client is turned away: the next ones wait in the sockets.
func (s *Server) Shutdown(ctx context.Context) error {
	s.setUp()
	defer s.cancel()
	begun := time.Now()
	s.mu.Lock()
	s.ending = true
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	if s.await(ctx, func(c *session) { c.stopSilent(begun) }) {
		return nil
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	soon, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	if !s.await(soon, (*session).stop) {
		s.cancel()
		s.await(context.Background(), (*session).cutOff)
	}
	return ctx.Err()
}

// await waits until nobody is left, or ctx is done, and does what is to be done with
// each session again and again.
func (s *Server) await(ctx context.Context, do func(*session)) (over bool) {
	look := time.NewTicker(shutdownLook)
	defer look.Stop()
	for !s.isOver(do) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// isOver says whether no connection is left, and does something with each session. A
// connection is first its listener's, then one that comes, and then a session. When
// none is left none is admitted any more.
func (s *Server) isOver(do func(*session)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.sessions {
		do(c)
	}
	s.closed = s.closed || len(s.listeners) == 0 && s.coming.Load() == 0 && len(s.sessions) == 0
	return s.closed && len(s.sessions) == 0
}

// stop makes the session end when it next waits for its client, or now if it does.
func (c *session) stop() {
	c.stopping.Lock()
	defer c.stopping.Unlock()
	c.stopNow()
}

// stopNow is stop with the lock held.
func (c *session) stopNow() {
	if !c.stopped {
		c.stopped = true
		_ = c.transport.SetReadDeadline(time.Now())
	}
}

// stopSilent stops the session if its client is silent, in a server that began to end
// at some time.
func (c *session) stopSilent(begun time.Time) {
	c.stopping.Lock()
	defer c.stopping.Unlock()
	patience := lastLogin
	if c.serving {
		if c.waits.IsZero() {
			return
		}
		if patience = lastCommand; c.waits.After(begun) {
			begun = c.waits
		}
	}
	if time.Since(begun) >= patience {
		c.stopNow()
	}
}

// cutOff closes the connection, unless messages are being removed: what came of
// that is told in a short time.
func (c *session) cutOff() {
	c.stopping.Lock()
	defer c.stopping.Unlock()
	if !c.removing {
		_ = c.transport.Close()
	}
}
