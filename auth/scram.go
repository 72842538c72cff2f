package auth

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"

	"github.com/xdg-go/scram"
)

// SCRAM is the hash function of a SCRAM mechanism (RFC 5802).
type SCRAM int

const (
	SCRAMSHA1   SCRAM = iota // SCRAM-SHA-1 (RFC 5802)
	SCRAMSHA256              // SCRAM-SHA-256 (RFC 7677)

	scrams = 2
)

func (k SCRAM) new() hash.Hash {
	if k == SCRAMSHA1 {
		return sha1.New()
	}
	return sha256.New()
}

// String is the mechanism's name, without -PLUS.
func (k SCRAM) String() string {
	return [scrams]string{"SCRAM-SHA-1", "SCRAM-SHA-256"}[k]
}

const (
	// newSCRAMRounds makes a hash that costs a thief some 20 ms for each guess.
	// Clients pay it too, at each login: RFC 7677, section 4 has 4,096 as the least.
	newSCRAMRounds = 65536

	// derivedRounds are for the keys of a password that is kept as it is: nothing
	// is stored that they could protect, and the server pays for them.
	derivedRounds = 4096
)

// postgresSCRAM begins PostgreSQL's form of a SCRAM secret.
const postgresSCRAM = "SCRAM-SHA-256$"

// scramSecret is a password field with the keys of one mechanism.
type scramSecret struct {
	kind SCRAM
	keys scram.StoredCredentials
}

// parseSCRAM reads Dovecot's form of a SCRAM secret (RFC 5802, section 3):
// rounds,salt,StoredKey,ServerKey, all but the rounds in base64.
func parseSCRAM(kind SCRAM) func(string) (secret, error) {
	return func(data string) (secret, error) {
		parts := strings.Split(data, ",")
		if len(parts) != 4 {
			return secret{}, errShape
		}
		return scramField(kind, parts[0], parts[1], parts[2], parts[3])
	}
}

// parsePostgresSCRAM reads SCRAM-SHA-256$rounds:salt$StoredKey:ServerKey, the
// form of pg_authid.
func parsePostgresSCRAM(field string) (secret, error) {
	factors, keys, _ := strings.Cut(strings.TrimPrefix(field, postgresSCRAM), "$")
	rounds, salt, _ := strings.Cut(factors, ":")
	storedKey, serverKey, _ := strings.Cut(keys, ":")
	return scramField(SCRAMSHA256, rounds, salt, storedKey, serverKey)
}

func scramField(kind SCRAM, rounds, salt, storedKey, serverKey string) (secret, error) {
	n, err := bounded(rounds, 1, maxRounds)
	if err != nil {
		return secret{}, err
	}
	var raw [3][]byte
	for i, text := range []string{salt, storedKey, serverKey} {
		if raw[i], err = decodeBase64(text); err != nil {
			return secret{}, errShape
		}
	}
	size := kind.new().Size()
	if len(raw[0]) > maxSaltOctets || len(raw[1]) != size || len(raw[2]) != size {
		return secret{}, errShape
	}
	keys := scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(raw[0]), Iters: int(n)},
		StoredKey:  raw[1], ServerKey: raw[2],
	}
	return secret{
		scram: &scramSecret{kind, keys},
		match: func(password string) bool {
			got, err := kind.derive(password, keys.KeyFactors)
			return err == nil && subtle.ConstantTimeCompare(got.StoredKey, keys.StoredKey) == 1
		},
	}, nil
}

// derive computes the keys of a password, which is taken as it is.
func (k SCRAM) derive(password string, factors scram.KeyFactors) (scram.StoredCredentials, error) {
	client, err := scram.HashGeneratorFcn(k.new).NewClientUnprepped("", password, "")
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	return client.GetStoredCredentialsWithError(factors)
}

// newSCRAM makes the data after a {SCHEME}. Clients prepare passwords, so the
// prepared form is what is stored.
func newSCRAM(kind SCRAM) func(password string) (string, error) {
	return func(password string) (string, error) {
		all, err := passwordForms(password)
		if err != nil {
			return "", err
		}
		salt := make([]byte, newSaltOctets)
		rand.Read(salt) // never fails
		keys, err := kind.derive(all[len(all)-1], scram.KeyFactors{Salt: string(salt), Iters: newSCRAMRounds})
		if err != nil {
			return "", err
		}
		b64 := base64.StdEncoding.EncodeToString
		return fmt.Sprintf("%d,%s,%s,%s", keys.Iters, b64(salt), b64(keys.StoredKey), b64(keys.ServerKey)), nil
	}
}
