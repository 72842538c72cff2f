package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// control is the keeper's end of a front's control connection.
type control struct {
	*session
	helpers sync.WaitGroup // all goroutines beside the one that receives
	sending sync.Mutex     // one packet at a time
	changed chan struct{}  // there is a state to be pushed
	wanted  chan struct{}  // there are counts to be asked for
	figures chan asked     // what the front asks for
	gone    chan struct{}  // the connection has ended

	mu    sync.Mutex
	wants uint64 // requests for counts so far
	asked uint64 // those of them that the front has heard of
	asks  map[uint64]chan Counts
}

// ErrNoFront is what [Server.Counts] returns where no front is connected.
var ErrNoFront = errors.New("wire: no front is connected")

// control serves a control connection to its end.
func (x *session) control(d *decoder) error {
	if err := x.taken(d); err != nil {
		return err
	}
	if err := x.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	x.phase = over
	s := x.server
	f := &control{
		session: x,
		changed: make(chan struct{}, 1),
		wanted:  make(chan struct{}, 1),
		figures: make(chan asked, 1),
		gone:    make(chan struct{}),
		asks:    make(map[uint64]chan Counts),
	}
	s.mu.Lock()
	s.fronts = append(s.fronts, f)
	s.mu.Unlock()
	defer f.detach()
	f.helpers.Go(f.push)
	f.helpers.Go(f.giveFigures)
	wake(f.changed)
	for {
		if err := f.take(); err != nil {
			return err
		}
	}
}

func (f *control) detach() {
	s := f.server
	s.mu.Lock()
	s.fronts = slices.DeleteFunc(s.fronts, func(other *control) bool { return other == f })
	s.mu.Unlock()
	close(f.gone)
	_ = f.Close()
	f.helpers.Wait()
}

// wake has push do something soon.
func wake(what chan<- struct{}) {
	select {
	case what <- struct{}{}:
	default:
	}
}

// push sends states, and asks for counts, until the connection has ended. A front
// that does not read that loses it.
func (f *control) push() {
	for err := error(nil); err == nil; {
		select {
		case <-f.changed:
			err = f.pushState()
		case <-f.wanted:
			err = f.askCounts()
		case <-f.gone:
			return
		}
	}
}

func (f *control) pushState() error {
	state := f.server.state.Load()
	if state == nil {
		return nil
	}
	for _, p := range state.packets {
		if err := f.tell(p); err != nil {
			return err
		}
	}
	return nil
}

// askCounts asks for those that somebody still waits for.
func (f *control) askCounts() error {
	f.mu.Lock()
	var requests []uint64
	for request := range f.asks {
		if request > f.asked {
			requests = append(requests, request)
		}
	}
	f.asked = f.wants
	f.mu.Unlock()
	b := newBuffer()
	defer b.free()
	for _, request := range requests {
		if err := f.tell(appendUint(b.begin(verbAskCounts), request)); err != nil {
			return err
		}
	}
	return nil
}

// tell sends a packet, from whatever goroutine.
func (f *control) tell(p []byte) error {
	f.sending.Lock()
	defer f.sending.Unlock()
	err := f.send(p, nil)
	if err != nil {
		f.server.broken(f.session, err)
		_ = f.Close()
	}
	return err
}

// take does what the next packet asks for.
func (f *control) take() error {
	in, err := f.receive(false)
	if err != nil {
		return err
	}
	defer in.free()
	v, d, err := decode(in.packet)
	if err != nil {
		return err
	}
	switch v {
	case verbSign:
		return f.takeSign(d)
	case verbCounts:
		return f.takeCounts(d)
	case verbFigures:
		return f.takeFigures(d)
	}
	return fmt.Errorf("%w: %d", errTurn, v)
}

// Counts asks the front that connected last. It returns when ctx is done, even if
// the front reads nothing.
func (s *Server) Counts(ctx context.Context) (Counts, error) {
	s.mu.Lock()
	var f *control
	if n := len(s.fronts); n > 0 {
		f = s.fronts[n-1]
	}
	s.mu.Unlock()
	if f == nil {
		return Counts{}, ErrNoFront
	}
	answer := make(chan Counts, 1)
	f.mu.Lock()
	f.wants++
	request := f.wants
	f.asks[request] = answer
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.asks, request)
	}()
	wake(f.wanted)
	select {
	case counts := <-answer:
		return counts, nil
	case <-f.gone:
		return Counts{}, ErrNoFront
	case <-ctx.Done():
		return Counts{}, fmt.Errorf("wire: counts: %w", ctx.Err())
	}
}

// takeCounts takes an answer, which nobody may wait for any longer.
func (f *control) takeCounts(d *decoder) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	request := d.uint(f.asked)
	counts := d.counts()
	if err := d.end(); err != nil {
		return err
	}
	if answer := f.asks[request]; answer != nil {
		answer <- counts
		delete(f.asks, request)
	}
	return nil
}
