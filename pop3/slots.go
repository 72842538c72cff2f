package pop3

import (
	"sync"
	"time"
)

// Slots bounds how many things are open at once for each key, such as
// connections of an address. The zero value has no bound.
type Slots struct {
	Max int // for each key; 0: no bound

	mu   sync.Mutex
	open map[string]int
}

// Acquire takes a slot if one is free.
func (s *Slots) Acquire(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Max > 0 && s.open[key] >= s.Max {
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
// RFC 1939, section 4.
type Accounts struct {
	sessions Slots
	delay    time.Duration

	mu    sync.Mutex
	last  map[string]time.Time
	swept time.Time
}

// NewAccounts allows so many sessions at once for each account, 0: any number,
// and a login no sooner than delay after the one before (RFC 2449, section
// 8.1.1).
func NewAccounts(sessions int, delay time.Duration) *Accounts {
	return &Accounts{delay: delay, sessions: Slots{Max: sessions}, last: make(map[string]time.Time)}
}

// Begin is called when a login to an account has succeeded. It fails with
// [ErrInUse] or [ErrLoginDelay]; otherwise the session calls end once, at its end.
func (a *Accounts) Begin(account string) (end func(), err error) {
	if !a.sessions.Acquire(account) {
		return nil, ErrInUse
	}
	if a.delay > 0 && a.tooSoon(account, time.Now()) {
		a.sessions.Release(account)
		return nil, ErrLoginDelay
	}
	return func() { a.sessions.Release(account) }, nil
}

func (a *Accounts) tooSoon(account string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
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
	a.last[account] = now
	return false
}
