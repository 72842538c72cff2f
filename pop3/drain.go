package pop3

import (
	"context"
	"time"
)

// Drain closes the listeners and waits, until ctx is done, for those who are about
// to log in: it returns when every connection that was accepted has logged in or
// ended. [Server.Shutdown] comes after it, and would have ended them at once. With
// listening sockets that others have open too, as those that a service manager
// passes on, no client is turned away then: the next ones wait in the sockets.
func (s *Server) Drain(ctx context.Context) {
	s.setUp()
	s.mu.Lock()
	s.draining = true
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for s.expects() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// drainLook is how often Drain looks: a login takes longer.
const drainLook = 10 * time.Millisecond

// expects says whether there are connections without a login, or may be. A
// connection is first its listener's, then one that comes, and then a session.
func (s *Server) expects() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) > 0 || s.coming.Load() > 0 {
		return true
	}
	for c := range s.sessions {
		if !c.isServing() {
			return true
		}
	}
	return false
}
