package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync/atomic"

	"sidepop/cmd/sidepop/internal/metrics"
	"sidepop/pop3"
	"sidepop/pop3/wire"
)

// isMetrics says whether a listener is for those who scrape, not for mail.
func isMetrics(l listener) bool { return l.name == metricsSocket }

// serveMetrics serves the figures on those listeners that are for that, and gives the
// others. The channel gets the reason when one of them ends.
func (f *front) serveMetrics(ls []listener, failed chan<- error) (mail []listener) {
	s := metrics.NewServer(f.figures)
	for _, l := range ls {
		if !isMetrics(l) {
			mail = append(mail, l)
			continue
		}
		go func() {
			if err := s.Serve(l.Listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				failed <- listenerError(l, err)
			}
		}()
	}
	return mail
}

// figures are those of both roles, which the keeper makes a text of; without it the
// front's alone.
func (f *front) figures(ctx context.Context) []byte {
	if text, err := f.client.Figures(ctx); err == nil {
		return text
	}
	text, _ := metrics.Front(version(), f.counts.wire()) // what can't be written is left out
	return text
}

// kindAddr is a listener's address, with the listener's kind.
type kindAddr struct {
	net.Addr
	kind int // in [wire.Counts].Listeners
}

// ofKind is a listener that says of which kind it is.
type ofKind struct {
	net.Listener
	addr net.Addr // a kindAddr
}

func withKind(l net.Listener, name string) ofKind {
	return ofKind{l, kindAddr{l.Addr(), slices.Index(metrics.Listeners[:], name)}}
}

// Addr implements [net.Listener].
func (l ofKind) Addr() net.Addr { return l.addr }

// addr is a listener's address; nil where there is no socket, but one connection.
func (l listener) addr() net.Addr {
	if l.Listener == nil {
		return nil
	}
	return l.Addr()
}

// counts is what a front counts. They are atomic, and nobody waits for anybody.
type counts struct {
	listeners                                    [wire.ListenerKinds]listenerCounts
	loggedIn                                     atomic.Int64
	unanswered, retrieved, tops, removed, octets atomic.Uint64
}

type listenerCounts struct {
	open                                atomic.Int64
	accepted, refused, failedHandshakes atomic.Uint64
}

// of are the counts of a connection's listener; without one those of the first kind.
func (c *counts) of(p pop3.Peer) *listenerCounts {
	a, _ := p.Listener.(kindAddr)
	return &c.listeners[a.kind]
}

// open is how many connections there are.
func (c *counts) open() (n int64) {
	for i := range c.listeners {
		n += c.listeners[i].open.Load()
	}
	return n
}

// wire is everything as it crosses to the keeper.
func (c *counts) wire() (n wire.Counts) {
	for i := range c.listeners {
		l := &c.listeners[i]
		n.Listeners[i] = wire.ListenerCounts{
			Open: uint64(l.open.Load()), Accepted: l.accepted.Load(),
			Refused: l.refused.Load(), HandshakesFailed: l.failedHandshakes.Load(),
		}
	}
	n.LoggedIn, n.Unanswered = uint64(c.loggedIn.Load()), c.unanswered.Load()
	n.Retrieved, n.Tops, n.Removed = c.retrieved.Load(), c.tops.Load(), c.removed.Load()
	n.Octets = c.octets.Load()
	n.Process = metrics.Process()
	return n
}

// closed counts what a connection has done.
func (c *counts) closed(p pop3.Peer, s pop3.Summary) {
	l := c.of(p)
	l.open.Add(-1)
	if s.Reason == pop3.ReasonHandshake {
		l.failedHandshakes.Add(1)
	}
	if s.User == "" {
		return
	}
	c.loggedIn.Add(-1)
	c.retrieved.Add(uint64(s.Retr))
	c.tops.Add(uint64(s.Top))
	c.removed.Add(uint64(s.Dele))
	c.octets.Add(uint64(s.Octets))
}
