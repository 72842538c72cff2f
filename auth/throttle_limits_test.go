package auth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

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
	table := &th.failed[addressPlace]
	key := func(n int) place {
		return place{kind: addressPlace, address: netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}).As16()}
	}
	guilty := key(-1)
	for range 8 {
		table.add(guilty, now)
	}
	for n := range 1_000_000 {
		now = time.Duration(n) * time.Second / rate
		table.add(key(n), now)
		if n%1000 == 999 {
			table.add(key(n-500), now)
		}
		if n%50_000 == 0 {
			if got, want := table.of(guilty, now), 8*math.Exp2(-now.Seconds()/failureHalfLife.Seconds()); want > 4 && math.Abs(got-want) > 0.01 {
				t.Errorf("after %d others %v failures are left, want %v", n, got, want)
			}
		}
	}
	if len(table.counts) != maxCounted || len(table.order) != maxCounted {
		t.Errorf("%d counts, %d in order", len(table.counts), len(table.order))
	}
	for i, c := range table.order {
		if c.index != i || table.counts[c.key] != c || i > 0 && c.one < table.order[(i-1)/2].one {
			t.Fatalf("count %d of %v is out of order", i, c)
		}
	}
	// A failure of somebody else, when all have decayed: only that is left.
	table.add(place{address: addressKey{1}}, now+time.Hour)
	if n := len(table.counts); n != 1 {
		t.Errorf("%d counts are left", n)
	}
}

func TestFailuresAreTakenBack(t *testing.T) {
	var f failures
	one, two := place{kind: addressPlace}, place{kind: sitePlace}
	f.add(one, 0)
	f.add(one, time.Minute)
	f.add(one, 2*time.Minute)
	f.takeBack(one, time.Minute, 3*time.Minute)
	want := math.Exp2(-3.0/5) + math.Exp2(-1.0/5)
	if got := f.of(one, 3*time.Minute); math.Abs(got-want) > 1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
	f.halve(one)
	if got := f.of(one, 3*time.Minute); math.Abs(got-want/2) > 1e-9 {
		t.Errorf("halved it is %v, want %v", got, want/2)
	}
	f.takeBack(one, 3*time.Minute, 3*time.Minute)
	f.takeBack(two, 0, 0)
	f.halve(two)
	if len(f.counts) != 0 || len(f.order) != 0 {
		t.Errorf("%v is left", f.counts)
	}
}

func TestKnownIsBounded(t *testing.T) {
	var k known
	account := func(n int) (key accountKey) { key[0], key[1], key[2] = byte(n), byte(n>>8), byte(n>>16); return key }
	address := func(n int) addressKey { return addressKey(account(n)) }
	for n := range 100 {
		k.note(account(0), account(0), address(n), time.Duration(n))
	}
	for n := range 100 {
		if k.has(account(0), address(n), 100) != (n >= 100-maxKnownAddresses) {
			t.Errorf("the account is known at address %d: %v", n, !k.has(account(0), address(n), 100))
		}
	}
	k.note(account(0), account(0), address(100-maxKnownAddresses), 100) // again
	k.note(account(0), account(0), address(101), 101)
	if !k.has(account(0), address(100-maxKnownAddresses), 101) || k.has(account(0), address(101-maxKnownAddresses), 101) {
		t.Error("not the address without a login for longest was given up")
	}
	for n := range maxKnownAccounts - 1 {
		k.note(account(n+1), account(n+1), address(0), 200)
	}
	k.note(account(0), account(0), address(0), 300)
	k.note(account(maxKnownAccounts), account(maxKnownAccounts), address(0), 400)
	if len(k.accounts) != maxKnownAccounts || k.recent.Len() != maxKnownAccounts {
		t.Errorf("%d accounts, %d in order", len(k.accounts), k.recent.Len())
	}
	if len(k.names) != maxKnownAccounts {
		t.Errorf("%d names", len(k.names))
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

func BenchmarkThrottle(b *testing.B) {
	for _, counted := range []int{0, maxCounted} {
		b.Run(fmt.Sprintf("counted=%d", counted), func(b *testing.B) {
			th := newThrottle()
			for n := range counted {
				th.failed[addressPlace].add(place{addressPlace, addressKey{0, byte(n), byte(n >> 8), byte(n >> 16)}, accountKey{}}, th.now())
			}
			l := from("joe@example.org", "192.0.2.1")
			b.ReportAllocs()
			for b.Loop() {
				a, err := th.enter(th.who(l.User, l.Remote))
				if err != nil {
					b.Fatal(err)
				}
				if err := a.ask(b.Context()); err != nil {
					b.Fatal(err)
				}
				a.succeed(&Account{Name: "joe"})
				a.leave()
			}
		})
	}
}
