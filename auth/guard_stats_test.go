package auth

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// TestGuardStats: the waits of those who fail are counted, and who is under way.
func TestGuardStats(t *testing.T) {
	g := NewGuard(GuardOptions{FailureDelay: time.Millisecond})
	login := Login{User: "bob", Password: "x", Remote: netip.MustParseAddr("192.0.2.1")}
	fail := func(context.Context) (*Account, error) { return nil, ErrCredentials }
	for range freeFailures {
		if _, err := g.Do(t.Context(), login, fail); err == nil {
			t.Fatal("logged in")
		}
	}
	if s := g.Stats(); s != (GuardStats{}) {
		t.Errorf("with free failures: %+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond) // nobody waits for the penalty here
	defer cancel()
	if _, err := g.Anew().Do(ctx, login, fail); err == nil {
		t.Fatal("logged in")
	}
	if s := g.Stats(); s != (GuardStats{Delayed: 1, Delay: firstPenalty}) {
		t.Errorf("after a penalty: %+v", s)
	}
	other := Login{User: "eve", Password: "x", Remote: netip.MustParseAddr("192.0.2.2")}
	_, err := g.Do(t.Context(), other, func(context.Context) (*Account, error) {
		if s := g.Stats(); s.UnderWay != 1 {
			t.Errorf("in a login: %+v", s)
		}
		return &Account{Name: "eve"}, nil
	})
	if s := g.Stats(); err != nil || s.UnderWay != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	for range maxAttempts {
		a, err := g.throttle.enter(g.throttle.who("x", netip.Addr{}))
		if err != nil {
			break
		}
		defer a.leave()
	}
	if s := g.Stats(); s.Busy != 1 || s.UnderWay == 0 {
		t.Errorf("with too many: %+v", s)
	}
}
