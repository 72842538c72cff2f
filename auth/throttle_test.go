package auth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
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
						if _, err := g.Do(t.Context(), c.next(n), answer(takes, nil)); err != nil {
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
			if n := len(th.addresses.counts) + len(th.sites.counts) + len(th.accounts.counts); n > 0 {
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

// Who knows one password at an address guesses others no faster for it.
func TestOwnAccountIsNoHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		guesses := 0
		for begin := time.Now(); time.Since(begin) < failureHalfLife-time.Minute; {
			_ = g.seconds(t, from(fmt.Sprint("victim", guesses), "192.0.2.1"))
			guesses++
			if _, err := g.try(t, from("mallory", "192.0.2.1"), answer(0, nil)); err != nil {
				t.Fatal(err)
			}
		}
		if guesses > 15 {
			t.Errorf("%d guesses within %v", guesses, failureHalfLife-time.Minute)
		}
	})
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

// hold makes attempts whose source does not answer until release is called. It
// says how many were let in.
func hold(t *testing.T, g *Guard, attempts int, next func(n int) Login) (in int, release func()) {
	t.Helper()
	var busy atomic.Int32
	var all sync.WaitGroup
	wait := make(chan struct{})
	for n := range attempts {
		all.Go(func() {
			_, err := g.Do(t.Context(), next(n), func(context.Context) (*Account, error) { <-wait; return &Account{}, nil })
			switch {
			case errors.Is(err, ErrBusy) && !errors.Is(err, ErrCredentials):
				busy.Add(1)
			case err != nil:
				t.Error(err)
			}
		})
	}
	synctest.Wait()
	return attempts - int(busy.Load()), func() { close(wait); all.Wait() }
}

func TestAttemptsAreBounded(t *testing.T) {
	for _, c := range []struct {
		about string
		next  func(n int) Login
		want  int
	}{
		{"one address", func(n int) Login { return from(fmt.Sprint("user", n), "192.0.2.1") }, maxAttempts / 10},
		{"one user, one address", func(int) Login { return from("joe", "192.0.2.1") }, maxAttempts / 10},
		{"one /64", func(n int) Login { return from("joe", fmt.Sprintf("2001:db8::%x:1", n)) }, maxAttempts / 10},
		{"one /48", func(n int) Login { return from(fmt.Sprint("user", n), fmt.Sprintf("2001:db8:1:%x::1", n)) }, maxAttempts / 3},
		{"one user", func(n int) Login { return from("joe", fmt.Sprintf("10.%d.%d.1", n/250, n%250)) }, maxAttempts / 2},
		{"everybody", func(n int) Login { return from(fmt.Sprint("user", n), fmt.Sprintf("10.%d.%d.1", n/250, n%250)) }, maxAttempts - 8},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := NewGuard(GuardOptions{})
			if _, err := g.try(t, from("home", "203.0.113.1"), answer(0, nil)); err != nil {
				t.Fatal(err)
			}
			in, release := hold(t, g, maxAttempts+1000, c.next)
			if in != c.want {
				t.Errorf("%s: %d attempts under way, want %d", c.about, in, c.want)
			}
			if c.want <= maxAttempts/2 {
				if took, err := g.try(t, from("other", "198.51.100.1"), answer(0, nil)); err != nil || took != 0 {
					t.Errorf("%s: another address: %v after %v", c.about, err, took)
				}
			}
			if took, err := g.try(t, from("home", "203.0.113.1"), answer(0, nil)); err != nil || took != 0 {
				t.Errorf("%s: where an account is known: %v after %v", c.about, err, took)
			}
			release()
			g.idle(t)
		})
	}
}

// A hundred addresses with all that they can get leave something for others.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		_, release := hold(t, g, 100*100, func(n int) Login { return from(fmt.Sprint("user", n), fmt.Sprintf("10.0.0.%d", n%100)) })
		if took, err := g.try(t, from("other", "198.51.100.1"), answer(0, nil)); err != nil || took != 0 {
			t.Errorf("%v after %v", err, took)
		}
		release()
	})
}

// What is kept is bounded, and what has a weight is not pushed out.
func TestMillionAddresses(t *testing.T) {
	const rate = 1300 // failures a second, about maxAttempts / DefaultFailureDelay
	th := newThrottle()
	var now time.Duration
	key := func(n int) addressKey {
		return addressKey(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}).As16())
	}
	guilty := key(-1)
	for range 8 {
		th.addresses.add(guilty, now)
	}
	for n := range 1_000_000 {
		now = time.Duration(n) * time.Second / rate
		th.addresses.add(key(n), now)
		if n%1000 == 999 {
			th.addresses.add(key(n-500), now)
		}
		if n%50_000 == 0 {
			if got, want := th.addresses.of(guilty, now), 8*math.Exp2(-now.Seconds()/failureHalfLife.Seconds()); want > 4 && math.Abs(got-want) > 0.01 {
				t.Errorf("after %d others %v failures are left, want %v", n, got, want)
			}
		}
	}
	if len(th.addresses.counts) != maxCounted || len(th.addresses.order) != maxCounted {
		t.Errorf("%d counts, %d in order", len(th.addresses.counts), len(th.addresses.order))
	}
	for i, c := range th.addresses.order {
		if c.index != i || th.addresses.counts[c.key] != c || i > 0 && c.one < th.addresses.order[(i-1)/2].one {
			t.Fatalf("count %d of %v is out of order", i, c)
		}
	}
	// A failure of somebody else, when all have decayed: only that is left.
	th.addresses.add(addressKey{1}, now+time.Hour)
	if n := len(th.addresses.counts); n != 1 {
		t.Errorf("%d counts are left", n)
	}
}

func TestFailuresAreTakenBack(t *testing.T) {
	var f failures[int]
	f.add(1, 0)
	f.add(1, time.Minute)
	f.add(1, 2*time.Minute)
	f.takeBack(1, time.Minute, 3*time.Minute)
	want := math.Exp2(-3.0/5) + math.Exp2(-1.0/5)
	if got := f.of(1, 3*time.Minute); math.Abs(got-want) > 1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
	f.halve(1)
	if got := f.of(1, 3*time.Minute); math.Abs(got-want/2) > 1e-9 {
		t.Errorf("halved it is %v, want %v", got, want/2)
	}
	f.takeBack(1, 3*time.Minute, 3*time.Minute)
	f.takeBack(2, 0, 0)
	f.halve(2)
	if len(f.counts) != 0 || len(f.order) != 0 {
		t.Errorf("%v is left", f.counts)
	}
}

func TestKnownIsBounded(t *testing.T) {
	var k known
	account := func(n int) (key accountKey) { key[0], key[1], key[2] = byte(n), byte(n>>8), byte(n>>16); return key }
	address := func(n int) addressKey { return addressKey(account(n)) }
	for n := range 100 {
		k.note(account(0), address(n), time.Duration(n))
	}
	for n := range 100 {
		if k.has(account(0), address(n), 100) != (n >= 100-maxKnownAddresses) {
			t.Errorf("the account is known at address %d: %v", n, !k.has(account(0), address(n), 100))
		}
	}
	k.note(account(0), address(100-maxKnownAddresses), 100) // again
	k.note(account(0), address(101), 101)
	if !k.has(account(0), address(100-maxKnownAddresses), 101) || k.has(account(0), address(101-maxKnownAddresses), 101) {
		t.Error("not the address without a login for longest was given up")
	}
	for n := range maxKnownAccounts - 1 {
		k.note(account(n+1), address(0), 200)
	}
	k.note(account(0), address(0), 300)
	k.note(account(maxKnownAccounts), address(0), 400)
	if len(k.accounts) != maxKnownAccounts || k.recent.Len() != maxKnownAccounts {
		t.Errorf("%d accounts, %d in order", len(k.accounts), k.recent.Len())
	}
	if !k.has(account(0), address(0), 400) || k.has(account(1), address(0), 400) {
		t.Error("not the account without a login for longest was given up")
	}
}

func TestPenalty(t *testing.T) {
	for _, c := range []struct {
		count float64
		free  int
		want  time.Duration
	}{
		{0, 3, 0}, {2.49, 3, 0}, {2.5, 3, time.Second}, {3, 3, time.Second}, {4, 3, 2 * time.Second}, {6.4, 3, 8 * time.Second},
		{7, 3, maxPenalty}, {1e6, 3, maxPenalty}, {1e18, 3, maxPenalty}, {29, 30, 0}, {30, 30, time.Second},
	} {
		if got := penalty(c.count, c.free); got != c.want {
			t.Errorf("%v failures of which %d are free: %v, want %v", c.count, c.free, got, c.want)
		}
	}
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
			g.Set(GuardOptions{CacheTime: time.Minute, FailureDelay: time.Second})
			g.Forget()
			time.Sleep(time.Second)
		}
		all.Wait()
		g.idle(t)
	})
}

func BenchmarkThrottle(b *testing.B) {
	for _, counted := range []int{0, maxCounted} {
		b.Run(fmt.Sprintf("counted=%d", counted), func(b *testing.B) {
			th := newThrottle()
			for n := range counted {
				th.addresses.add(addressKey{0, byte(n), byte(n >> 8), byte(n >> 16)}, th.now())
			}
			l := from("joe@example.org", "192.0.2.1")
			b.ReportAllocs()
			for b.Loop() {
				a, err := th.enter(th.who(l))
				if err != nil {
					b.Fatal(err)
				}
				if err := a.ask(b.Context()); err != nil {
					b.Fatal(err)
				}
				a.succeed()
				a.leave()
			}
		})
	}
}
