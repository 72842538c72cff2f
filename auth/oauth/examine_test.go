package oauth

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"sidepop/auth"
)

// TestKeys has sets of keys beside what an operator is told of them.
func TestKeys(t *testing.T) {
	const all = "5 [RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA]"
	for _, c := range []struct {
		name, set string
		want      string
		err       error
	}{
		{"all kinds", set(t, allKeys...), all, nil},
		{"one curve", set(t, "p384"), "1 [ES384]", nil},
		{"two of a kind, and one that is too weak", set(t, "ed", "ed", "weak"), "2 [EdDSA]", nil},
		{"none of use", set(t, "weak"), "", auth.ErrPermanent},
		{"nonsense", "<html>", "", auth.ErrPermanent},
	} {
		n := &transport{answer: says(200, c.set)}
		for where, v := range map[string]*Validator{
			"file": validator(t, func(o *Options) { o.JWKSFile = keyFile(t, c.set) }),
			"URL":  remote(t, n, nil),
		} {
			keys, algorithms, err := v.Keys()
			want := c.err
			if want != nil && where == "URL" {
				want = auth.ErrTemporary
			}
			if got := fmt.Sprint(keys, " ", algorithms); !errors.Is(err, want) || (err == nil) != (want == nil) || err == nil && got != c.want {
				t.Errorf("%s, %s: %s, %v; want %s, %v", c.name, where, got, err, c.want, want)
			}
		}
		if got := n.count(); got != 1 {
			t.Errorf("%s: fetched %d times", c.name, got)
		}
	}
	if _, _, err := remote(t, &transport{answer: fails}, nil).Keys(); !errors.Is(err, auth.ErrTemporary) {
		t.Errorf("nobody answers: %v", err)
	}
}

// TestAsk has answers about a token that nobody has beside what is made of them.
func TestAsk(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   error
	}{
		{200, `{"active":false}`, nil},
		{200, `{"active":true,"iss":"x"}`, auth.ErrPermanent},
		{200, `{}`, auth.ErrTemporary},
		{401, `{}`, auth.ErrPermanent},
		{500, `{}`, auth.ErrTemporary},
	} {
		v := asking(t, &transport{answer: says(c.status, c.body)}, nil)
		if keys, algorithms, err := v.Keys(); keys != 0 || algorithms != nil || err != nil || !v.Asks() {
			t.Errorf("%d keys, %v, %v, %v", keys, algorithms, err, v.Asks())
		}
		err := v.Ask(t.Context())
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err != nil && strings.Contains(err.Error(), "sidepop-check") {
			t.Errorf("%d %s: %v, want %v", c.status, c.body, err, c.want)
		}
	}
	if validator(t, nil).Asks() {
		t.Error("keys in a file are asked about")
	}
}
