package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// seconds is how long an attempt that fails takes beyond the failure delay.
func (g *Guard) seconds(t *testing.T, l Login) int {
	t.Helper()
	took, err := g.try(t, l, answer(0, ErrCredentials))
	if !errors.Is(err, ErrCredentials) {
		t.Errorf("%+v: %v", l, err)
	}
	return int((took - DefaultFailureDelay) / time.Second)
}

// growing are the delays of failures in a row.
var growing = []int{0, 0, 0, 1, 2, 4, 8, 15, 15, 15}

func TestPenaltiesGrow(t *testing.T) {
	for about, next := range map[string]func(n int) Login{
		"one user, one address":  func(int) Login { return from("joe", "192.0.2.1") },
		"many users":             func(n int) Login { return from(fmt.Sprint("user", n), "192.0.2.1") },
		"many users, one /64":    func(n int) Login { return from(fmt.Sprint("user", n), fmt.Sprintf("2001:db8::%x:1", n)) },
		"many users, no address": func(n int) Login { return from(fmt.Sprint("user", n), "") },
		"many addresses":         func(n int) Login { return from("joe", fmt.Sprintf("192.0.2.%d", n)) },
		"many networks":          func(n int) Login { return from("joe", fmt.Sprintf("2001:db8:%x::1", n)) },
		"one name spelled anew": func(n int) Login {
			return from([]string{"joe", "Joe", "JOE", "ｊｏｅ", "JoE"}[n%5], fmt.Sprintf("192.0.2.%d", n))
		},
		"one address spelled anew": func(n int) Login {
			return from(fmt.Sprint("user", n), []string{"192.0.2.1", "::ffff:192.0.2.1"}[n%2])
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := NewGuard(GuardOptions{})
			var got []int
			for n := range growing {
				got = append(got, g.seconds(t, next(n)))
			}
			if !slices.Equal(got, growing) {
				t.Errorf("%s: delays of %v, want %v", about, got, growing)
			}
			if n := g.seconds(t, from("other", "198.51.100.1")); n != 0 {
				t.Errorf("%s: another user elsewhere waits %d s", about, n)
			}
			time.Sleep(2 * time.Hour)
			if n := g.seconds(t, next(0)); n != 0 {
				t.Errorf("%s: %d s after two hours", about, n)
			}
			g.idle(t)
		})
	}
}

// Who goes from one /64 to the next, and from user to user, is found by the /48.
func TestHoppingIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		delayed := 0
		for n := range 60 {
			if s := g.seconds(t, from(fmt.Sprint("user", n), fmt.Sprintf("2001:db8:1:%x::1", n))); s > 0 {
				delayed++
			} else if delayed > 0 {
				t.Errorf("attempt %d is not delayed", n)
			}
		}
		if delayed < 20 {
			t.Errorf("%d of 60 attempts were delayed", delayed)
		}
		if s := g.seconds(t, from("joe", "2001:db8:2::1")); s != 0 {
			t.Errorf("the next /48 waits %d s", s)
		}
	})
}

// Behind an address from which everybody is attacked, such as a webmail's, those who
// have logged in from there go on; what is tried on one of them counts for that one.
func TestRegularsBehindOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		const webmail = "192.0.2.1"
		for _, user := range []string{"joe", "jim"} {
			if _, err := g.try(t, from(user, webmail), answer(0, nil)); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 20 {
			g.seconds(t, from(fmt.Sprint("guess", n), webmail))
		}
		if s := g.seconds(t, from("stranger", webmail)); s < 8 {
			t.Errorf("a stranger waits %d s", s)
		}
		for range 10 {
			g.seconds(t, from("jim", webmail))
		}
		for user, most := range map[string]int{"joe": 0, "jim": 15} {
			s := g.seconds(t, from(user, webmail))
			if s > most || user == "jim" && s < 8 {
				t.Errorf("%s waits %d s", user, s)
			}
		}
	})
}

// Attempts at the same time gain nothing over as many in a row.
func TestParallelFailures(t *testing.T) {
	for about, next := range map[string]func(n int) Login{
		"one address": func(n int) Login { return from(fmt.Sprint("user", n), "192.0.2.1") },
		"one user":    func(n int) Login { return from("joe", fmt.Sprintf("192.0.2.%d", n)) },
		"a regular":   func(int) Login { return from("regular", "192.0.2.1") },
	} {
		synctest.Test(t, func(t *testing.T) {
			g := NewGuard(GuardOptions{})
			if _, err := g.try(t, from("regular", "192.0.2.1"), answer(0, nil)); err != nil {
				t.Fatal(err)
			}
			var asked atomic.Int32
			var all sync.WaitGroup
			for n := range 100 {
				all.Go(func() {
					_, _ = g.Do(t.Context(), next(n), func(ctx context.Context) (*Account, error) {
						asked.Add(1)
						return answer(100*time.Millisecond, ErrCredentials)(ctx)
					})
				})
			}
			time.Sleep(900 * time.Millisecond)
			if n := asked.Load(); n != freeFailures {
				t.Errorf("%s: %d guesses in the first second", about, n)
			}
			all.Wait()
			g.idle(t)
		})
	}
}

// A crowd with right passwords behind one address, or in one site, waits for no
// penalty, and with its next logins for no turn either.
func TestCrowdIsNotDelayed(t *testing.T) {
	const users, takes = 300, 10 * time.Millisecond
	for _, c := range []struct {
		about  string
		next   func(n int) Login
		asking int
	}{
		{"one address", func(n int) Login { return from(fmt.Sprint("user", n), "192.0.2.1") }, freeFailures},
		{"one /48", func(n int) Login { return from(fmt.Sprint("user", n), fmt.Sprintf("2001:db8:1:%x::1", n)) }, freeSiteFailures},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := NewGuard(GuardOptions{})
			login := func() time.Duration {
				var all sync.WaitGroup
				begin := time.Now()
				for n := range users {
					all.Go(func() {
						if _, err := g.try(t, c.next(n), answer(takes, nil)); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				return time.Since(begin)
			}
			if first := login(); first != time.Duration(users/c.asking)*takes {
				t.Errorf("%s: all are in after %v", c.about, first)
			}
			if second := login(); second != takes {
				t.Errorf("%s: all are in again after %v", c.about, second)
			}
			th := g.throttle
			n := 0
			for _, table := range th.failed {
				n += len(table.counts)
			}
			if n > 0 {
				t.Errorf("%s: %v failures are counted", c.about, n)
			}
			g.idle(t)
		})
	}
}

// Whatever others do to an account, where it has logged in it does so at once.
func TestKnownAddressIsUnaffected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		home := from("joe", "2001:db8:aaaa:1::1")
		if _, err := g.try(t, home, answer(0, nil)); err != nil {
			t.Fatal(err)
		}
		attack := func() {
			var all sync.WaitGroup
			for n := range 1000 {
				all.Go(func() { _ = g.seconds(t, from("joe", fmt.Sprintf("10.0.%d.%d", n/250, n%250))) })
			}
			time.Sleep(time.Second) // most wait now
			if took, err := g.try(t, from("JOE", "2001:db8:aaaa:1::2"), answer(0, nil)); err != nil || took != 0 {
				t.Errorf("at home: %v after %v", err, took)
			}
			all.Wait()
		}
		attack()
		if took, err := g.try(t, from("joe", "2001:db8:aaaa:2::1"), answer(0, nil)); err != nil || took != maxPenalty {
			t.Errorf("elsewhere: %v after %v, want a delay", err, took)
		}
		time.Sleep(knownTime - time.Hour)
		attack()
		time.Sleep(knownTime + time.Second)
		for range 8 {
			_ = g.seconds(t, from("joe", "192.0.2.1"))
		}
		if took, err := g.try(t, home, answer(0, nil)); err != nil || took == 0 {
			t.Errorf("at home after a month: %v after %v, want a delay", err, took)
		}
		g.idle(t)
	})
}

// Who knows one password at an address guesses others no faster for it, but for
// what its first login there forgives.
func TestOwnAccountIsNoHelp(t *testing.T) {
	guesses := func(own bool) (n int) {
		synctest.Test(t, func(t *testing.T) {
			g := NewGuard(GuardOptions{})
			for begin := time.Now(); time.Since(begin) < failureHalfLife-time.Minute; n++ {
				_ = g.seconds(t, from(fmt.Sprint("victim", n), "192.0.2.1"))
				if !own {
					continue
				}
				if _, err := g.try(t, from("mallory", "192.0.2.1"), answer(0, nil)); err != nil {
					t.Fatal(err)
				}
			}
		})
		return n
	}
	if with, without := guesses(true), guesses(false); with > without+1 {
		t.Errorf("%d guesses within %v, %d without an account", with, failureHalfLife-time.Minute, without)
	}
}

// A client with an old password does not slow down a crowd behind its address.
func TestCrowdOutweighsAnOldPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		var all sync.WaitGroup
		for n := range 360 { // an hour
			all.Go(func() { _, _ = g.Do(t.Context(), from("old", "192.0.2.1"), answer(0, ErrCredentials)) })
			time.Sleep(5 * time.Second)
			all.Go(func() {
				l := from(fmt.Sprint("user", n%40), "192.0.2.1")
				if took, err := g.try(t, l, answer(0, nil)); err != nil || took > 4*time.Second {
					t.Errorf("%s, after %d s: %v after %v", l.User, n*10, err, took)
				}
			})
			time.Sleep(5 * time.Second)
		}
		all.Wait()
	})
}

// However many addresses an attacker has, and all at once, one account takes a
// bounded number of guesses.
func TestGuessesOnAnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		var asked atomic.Int32
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for n := range 1500 {
			all.Go(func() {
				for ctx.Err() == nil {
					_, _ = g.Do(ctx, from("joe", fmt.Sprintf("10.0.%d.%d", n/250, n%250)), func(context.Context) (*Account, error) {
						asked.Add(1)
						return nil, ErrCredentials
					})
				}
			})
		}
		all.Wait()
		const most = 10 * 60 / 15 * 100 // turns
		if n := asked.Load(); n > most+freeFailures || n < most/2 {
			t.Errorf("%d guesses within ten minutes", n)
		}
		g.idle(t)
	})
}

// Everything at once, for the race detector.
func TestGuardInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{CacheTime: time.Minute})
		var all sync.WaitGroup
		for n := range 200 {
			all.Go(func() {
				for i := range 5 {
					l := from(fmt.Sprint("user", n%20), fmt.Sprintf("2001:db8:%x:%x::1", n%3, n%50))
					_, _ = g.Do(t.Context(), l, answer(time.Duration(n)*time.Millisecond, []error{nil, ErrCredentials, nil, ErrTemporary}[(n+i)%4]))
				}
			})
		}
		for range 20 {
			g.Anew().Set(GuardOptions{CacheTime: time.Minute, FailureDelay: time.Second})
			time.Sleep(time.Second)
		}
		all.Wait()
		g.idle(t)
	})
}
