package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// begin begins an attempt and says how long it took. One that can't begin is nil.
func (g *Guard) begin(t *testing.T, l Login, want error) (*Attempt, time.Duration) {
	t.Helper()
	begin := time.Now()
	a, err := g.Begin(t.Context(), l)
	if !errors.Is(err, want) || (a == nil) != (want != nil) {
		t.Errorf("%v, %v; want %v", a, err, want)
	}
	return a, time.Since(begin)
}

// end has a client prove something, right or not, and says how long it took.
func (a *Attempt) end(t *testing.T, l Login, source error) time.Duration {
	t.Helper()
	begin := time.Now()
	account, err := a.Do(t.Context(), l, func(context.Context) (*Account, error) {
		if source != nil {
			return nil, source
		}
		return &Account{Name: l.User}, nil
	})
	if !errors.Is(err, source) || (account == nil) != (source != nil) {
		t.Errorf("%+v, %v; want %v", account, err, source)
	}
	a.Close()
	return time.Since(begin)
}

// failed is how many failures a stranger's address and account have.
func (g *Guard) failed(l Login) string {
	w := g.throttle.who(l.User, l.Remote)
	g.throttle.mu.Lock()
	defer g.throttle.mu.Unlock()
	of := func(p place) float64 { return g.throttle.failed[p.kind].of(p, g.throttle.now()) }
	return fmt.Sprintf("%.0f %.0f", of(place{kind: addressPlace, address: w.address}), of(place{kind: accountPlace, account: w.account}))
}

// TestBeginWaits: what an attempt in two halves waits for, it waits for in the first
// half, and once.
func TestBeginWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{Deny: networks(t, "203.0.113.0/24")})
		defer g.idle(t)
		joe := from("joe", "192.0.2.1")
		for failures, penalty := range []time.Duration{0, 0, 0, time.Second, 2 * time.Second, 4 * time.Second} {
			if got, want := g.failed(joe), fmt.Sprint(failures, failures); got != want {
				t.Errorf("failures of address and account: %s, want %s", got, want)
			}
			a, took := g.begin(t, joe, nil)
			if took != penalty {
				t.Errorf("after %d failures the first half takes %v, want %v", failures, took, penalty)
			}
			if took := a.end(t, joe, ErrCredentials); took != DefaultFailureDelay {
				t.Errorf("after %d failures the second half takes %v, want %v", failures, took, DefaultFailureDelay)
			}
		}
		if a, took := g.begin(t, from("joe", "198.51.100.1"), nil); took != 8*time.Second || a.end(t, from("joe", "198.51.100.1"), nil) != 0 {
			t.Errorf("the account from another address: %v", took)
		}
		a, took := g.begin(t, from("ann", "192.0.2.1"), nil)
		if took != 8*time.Second || a.end(t, from("ann", "192.0.2.1"), nil) != 0 {
			t.Errorf("another account from the address: %v", took)
		}
		if a, took = g.begin(t, from("ann", "192.0.2.1"), nil); took != 0 || a.end(t, from("ann", "192.0.2.1"), nil) != 0 {
			t.Errorf("a regular: %v", took)
		}
		if _, took := g.begin(t, from("joe", "203.0.113.1"), ErrCredentials); took != DefaultFailureDelay {
			t.Errorf("an address that is denied: %v", took)
		}
	})
}

// TestGivenUpAfterBegin: who leaves before the proof has failed as an address, after a
// few times too many, and no account waits for it.
func TestGivenUpAfterBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		defer g.idle(t)
		joe := from("joe", "192.0.2.1")
		for given, penalty := range []time.Duration{0, 0, 0, time.Second, 2 * time.Second} {
			a, took := g.begin(t, joe, nil)
			a.Close()
			a.Close()
			if got, want := g.failed(joe), fmt.Sprint(given+1, " ", 0); took != penalty || got != want {
				t.Errorf("given up %d times: %v, failures %s; want %v, %s", given, took, got, penalty, want)
			}
		}
		if a, took := g.begin(t, from("joe", "198.51.100.1"), nil); took != 0 || a.end(t, from("joe", "198.51.100.1"), nil) != 0 {
			t.Errorf("from another address: %v", took)
		}
	})
}

// TestCrowdBegins: those who know their passwords wait for each other's turn, and for
// nobody who takes longer than a slow telephone.
func TestCrowdBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		defer g.idle(t)
		begin := time.Now()
		var all sync.WaitGroup
		for n := range 30 {
			all.Go(func() {
				l := from(fmt.Sprint("user", n), "192.0.2.1")
				a, _ := g.begin(t, l, nil)
				time.Sleep(100 * time.Millisecond)
				a.end(t, l, nil)
			})
		}
		all.Wait()
		if took := time.Since(begin); took != time.Second {
			t.Errorf("30 at once took %v, want 10 times 100ms", took)
		}
		var idle []*Attempt
		for n := range placeLimits[addressPlace].asking {
			a, _ := g.begin(t, from(fmt.Sprint("idle", n), "192.0.2.1"), nil)
			idle = append(idle, a)
		}
		late := from("late", "192.0.2.1")
		if a, took := g.begin(t, late, nil); took != answerTime+firstPenalty || a.end(t, late, nil) != 0 {
			t.Errorf("beside three that wait for their clients: %v, want %v", took, answerTime+firstPenalty)
		}
		for n, a := range idle {
			a.end(t, from(fmt.Sprint("idle", n), "192.0.2.1"), nil)
		}
	})
}

// TestBegunAreBounded: those of one address that wait for their clients.
func TestBegunAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		defer g.idle(t)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var mu sync.Mutex
		busy, begun := 0, 0
		for n := range maxAttempts {
			all.Go(func() {
				a, err := g.Begin(ctx, from(fmt.Sprint("user", n), "192.0.2.1"))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, ErrBusy):
					busy++
				case err == nil:
					begun++
					all.Go(func() { <-ctx.Done(); a.Close() })
				}
			})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		if busy != maxAttempts-maxAttempts/10 || begun > 20 {
			t.Errorf("%d were not let in, %d have begun within a minute", busy, begun)
		}
		mu.Unlock()
		cancel()
		all.Wait()
	})
}
