package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// fixed is a source that answers every login with one error, or, without, with an
// account of a name.
type fixed struct {
	name string
	err  error
}

func (f fixed) Verify(context.Context, Login) (*Account, error) {
	return f.Account(context.Background(), "")
}

func (f fixed) Account(context.Context, string) (*Account, error) {
	if f.err != nil {
		return nil, fmt.Errorf("%s says: %w", f.name, f.err)
	}
	return &Account{Name: f.name}, nil
}

func TestChain(t *testing.T) {
	a, b := fixed{name: "a"}, fixed{name: "b"}
	wrong, denied := fixed{"wrong", ErrCredentials}, fixed{"denied", ErrDenied}
	unknown := fixed{"unknown", ErrUnknown}
	down, broken := fixed{"down", ErrTemporary}, fixed{"broken", ErrPermanent}
	only := func(s Source, domains ...string) Binding { return Binding{"only", s, domains} }
	all := func(sources ...Source) (c Chain) {
		for _, s := range sources {
			c = append(c, Binding{Name: "all", Source: s})
		}
		return c
	}
	for _, tt := range []struct {
		about string
		chain Chain
		user  string
		want  string // the account
		err   error
	}{
		{about: "the first right one", chain: all(a, b), want: "a"},
		{about: "one after a wrong one", chain: all(wrong, b), want: "b"},
		{about: "one after an unknown one", chain: all(unknown, b), want: "b"},
		{about: "one after one that is down", chain: all(down, b), want: "b"},
		{about: "a right password that is denied", chain: all(denied, b), err: ErrDenied},
		{about: "a fault before a refusal", chain: all(down, wrong), err: ErrTemporary},
		{about: "a fault after a refusal", chain: all(wrong, broken), err: ErrPermanent},
		{about: "refusals", chain: all(unknown, wrong), err: ErrCredentials},
		{about: "no source", err: ErrCredentials},
		{about: "a domain", chain: Chain{only(a, "x.org"), only(b, "y.org")}, user: "joe@Y.org", want: "b"},
		{about: "no domain", chain: Chain{only(a, "x.org"), only(b, "")}, user: "joe", want: "b"},
		{about: "the last at sign", chain: Chain{only(a, "x.org"), only(b, "y.org")}, user: "joe@x.org@y.org", want: "b"},
		{about: "another domain", chain: Chain{only(a, "x.org"), only(b, "")}, user: "joe@y.org", err: ErrCredentials},
	} {
		account, err := tt.chain.Verify(t.Context(), Login{User: tt.user})
		if (tt.err == nil) != (err == nil) || !errors.Is(err, tt.err) || err == nil && account.Name != tt.want {
			t.Errorf("%s: %+v, error %v, want %q, error %v", tt.about, account, err, tt.want, tt.err)
		}
		if tt.err == ErrTemporary && errors.Is(err, ErrCredentials) {
			t.Errorf("%s: %v is a refusal as well", tt.about, err)
		}
		other, err2 := tt.chain.Account(t.Context(), tt.user)
		if (err2 == nil) != (err == nil) || err == nil && other.Name != account.Name {
			t.Errorf("%s: without a password %+v, error %v", tt.about, other, err2)
		}
	}
	_, err := all(unknown, wrong).Verify(t.Context(), Login{})
	for _, part := range []string{"all: unknown says", "all: wrong says"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not have %q", err, part)
		}
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than a line of the log", err)
	}
}
