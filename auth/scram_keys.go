package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"

	"github.com/xdg-go/scram"
)

// Salts makes the salts of users that have none of their own: those whose password
// is kept as it is, and those who do not exist, who must not be told apart from
// others by it. The same name has the same salt as long as the secret is the same.
type Salts struct{ secret [sha256.Size]byte }

// NewSalts makes salts from a secret, which should outlive the process: a salt
// that changes with it is that of a user without one.
func NewSalts(secret []byte) *Salts { return &Salts{sha256.Sum256(secret)} }

// of is a salt of n octets, for all that is looked up as one user.
func (s *Salts) of(kind SCRAM, user string, n int) string {
	var salt []byte
	for block := byte(0); len(salt) < n; block++ {
		salt = append(salt, s.hash([]byte{byte(kind), block}, user)...)
	}
	return string(salt[:n])
}

// number is one for a user and a shape, which no salt tells.
func (s *Salts) number(kind SCRAM, shape scramShape, user string) string {
	const noBlock = 0xFF // salts are shorter
	return s.hash(fmt.Appendf([]byte{byte(kind), noBlock}, "%+v ", shape), user)
}

func (s *Salts) hash(label []byte, user string) string {
	h := hmac.New(sha256.New, s.secret[:])
	h.Write(label)
	h.Write([]byte(foldUser(user)))
	return string(h.Sum(nil))
}

// scramShape is what a client learns of a secret before it has proved anything,
// but for the salt itself, and whether the server has to derive the keys.
type scramShape struct {
	rounds  int32
	salt    uint8 // octets
	derived bool
}

// unknownShape is that of users of whose source no secret is known: what
// [NewHash] makes.
var unknownShape = scramShape{rounds: newSCRAMRounds, salt: newSaltOctets}

// scramShapes are those of the secrets that a source has for a mechanism.
type scramShapes map[scramShape]struct{}

// maxShapes bounds the shapes of a source. A tool that makes secrets gives all of
// them one.
const maxShapes = 16

func (s scramShapes) add(shape scramShape) {
	if len(s) < maxShapes {
		s[shape] = struct{}{}
	}
}

// decoy gives a name that nobody has one of the shapes. It depends on the name and on
// the secret of salts, and changes for few names when a shape comes or goes: each
// shape has a number for the name, and the least counts.
func (s scramShapes) decoy(q keysQuery) scramShape {
	best, least := unknownShape, ""
	for shape := range s {
		number := q.salts.number(q.kind, shape, q.name)
		if least == "" || number < least {
			best, least = shape, number
		}
	}
	return best
}

// shape says what a secret is like for a mechanism that can use it.
func (s secret) shape(kind SCRAM) (shape scramShape, ok bool) {
	switch {
	case s.clear != "":
		return scramShape{derivedRounds, newSaltOctets, true}, true
	case s.scram != nil && s.scram.kind == kind:
		keys := &s.scram.keys
		return scramShape{int32(keys.Iters), uint8(len(keys.Salt)), false}, true
	}
	return scramShape{}, false
}

// keys gives those of a secret for a mechanism that can use it, which its shape
// says.
func (s secret) keys(kind SCRAM, user string, salts *Salts) (scram.StoredCredentials, error) {
	if s.scram != nil {
		return s.scram.keys, nil
	}
	all, err := passwordForms(s.clear)
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	return kind.derive(all[len(all)-1], scram.KeyFactors{Salt: salts.of(kind, user, newSaltOctets), Iters: derivedRounds})
}

// decoyKeys are those of a user who does not exist, which take as long. Nothing
// proves them.
func decoyKeys(kind SCRAM, shape scramShape, user string, salts *Salts) (scram.StoredCredentials, error) {
	s := secret{clear: "decoy"}
	if !shape.derived {
		size := kind.new().Size()
		s.scram = &scramSecret{kind, scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: salts.of(kind, user, int(shape.salt)), Iters: int(shape.rounds)},
			StoredKey:  make([]byte, size), ServerKey: make([]byte, size),
		}}
	}
	keys, err := s.keys(kind, user, salts)
	return unprovable(keys), err
}

// unprovable gives keys that look the same before a proof, and which nothing proves.
func unprovable(keys scram.StoredCredentials) scram.StoredCredentials {
	keys.StoredKey = make([]byte, len(keys.StoredKey)) // another's may be in a table
	rand.Read(keys.StoredKey)                          // never fails
	return keys
}

// keysOf waits for a processor and gives the keys of a user whose secret is of use, or
// else, with nil, a decoy's, which is like one of others. Known says which.
func keysOf(ctx context.Context, q keysQuery, s *secret, others scramShapes) (keys scram.StoredCredentials, known bool, err error) {
	_, waited := try(ctx, func(secret) bool {
		if s != nil {
			keys, err = s.keys(q.kind, q.name, q.salts)
			known = err == nil // or it is a password that nobody can give
		}
		if !known {
			keys, err = decoyKeys(q.kind, others.decoy(q), q.name, q.salts)
		}
		return true
	}, secret{})
	return keys, known, errors.Join(waited, err)
}

// keysQuery is what a source is asked for before a client proves anything.
type keysQuery struct {
	user  string
	name  string // of [SCRAMOptions].Account, for salts
	kind  SCRAM
	salts *Salts
}

// keysSource is a [Source] whose secrets may be of use for SCRAM.
type keysSource interface {
	// scramSecret finds a user's secret, nil if there is none, and the shapes of
	// those that are of use.
	scramSecret(ctx context.Context, q keysQuery) (*secret, scramShapes, error)
}

// scramKeys gives the keys of the first source that has some of the user, or else a
// decoy's, which could be any source's. Each is asked whatever the others have, and
// one with a fault, which is for the end, has no user: who exists shows neither in the
// time nor in the answer.
func (c Chain) scramKeys(ctx context.Context, q keysQuery) (keys scram.StoredCredentials, known bool, fault, err error) {
	var found *secret
	var faults []error
	others := make(scramShapes)
	for i := range c {
		source, ok := c[i].Source.(keysSource)
		if !ok || !c[i].Serves(q.user) {
			continue
		}
		s, shapes, err := source.scramSecret(ctx, q)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", c[i].Name, err))
			continue
		}
		maps.Copy(others, shapes)
		if s == nil || found != nil {
			continue
		}
		if _, ok := s.shape(q.kind); ok {
			found = s
		}
	}
	if len(faults) > 0 {
		fault = all(faults)
	}
	keys, known, err = keysOf(ctx, q, found, others)
	return keys, known, fault, err
}

// proves is a [Proof] of keys: it is right for the secret that has them, since it
// may have changed from the first step to the last.
func proves(q keysQuery, keys scram.StoredCredentials) func(secret) bool {
	return func(s secret) bool {
		if _, ok := s.shape(q.kind); !ok {
			return false
		}
		now, err := s.keys(q.kind, q.name, q.salts)
		return err == nil && now.KeyFactors == keys.KeyFactors && subtle.ConstantTimeCompare(now.StoredKey, keys.StoredKey) == 1
	}
}
