package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"sidepop/cmd/sidepop/internal/inbound"
	"sidepop/pop3"
)

// live tells whoever started the front what it does, and that it is alive where that
// is to be told, until ctx is done.
func (f *front) live(ctx context.Context, ls []*inbound.Listener) {
	pulse := f.notify.pulse()
	next := time.NewTicker(pulse)
	defer next.Stop()
	for {
		f.notify.is(f.status())
		if f.notify.watchdog > 0 && f.accepts(ctx, ls, pulse) {
			f.notify.alive()
		}
		select {
		case <-next.C:
		case <-ctx.Done():
			return
		}
	}
}

// status is what the front does, for people.
func (f *front) status() string {
	text := fmt.Sprintf("%s, %d logged in", plural(f.counts.open.Load(), "connection"), f.counts.loggedIn.Load())
	if !f.keeper.Load() {
		text += "; the keeper is not reachable, logins are refused for the time being"
	}
	return text
}

// accepts says whether connections are accepted and served, on each listener. While
// the front ends they are not, and need not be.
func (f *front) accepts(ctx context.Context, ls []*inbound.Listener, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for _, l := range ls {
		if err := l.Probe(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
			f.log.Fault(fmt.Errorf("no sign of life on %s: %w", l.Addr(), err))
			return false
		}
	}
	return true
}

// unprobed leaves the front's own probes out.
type unprobed struct{ pop3.Events }

func (e unprobed) Connected(p pop3.Peer) {
	if !inbound.IsProbe(p.Remote) {
		e.Events.Connected(p)
	}
}

func (e unprobed) Refused(p pop3.Peer, reason error) {
	if !inbound.IsProbe(p.Remote) {
		e.Events.Refused(p, reason)
	}
}

func (e unprobed) Closed(p pop3.Peer, s pop3.Summary) {
	if !inbound.IsProbe(p.Remote) {
		e.Events.Closed(p, s)
	}
}
