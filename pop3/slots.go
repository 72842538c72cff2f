package pop3

import (
	"context"
	"sync"
	"time"
)

// Slots bounds how many things are open at once for each key, such as
// connections of an address. The zero value has no bound.
type Slots struct {
	mu   sync.Mutex
	max  int // for each key; 0: no bound
	open map[string]int
}

// Allow sets the bound for each key, 0: none. What is open beyond it stays so.
func (s *Slots) Allow(max int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max = max
}

// Acquire takes a slot if one is free.
func (s *Slots) Acquire(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.max > 0 && s.open[key] >= s.max {
		return false
	}
	if s.open == nil {
		s.open = make(map[string]int)
	}
	s.open[key]++
	return true
}

// Release gives a slot back.
func (s *Slots) Release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key] <= 1 {
		delete(s.open, key)
		return
	}
	s.open[key]--
}

// Accounts bounds the sessions of each account, for backends: how many at once
// and how soon after one another. One at once is the exclusive lock of
// RFC 1939, section 4. The zero value has no bounds.
type Accounts struct {
	sessions Slots

	mu    sync.Mutex
	delay time.Duration
	last  map[string]time.Time
	swept time.Time
	ended chan struct{} // closed when a session ends; nil when nobody waits
}

// handover is how long a login waits for a session of the same account that is
// just ending: a client that comes back at once must not find its own last
// session in the way, which may still be on its way through other processes.
const handover = 200 * time.Millisecond

// NewAccounts is the zero value with bounds: see [Accounts.Allow].
func NewAccounts(sessions int, delay time.Duration) *Accounts {
	a := new(Accounts)
	a.Allow(sessions, delay)
	return a
}

// Allow sets the bounds: so many sessions at once for each account, 0: any
// number, and a login no sooner than delay after the one before (RFC 2449,
// section 8.1.1). Sessions that run go on.
func (a *Accounts) Allow(sessions int, delay time.Duration) {
	a.sessions.Allow(sessions)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.delay = delay
}

// Begin is called when a login to an account has succeeded. It fails with
// [ErrInUse] or [ErrLoginDelay]; otherwise the session calls end once, at its end.
func (a *Accounts) Begin(ctx context.Context, account string) (end func(), err error) {
	if !a.acquire(ctx, account) {
		return nil, ErrInUse
	}
	if a.tooSoon(account, time.Now()) {
		a.release(account)
		return nil, ErrLoginDelay
	}
	return func() { a.release(account) }, nil
}

// acquire takes a slot, waiting a moment for one.
func (a *Accounts) acquire(ctx context.Context, account string) bool {
	if a.sessions.Acquire(account) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, handover)
	defer cancel()
	for {
		ended := a.nextEnd()
		if a.sessions.Acquire(account) { // one that ended before nextEnd
			return true
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return false
		}
	}
}

// nextEnd is closed when the next session ends, whosever it is.
func (a *Accounts) nextEnd() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended == nil {
		a.ended = make(chan struct{})
	}
	return a.ended
}

func (a *Accounts) release(account string) {
	a.sessions.Release(account)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended != nil {
		close(a.ended)
		a.ended = nil
	}
}

func (a *Accounts) tooSoon(account string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.delay == 0 {
		return false
	}
	if last, ok := a.last[account]; ok && now.Sub(last) < a.delay {
		return true
	}
	if now.Sub(a.swept) >= a.delay { // so that the map holds recent logins only
		for name, last := range a.last {
			if now.Sub(last) >= a.delay {
				delete(a.last, name)
			}
		}
		a.swept = now
	}
	if a.last == nil {
		a.last = make(map[string]time.Time)
	}
	a.last[account] = now
	return false
}
