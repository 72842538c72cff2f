package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// answer makes a source that takes some time and gives an account, which try calls
// as the user, or an error.
func answer(takes time.Duration, err error) func(context.Context) (*Account, error) {
	return func(ctx context.Context) (*Account, error) {
		if slept := sleep(ctx, takes); slept != nil {
			return nil, slept
		}
		if err != nil {
			return nil, fmt.Errorf("a source says: %w", err)
		}
		return &Account{}, nil
	}
}

func from(user, remote string) Login {
	l := Login{User: user, Password: "pw"}
	if remote != "" {
		l.Remote = netip.MustParseAddr(remote)
	}
	return l
}

func networks(t testing.TB, list ...string) Networks {
	t.Helper()
	n, err := ParseNetworks(list)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// try makes an attempt and says how long it took.
func (g *Guard) try(t *testing.T, l Login, verify func(context.Context) (*Account, error)) (time.Duration, error) {
	t.Helper()
	begin := time.Now()
	account, err := g.Do(t.Context(), l, func(ctx context.Context) (*Account, error) {
		account, err := verify(ctx)
		if account != nil {
			account.Name = cmp.Or(account.Name, l.User)
		}
		return account, err
	})
	if (account == nil) != (err != nil) {
		t.Errorf("%+v with error %v", account, err)
	}
	return time.Since(begin), err
}

func TestRefusalsComeAtOneTime(t *testing.T) {
	deny := GuardOptions{Deny: networks(t, "192.0.2.0/24")}
	allow := GuardOptions{Allow: networks(t, "198.51.100.1", localNetwork)}
	user := GuardOptions{UserNetworks: map[string]Networks{"joe": networks(t, "10.0.0.0/8")}}
	slow := GuardOptions{FailureDelay: 5 * time.Second}
	for _, c := range []struct {
		about   string
		options GuardOptions
		takes   time.Duration
		err     error
		want    error
		at      time.Duration
	}{
		{"wrong at once", GuardOptions{}, 0, ErrCredentials, ErrCredentials, DefaultFailureDelay},
		{"wrong after PAM's delay", GuardOptions{}, 2500 * time.Millisecond, ErrCredentials, ErrCredentials, DefaultFailureDelay},
		{"wrong just too late", GuardOptions{}, DefaultFailureDelay + 1, ErrCredentials, ErrCredentials, 2 * DefaultFailureDelay},
		{"wrong far too late", GuardOptions{}, 10 * time.Second, ErrCredentials, ErrCredentials, 4 * DefaultFailureDelay},
		{"wrong with another delay", slow, 0, ErrCredentials, ErrCredentials, 5 * time.Second},
		{"not allowed", GuardOptions{}, 50 * time.Millisecond, ErrDenied, ErrDenied, DefaultFailureDelay},
		{"a denied network", deny, 50 * time.Millisecond, nil, ErrCredentials, DefaultFailureDelay},
		{"no allowed network", allow, 50 * time.Millisecond, nil, ErrCredentials, DefaultFailureDelay},
		{"not that user's network", user, 50 * time.Millisecond, nil, ErrDenied, DefaultFailureDelay},
		{"wrong, and not that user's network", user, 50 * time.Millisecond, ErrCredentials, ErrCredentials, DefaultFailureDelay},
		{"a fault", GuardOptions{}, time.Second, ErrTemporary, ErrTemporary, time.Second},
		{"a fault that stays", GuardOptions{}, 0, ErrPermanent, ErrPermanent, 0},
		{"right", GuardOptions{}, time.Second, nil, nil, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := NewGuard(c.options)
			took, err := g.try(t, from("joe", "192.0.2.1"), answer(c.takes, c.err))
			if took != c.at || (err == nil) != (c.want == nil) || !errors.Is(err, c.want) {
				t.Errorf("%s: %v after %v, want %v after %v", c.about, err, took, c.want, c.at)
			}
		})
	}
}

func TestGuardNetworks(t *testing.T) {
	options := GuardOptions{
		Deny:  networks(t, "192.0.2.0/25", "2001:db8:bad::/48", "10.9.9.9"),
		Allow: networks(t, "192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32", "203.0.113.7", localNetwork),
		UserNetworks: map[string]Networks{
			"Sue":             networks(t, "10.0.0.0/8"),
			"@example.ORG":    networks(t, "10.1.0.0/16", localNetwork),
			"ann@example.org": networks(t, "2001:db8:1::/48"),
			"real":            networks(t, "10.2.0.0/16"),
		},
	}
	for _, c := range []struct {
		user, account, remote string
		want                  error
	}{
		{"joe", "joe", "192.0.2.200", nil},
		{"joe", "joe", "192.0.2.1", ErrCredentials},
		{"joe", "joe", "::ffff:192.0.2.1", ErrCredentials},
		{"joe", "joe", "::ffff:192.0.2.200", nil},
		{"joe", "joe", "10.9.9.9", ErrCredentials},
		{"joe", "joe", "172.16.0.1", ErrCredentials},
		{"joe", "joe", "2001:db8:1::1", nil},
		{"joe", "joe", "2001:db8:bad::1", ErrCredentials},
		{"joe", "joe", "", nil},
		{"sue", "sue", "10.1.2.3", nil},
		{"SUE", "sue", "203.0.113.7", ErrDenied},
		{"ｓｕｅ", "sue", "203.0.113.7", ErrDenied},
		{"sue", "sue", "", ErrDenied},
		{"joe@example.org", "joe@example.org", "10.1.2.3", nil},
		{"joe@Example.Org", "joe@example.org", "10.2.2.3", ErrDenied},
		{"joe@example.org", "joe@example.org", "", nil},
		{"ann@example.org", "ann@example.org", "2001:db8:1::1", nil},
		{"ann@example.org", "ann@example.org", "10.1.2.3", ErrDenied}, // the domain's rule is for others
		{"ann", "ann@example.org", "10.1.2.3", ErrDenied},             // the account's own name
		{"alias", "real", "10.2.0.1", nil},
		{"alias", "real", "10.3.0.1", ErrDenied},
		{"sue", "other", "203.0.113.7", ErrDenied}, // the name that was typed
	} {
		synctest.Test(t, func(t *testing.T) {
			g := NewGuard(options)
			asked := false
			_, err := g.try(t, from(c.user, c.remote), func(context.Context) (*Account, error) {
				asked = true
				return &Account{Name: c.account}, nil
			})
			if (err == nil) != (c.want == nil) || !errors.Is(err, c.want) || asked != (c.want != ErrCredentials) {
				t.Errorf("%s as %s from %q: %v, want %v; asked is %v", c.user, c.account, c.remote, err, c.want, asked)
			}
		})
	}
}

// A context that ends is obeyed at each wait, and no attempt is left behind.
func TestGuardGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		l := from("joe", "192.0.2.1")
		within := func(d time.Duration, want error, asked bool) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			begin, was := time.Now(), false
			_, err := g.Do(ctx, l, func(context.Context) (*Account, error) { was = true; return nil, ErrCredentials })
			if took := time.Since(begin); !errors.Is(err, want) || took != d || was != asked {
				t.Errorf("%v after %v, asked is %v; want %v after %v", err, took, was, want, d)
			}
		}
		within(time.Second, ErrCredentials, true) // until the refusal is answered
		for range placeLimits[addressPlace].asking {
			go func() { _, _ = g.Do(t.Context(), l, answer(5*time.Second, ErrCredentials)) }()
		}
		time.Sleep(2 * time.Second)
		within(time.Second, ErrTemporary, false) // until its turn
		time.Sleep(10 * time.Second)
		within(time.Second, ErrTemporary, false) // until the penalty is over
		synctest.Wait()
		g.idle(t)
	})
}

// Who hangs up while a source is asked has made an attempt; who hangs up before
// has not.
func TestHangingUpIsNoWayRound(t *testing.T) {
	for _, regular := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := NewGuard(GuardOptions{})
			l := from("joe", "192.0.2.1")
			if regular {
				if _, err := g.try(t, l, answer(0, nil)); err != nil {
					t.Fatal(err)
				}
			}
			hangUp := func(after time.Duration) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				if _, err := g.Do(ctx, l, answer(time.Second, ErrCredentials)); !errors.Is(err, ErrTemporary) {
					t.Errorf("%v, want a fault", err)
				}
			}
			for range 5 {
				hangUp(900 * time.Millisecond)
				time.Sleep(5 * time.Second)
			}
			w := g.throttle.who(l.User, l.Remote)
			here := w.places(regular)[0]
			count := func() float64 { return g.throttle.failed[here.kind].of(here, g.throttle.now()) }
			failed := count()
			hangUp(10 * time.Millisecond) // in its penalty
			if now := count(); failed < 2.5 || now > failed {
				t.Errorf("regular %v: %v failures, then %v", regular, failed, now)
			}
		})
	}
}

func TestGuardSetKeepsWhatItHasLearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		for range 6 {
			_, _ = g.try(t, from("joe", "192.0.2.1"), answer(0, ErrCredentials))
		}
		g.Set(GuardOptions{FailureDelay: time.Second})
		if took, err := g.try(t, from("joe", "192.0.2.1"), answer(0, ErrCredentials)); took != 8*time.Second+time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// A source that panics leaves no attempt under way.
func TestGuardOutlivesAPanic(t *testing.T) {
	g := NewGuard(GuardOptions{})
	func() {
		defer func() { _ = recover() }()
		_, _ = g.Do(t.Context(), from("joe", "192.0.2.1"), func(context.Context) (*Account, error) { panic("source") })
	}()
	g.idle(t)
}

// idle checks that nothing is kept about attempts that are over.
func (g *Guard) idle(t *testing.T) {
	t.Helper()
	th := g.throttle
	th.mu.Lock()
	defer th.mu.Unlock()
	if th.strangers != 0 || th.regulars != 0 || len(th.occupied) != 0 {
		t.Errorf("%d strangers, %d regulars, %d places under way", th.strangers, th.regulars, len(th.occupied))
	}
}
