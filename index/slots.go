package index

import (
	"context"
	"slices"
	"sync"
	"time"
)

// slots are the processors for counting, so that counting leaves the others to
// serve. Whoever has one gives it back after each piece, if somebody waits: so one
// mailbox, of any number of large messages, has all of them only while it is alone.
// Logins go before work that nobody waits for.
type slots struct {
	mu      sync.Mutex
	free    int              // 0 while somebody waits
	waiting [2][]chan<- bool // in order of arrival, by urgency
	row     int              // pieces of urgent work one after the other, while other work waited
}

// urgentRow is how many pieces of urgent work are done for one of the other: an
// owner who logs in all the time must not keep everybody's new mail from being
// counted.
const urgentRow = 4

// piece is how many bytes are counted before somebody else's turn: it takes about
// ten milliseconds where the file is in memory.
const piece = 16 << 20

// turnTime is how long messages are counted that come to less than a piece: as long as
// that takes.
const turnTime = 10 * time.Millisecond

func newSlots(n int) *slots { return &slots{free: n} }

func class(urgent bool) int {
	if urgent {
		return 1
	}
	return 0
}

// take waits for a slot, which has to be given back.
func (s *slots) take(ctx context.Context, urgent bool) error {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return nil
	}
	return s.wait(ctx, urgent)
}

// wait waits in the queue. mu is held, and released.
func (s *slots) wait(ctx context.Context, urgent bool) error {
	mine := make(chan bool, 1)
	queue := &s.waiting[class(urgent)]
	*queue = append(*queue, mine)
	s.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(*queue, mine); i >= 0 {
		*queue = slices.Delete(*queue, i, i+1)
	} else {
		s.pass()
	}
	return context.Cause(ctx)
}

// give gives a slot back.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass()
}

// pass hands a slot to whoever is next. mu is held.
func (s *slots) pass() {
	c := class(true)
	if len(s.waiting[c]) == 0 || s.row >= urgentRow && len(s.waiting[class(false)]) > 0 {
		c = class(false)
	}
	if len(s.waiting[c]) == 0 {
		s.free++
		return
	}
	if s.row++; c == class(false) {
		s.row = 0
	}
	s.waiting[c][0] <- true
	s.waiting[c] = s.waiting[c][1:]
}

// pause lets others have the slot if it is their turn, and waits for the next. With
// an error the slot is given back.
func (s *slots) pause(ctx context.Context, urgent bool) error {
	s.mu.Lock()
	others, loginsWait := len(s.waiting[class(false)]) > 0, len(s.waiting[class(true)]) > 0
	if urgent && others && !loginsWait && s.row < urgentRow {
		s.row++
		others = false
	}
	if !others && !loginsWait {
		s.mu.Unlock()
		return nil
	}
	s.pass()
	return s.wait(ctx, urgent)
}
