package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"math"

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
		h := hmac.New(sha256.New, s.secret[:])
		h.Write([]byte{byte(kind), block})
		h.Write([]byte(foldUser(user)))
		salt = h.Sum(salt)
	}
	return string(salt[:n])
}

// scramShape is what a client learns of a secret before it has proved anything,
// but for the salt itself, and whether the server has to derive the keys.
type scramShape struct {
	Rounds  int32
	Salt    uint8 // octets
	Derived bool
}

// unknownShape is that of users of whose source no secret is known: what
// [NewHash] makes.
var unknownShape = scramShape{Rounds: newSCRAMRounds, Salt: newSaltOctets}

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

// scramShapes is how many secrets there are of each shape.
type scramShapes map[scramShape]int

// of is the shape of a decoy: for each name always the same one, whatever process is
// asked, and each shape as often as secrets have it. As secrets come and go few names
// change theirs (weighted rendezvous hashing): one that does is nobody's.
func (n scramShapes) of(q keysQuery) scramShape {
	best, highest := unknownShape, math.Inf(-1)
	for shape, weight := range n {
		h := hmac.New(sha256.New, q.salts.secret[:])
		_ = binary.Write(h, binary.BigEndian, shape) // of fixed size
		h.Write([]byte("shape"))
		h.Write([]byte{byte(q.kind)})
		h.Write([]byte(foldUser(q.name)))
		const bits = 53 // of a float64 from 0 to 1, neither of which it is
		uniform := (float64(binary.BigEndian.Uint64(h.Sum(nil))>>(64-bits)) + 0.5) / (1 << bits)
		if score := float64(weight) / -math.Log(uniform); score > highest {
			best, highest = shape, score
		}
	}
	return best
}

// decoyKeys are those of a user who does not exist, which take as long. Nothing
// proves them.
func decoyKeys(q keysQuery, shape scramShape) (scram.StoredCredentials, error) {
	s := secret{clear: "decoy"}
	if !shape.Derived {
		size := q.kind.new().Size()
		s.scram = &scramSecret{q.kind, scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: q.salts.of(q.kind, q.name, int(shape.Salt)), Iters: int(shape.Rounds)},
			StoredKey:  make([]byte, size), ServerKey: make([]byte, size),
		}}
	}
	keys, err := s.keys(q.kind, q.name, q.salts)
	rand.Read(keys.StoredKey) // never fails
	return keys, err
}

// keysOf waits for a processor and gives the keys of a secret, or, where there is none
// that is of use, a decoy's.
func keysOf(ctx context.Context, q keysQuery, s *secret, like scramShapes) (keys scram.StoredCredentials, err error) {
	_, waited := try(ctx, func(secret) bool {
		if s != nil {
			keys, err = s.keys(q.kind, q.name, q.salts)
		}
		if s == nil || err != nil { // or it is a password that nobody can give
			keys, err = decoyKeys(q, like.of(q))
		}
		return true
	}, secret{})
	return keys, errors.Join(waited, err)
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
	// scramSecret finds the secret of a user, nil where there is none of use for the
	// mechanism, and says which of use there are. An error has nothing to do with
	// which users there are.
	scramSecret(ctx context.Context, q keysQuery) (s *secret, like scramShapes, err error)
}

// useful is a secret if it is of use for a mechanism, else nil.
func (s secret) useful(kind SCRAM) *secret {
	if _, ok := s.shape(kind); !ok {
		return nil
	}
	return &s
}

// scramSecret implements [keysSource]: the first of a user's secrets counts. All
// sources are asked in any case, so that who is in the first is found no faster.
func (c Chain) scramSecret(ctx context.Context, q keysQuery) (s *secret, like scramShapes, err error) {
	like = make(scramShapes)
	for i := range c {
		source, ok := c[i].Source.(keysSource)
		if !ok || !c[i].Serves(q.user) {
			continue
		}
		found, its, fault := source.scramSecret(ctx, q)
		if err == nil {
			err = fault
		}
		if s == nil {
			s = found
		}
		for shape, n := range its {
			like[shape] += n
		}
	}
	if s != nil {
		return s, like, nil
	}
	return nil, like, err
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
