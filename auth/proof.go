package auth

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
)

// Proof is what a client sends in place of a password, to show that it has it. The
// zero value proves nothing.
type Proof struct{ right func(secret) bool }

// NewAPOP makes a proof of an APOP digest: the MD5 of timestamp and password, in
// hexadecimal (RFC 1939, section 7). It is right only for a password that is kept
// as it is, with {PLAIN}, {CLEAR} or {CLEARTEXT}.
func NewAPOP(timestamp, digest string) (*Proof, error) {
	got, err := hex.DecodeString(digest)
	if err != nil {
		return nil, fmt.Errorf("%w: APOP digest is not hexadecimal", ErrCredentials)
	}
	return &Proof{func(s secret) bool {
		want := md5.Sum([]byte(timestamp + s.clear))
		return subtle.ConstantTimeCompare(got, want[:]) == 1 && s.clear != ""
	}}, nil
}

// newCRAMMD5 makes a proof of a digest of CRAM-MD5 (RFC 2195, section 2): the
// keyed MD5 of the challenge, with the password as its key.
func newCRAMMD5(challenge string, digest []byte) *Proof {
	return &Proof{func(s secret) bool {
		h := hmac.New(md5.New, []byte(s.clear))
		h.Write([]byte(challenge))
		return subtle.ConstantTimeCompare(digest, h.Sum(nil)) == 1 && s.clear != ""
	}}
}

// match is what the secret has to be right for.
func (l *Login) match() (func(secret) bool, error) {
	if l.Proof != nil {
		return func(s secret) bool { return l.Proof.right != nil && l.Proof.right(s) }, nil
	}
	passwords, err := passwordForms(l.Password)
	if err != nil {
		return nil, err
	}
	return anyOf(passwords), nil
}

// Form is how a source can keep passwords so that mechanisms can use them that do
// not send them.
type Form int

const (
	FormClear       Form = iota // as they are, for CRAM-MD5 and APOP
	FormSCRAMSHA1               // as they are or as the keys of SCRAM-SHA-1
	FormSCRAMSHA256             // as they are or as the keys of SCRAM-SHA-256

	countForms = 3
)

// scram is the mechanism that a form is for.
func (f Form) scram() (kind SCRAM, ok bool) { return SCRAM(f - FormSCRAMSHA1), f != FormClear }

// Extent is how many of those who can log in have their password in a form.
type Extent int

const (
	None Extent = iota // nobody, as far as is known
	Some               // somebody
	All                // everybody
)

// holder is a [Source] that knows in which forms it has passwords.
type holder interface{ Holds(Form) Extent }

// Holds says how many have their password in a form, in all sources together.
func (c Chain) Holds(f Form) Extent {
	extents := make(map[Extent]bool)
	for i := range c {
		held := None
		if source, ok := c[i].Source.(holder); ok {
			held = source.Holds(f)
		}
		extents[held] = true
	}
	switch {
	case extents[All] && len(extents) == 1:
		return All
	case extents[All] || extents[Some]:
		return Some
	}
	return None
}

// matchField says whether a password field is right for a login. One that is
// locked, such as "!", takes as long as another and never is. The error wraps
// [ErrPermanent] for a field that is malformed, and [ErrTemporary] where ctx ends.
func matchField(ctx context.Context, field string, match func(secret) bool) (right bool, s secret, err error) {
	s, err = parseSecret(field)
	locked := err == errLocked
	if locked {
		s = defaultDecoy
	} else if err != nil {
		return false, secret{}, fmt.Errorf("%w: %w", ErrPermanent, err)
	}
	if right, err = try(ctx, match, s); err != nil {
		return false, secret{}, err
	}
	return right && !locked, s, nil
}
