package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// named is a source that has one account, whatever name it is asked for by.
func named(name string) func(context.Context) (*Account, error) {
	return func(context.Context) (*Account, error) { return &Account{Name: name}, nil }
}

// Somebody who has an account with many names, as one with an extension has
// (me+1@example.org, me+2@example.org), does not have his failures forgiven under
// each of them.
func TestNamesOfOneAccountForgiveOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		const attacker = "192.0.2.1"
		delayed := 0
		for n := range 40 {
			if g.seconds(t, from(fmt.Sprint("victim", n), attacker)) > 0 {
				delayed++
			}
			if _, err := g.try(t, from(fmt.Sprintf("me+%d@example.org", n), attacker), named("me@example.org")); err != nil {
				t.Fatal(err)
			}
		}
		if delayed < 20 {
			t.Errorf("%d of 40 guesses were delayed", delayed)
		}
	})
}

// Nor does he push out where others are known.
func TestNamesOfOneAccountTakeOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{})
		if _, err := g.try(t, from("joe", "203.0.113.1"), named("joe")); err != nil {
			t.Fatal(err)
		}
		for n := range maxKnownAccounts {
			if _, err := g.try(t, from(fmt.Sprintf("me+%d@example.org", n), "192.0.2.1"), named("me@example.org")); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 20 {
			g.seconds(t, from("joe", fmt.Sprintf("198.51.100.%d", n)))
		}
		if took, err := g.try(t, from("joe", "203.0.113.1"), named("joe")); err != nil || took != 0 {
			t.Errorf("joe, at home, waits %v: %v", took, err)
		}
		if took, err := g.try(t, from("joe", "203.0.113.2"), named("joe")); err != nil || took < 8*time.Second {
			t.Errorf("joe, elsewhere, waits %v: %v", took, err)
		}
	})
}

// Guesses at an account from many addresses count together, whatever name of it is
// tried, where its names are known.
func TestNamesOfOneAccountAreGuessedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{Account: func(_ context.Context, user string) string {
			local, domain := splitUser(user)
			local, _, _ = strings.Cut(local, "+")
			return local + "@" + domain
		}})
		if _, err := g.try(t, from("joe+home@example.org", "203.0.113.1"), named("joe@example.org")); err != nil {
			t.Fatal(err)
		}
		var got []int
		for n := range growing {
			got = append(got, g.seconds(t, from(fmt.Sprintf("joe+%d@example.org", n), fmt.Sprintf("192.0.2.%d", n))))
		}
		if !slices.Equal(got, growing) {
			t.Errorf("delays of %v, want %v", got, growing)
		}
		if took, err := g.try(t, from("joe@example.org", "203.0.113.1"), named("joe@example.org")); err != nil || took != 0 {
			t.Errorf("joe, at home, waits %v: %v", took, err)
		}
	})
}
