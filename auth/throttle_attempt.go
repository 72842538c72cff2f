package auth

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"
)

// attempt is one that is under way. It is used by one goroutine: enter, ask, then
// succeed if it is right, leave. Another one may end its turn after ask.
type attempt struct {
	*throttle
	who
	regular bool
	places  []place
	turns   []*turns      // of the places
	taken   int           // of the turns, the first ones; after ask guarded by mu
	counted time.Duration // when it was counted as a failure
}

// enter lets an attempt in, or gives ErrBusy. After it comes leave.
func (t *throttle) enter(w who) (*attempt, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &attempt{throttle: t, who: w, regular: t.known.has(w.account, w.address, t.now())}
	a.places = w.places(a.regular)
	a.turns = t.admit(a.places, maxAttempts-*a.underWay())
	if a.turns == nil {
		t.stats.Busy++
		return nil, ErrBusy
	}
	*a.underWay()++
	return a, nil
}

// underWay is the number of attempts among which this one counts.
func (a *attempt) underWay() *int {
	if a.regular {
		return &a.regulars
	}
	return &a.strangers
}

// leave ends the attempt.
func (a *attempt) leave() {
	a.endTurn()
	a.mu.Lock()
	defer a.mu.Unlock()
	*a.underWay()--
	a.dismiss(a.places)
}

// ask waits until a source may be asked. Nothing is counted if ctx ends first.
func (a *attempt) ask(ctx context.Context) error {
	for _, here := range a.turns {
		// Those who wait get their turn in order.
		select {
		case here.asking <- struct{}{}:
			a.taken++
		case <-ctx.Done():
			return givenUp(ctx)
		}
	}
	if err := sleep(ctx, a.count()); err != nil {
		a.takeBack()
		return err
	}
	return nil
}

// endTurn lets the next attempts ask.
func (a *attempt) endTurn() {
	a.mu.Lock()
	taken := a.taken
	a.taken = 0
	a.mu.Unlock()
	for _, here := range a.turns[:taken] {
		<-here.asking
	}
}

// count counts the attempt as a failure and says how long it waits for others.
func (a *attempt) count() (delay time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counted = a.now()
	for _, p := range a.places {
		table := &a.failed[p.kind]
		delay = max(delay, penalty(table.of(p, a.counted), placeLimits[p.kind].free))
		table.add(p, a.counted)
	}
	if delay > 0 {
		a.stats.Delayed++
		a.stats.Delay += delay
	}
	return delay
}

// penalty is the delay after a number of failures.
func penalty(count float64, free int) time.Duration {
	further := int(math.Round(count)) - free
	if further < 0 {
		return 0
	}
	const enough = 30 // doublings: far above the bound, far below an overflow
	return min(firstPenalty<<min(further, enough), maxPenalty)
}

// takeBack makes undone that the attempt was counted.
func (a *attempt) takeBack() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.uncount()
}

// acquit is takeBack for places of a kind.
func (a *attempt) acquit(kind placeKind) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.places {
		if p.kind == kind {
			a.failed[kind].takeBack(p, a.counted, a.now())
		}
	}
}

// uncount is takeBack with mu held.
func (a *attempt) uncount() {
	now := a.now()
	for _, p := range a.places {
		a.failed[p.kind].takeBack(p, a.counted, now)
	}
}

// succeed ends the asking of an attempt whose login is right. The account is
// known at the address from now on, and the address's failures count less:
// among many behind one address somebody always has an old password.
func (a *attempt) succeed(account *Account) {
	own := a.keyOf(cmp.Or(account.Maildir, account.Name))
	a.mu.Lock()
	a.uncount()
	if a.known.note(own, a.account, a.address, a.now()) {
		a.failed[addressPlace].halve(place{kind: addressPlace, address: a.address})
	}
	a.mu.Unlock()
	a.endTurn()
}

// sleep waits, but no longer than ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return givenUp(ctx)
	}
}

func givenUp(ctx context.Context) error {
	return fmt.Errorf("%w: given up waiting: %w", ErrTemporary, context.Cause(ctx))
}
