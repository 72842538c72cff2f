package auth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/go-crypt/x/yescrypt"
)

// DefaultHashScheme is what Debian hashes passwords with.
const DefaultHashScheme = "yescrypt"

// What a new hash costs. Each takes between 20 and 300 ms of one processor.
const (
	// newYescryptLogN and newYescryptR are the default of libxcrypt, and so of
	// Debian's passwd: N=2^12, r=32, that is 16 MiB.
	newYescryptLogN, newYescryptR = 12, 32

	// newSaltOctets is libxcrypt's default too.
	newSaltOctets = 16

	// newSHACryptRounds is 20 times the default of crypt(5), which dates from 2007.
	newSHACryptRounds = 100_000

	// newBcryptCost is some times the 5 of crypt(5), as bcrypt is the weakest of
	// these against graphics processors.
	newBcryptCost = 12

	// maxBcryptOctets is how much of a password bcrypt takes in.
	maxBcryptOctets = 72
)

// newHashes are the schemes that hashes are made in, each with the mark that its
// hash gets.
var newHashes = map[string]struct {
	mark string
	hash func(password string) (string, error)
}{
	"yescrypt":     {"{CRYPT}", newYescrypt},
	"argon2id":     {"{ARGON2ID}", newArgon2},
	"sha512-crypt": {"{SHA512-CRYPT}", newSHACrypt},
	"bcrypt":       {"{BLF-CRYPT}", newBcrypt},

	"scram-sha-1":   {"{SCRAM-SHA-1}", newSCRAM(SCRAMSHA1)},
	"scram-sha-256": {"{SCRAM-SHA-256}", newSCRAM(SCRAMSHA256)},
}

// NewHash gives a password field for a password: yescrypt, argon2id,
// sha512-crypt, bcrypt, scram-sha-1 or scram-sha-256, marked with a {SCHEME} that
// Dovecot reads too. "" is [DefaultHashScheme]; case does not count. It refuses
// passwords that nobody could log in with. Errors quote neither argument.
func NewHash(scheme, password string) (string, error) {
	if scheme == "" {
		scheme = DefaultHashScheme
	}
	kind, ok := newHashes[strings.ToLower(scheme)]
	if !ok {
		return "", errors.New("unknown scheme for a hash: expected yescrypt, argon2id, sha512-crypt, bcrypt, scram-sha-1 or scram-sha-256")
	}
	if _, err := passwordForms(password); err != nil {
		return "", err
	}
	hash, err := kind.hash(password)
	if err != nil {
		return "", err
	}
	return kind.mark + hash, nil
}

func newYescrypt(password string) (string, error) {
	salt := make([]byte, newSaltOctets)
	rand.Read(salt) // never fails
	const noFlags = 0
	setting := fmt.Sprintf("$y$%s$%s", yescrypt.EncodeSetting(noFlags, newYescryptLogN, newYescryptR), yescrypt.Encode64(salt))
	hash, err := yescrypt.Hash([]byte(password), []byte(setting))
	return string(hash), err
}

// newArgon2 takes the second choice of RFC 9106, section 4: 64 MiB, 3 passes, 4
// lanes. The first takes 2 GiB.
func newArgon2(password string) (string, error) {
	hasher, err := argon2.New(argon2.WithProfileRFC9106LowMemory())
	if err != nil {
		return "", err
	}
	return encoded(hasher, password)
}

func newSHACrypt(password string) (string, error) {
	hasher, err := shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithRounds(newSHACryptRounds))
	if err != nil {
		return "", err
	}
	return encoded(hasher, password)
}

func newBcrypt(password string) (string, error) {
	if len(password) > maxBcryptOctets {
		return "", fmt.Errorf("password is longer than the %d octets that bcrypt takes in: choose another scheme", maxBcryptOctets)
	}
	hasher, err := bcrypt.New(bcrypt.WithCost(newBcryptCost))
	if err != nil {
		return "", err
	}
	return encoded(hasher, password)
}

func encoded(hasher algorithm.Hash, password string) (string, error) {
	digest, err := hasher.Hash(password)
	if err != nil {
		return "", err
	}
	return digest.Encode(), nil
}
