package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"sidepop/auth"
)

// Keys reads or fetches the issuer's keys anew, for an operator's check: how many can
// be used, and for signatures with which algorithms. Both are empty where tokens are
// only asked about. Errors are those of [Validator.Validate].
func (v *Validator) Keys() (keys int, algorithms []jose.SignatureAlgorithm, err error) {
	if v.keys == nil {
		return 0, nil, nil
	}
	set, err := v.keys.load()
	if err != nil {
		return 0, nil, fmt.Errorf("keys of the issuer: %w", err)
	}
	return len(set.keys), set.algorithms(), nil
}

// algorithms are those that a key of the set is for.
func (s *keySet) algorithms() (all []jose.SignatureAlgorithm) {
	for _, algorithm := range algorithms {
		for i := range s.keys {
			if fits(&s.keys[i], algorithm) {
				all = append(all, algorithm)
				break
			}
		}
	}
	return all
}

// Asks says whether tokens are asked about.
func (v *Validator) Asks() bool { return v.introspect != nil }

// Ask asks the authorization server about a token that nobody has, for an operator's
// check. It fails unless the answer is that the token is not active.
func (v *Validator) Ask(ctx context.Context) error {
	_, err := v.introspect.ask(ctx, "sidepop-check-"+rand.Text())
	switch {
	case err == nil:
		return fmt.Errorf("%w: introspection at %s: a token that nobody has is said to be active", auth.ErrPermanent, v.options.IntrospectionURL)
	case errors.Is(err, auth.ErrCredentials):
		return nil
	}
	return err
}
