package auth

import (
	"cmp"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/sha1crypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/go-crypt/x/yescrypt"
)

// Limits on what checking one password may cost: about a second of one
// processor at the limit. A hash beyond them is malformed.
const (
	// minBcryptCost and maxBcryptCost bound the binary logarithm of bcrypt's
	// rounds. Below 4 the algorithm is not defined; usual are 5 to 12.
	minBcryptCost, maxBcryptCost = 4, 14

	// minSHACryptRounds is the specification's minimum. maxSHACryptRounds
	// leaves room for the 656,000 rounds that Python's passlib uses.
	minSHACryptRounds, maxSHACryptRounds = 1000, 1_000_000

	// maxRounds bounds PBKDF2, in SCRAM too, and sha1crypt. Usual are up to
	// 1,300,000.
	maxRounds = 2_000_000

	// maxArgon2KiB is the memory, maxArgon2Work the memory times the passes:
	// what Dovecot takes by default, 256 MiB and 3 passes.
	maxArgon2KiB  = 256 * 1024
	maxArgon2Work = 3 * maxArgon2KiB

	// maxArgon2Lanes bounds the goroutines of one argon2 hash.
	maxArgon2Lanes = 16

	// maxScryptOctets is the memory of scrypt and yescrypt, for scrypt times
	// the passes p: N=2^17, r=8. Debian's yescrypt takes 16 MiB.
	maxScryptOctets = 128 << 20

	// maxSaltOctets bounds salts whose format leaves their length open, and
	// minKeyOctets and maxKeyOctets argon2's keys.
	maxSaltOctets              = 128
	minKeyOctets, maxKeyOctets = 16, 128

	// scryptKeyOctets is the only length of key in use.
	scryptKeyOctets = 32
)

// cryptFormat is one kind of $identifier$... hash that the library reads, as
// crypt(5) and passlib name them.
type cryptFormat struct {
	decode algorithm.DecodeFunc

	// check gets the parts after the identifier and refuses what is beyond a
	// limit or what the decoder would take too lightly.
	check func(parts []string) error
}

var cryptFormats = map[string]cryptFormat{
	"1":             {md5crypt.Decode, checkMD5Crypt},
	"2a":            {bcrypt.Decode, checkBcrypt},
	"2b":            {bcrypt.Decode, checkBcrypt},
	"2y":            {bcrypt.Decode, checkBcrypt},
	"5":             {shacrypt.Decode, checkSHACrypt(43)},
	"6":             {shacrypt.Decode, checkSHACrypt(86)},
	"y":             {scrypt.Decode, checkYescrypt},
	"scrypt":        {scrypt.Decode, checkScrypt},
	"sha1":          {sha1crypt.Decode, checkSHA1Crypt},
	"argon2i":       {argon2.Decode, checkArgon2},
	"argon2d":       {argon2.Decode, checkArgon2},
	"argon2id":      {argon2.Decode, checkArgon2},
	"pbkdf2":        {pbkdf2.Decode, checkPBKDF2(20)},
	"pbkdf2-sha256": {pbkdf2.Decode, checkPBKDF2(32)},
	"pbkdf2-sha512": {pbkdf2.Decode, checkPBKDF2(64)},
}

// The reasons why a hash is malformed. Decoders' own errors are not passed on:
// they quote the hash.
var (
	errShape     = errors.New("hash is truncated or malformed")
	errExpensive = errors.New("hash has a cost parameter beyond what is allowed: give the user a new password")
	errDES       = errors.New("traditional DES crypt is not supported: give the user a new password")
	errCrypt     = errors.New("hash is of a kind that is not supported: give the user a new password")
)

// parseCrypt reads a $identifier$... hash.
func parseCrypt(hash string) (secret, error) {
	if isDESCrypt(hash) {
		return secret{}, errDES
	}
	parts := strings.Split(hash, "$")
	if len(parts) < 3 || parts[0] != "" {
		return secret{}, errShape
	}
	if parts[1] == "7" {
		return parseScrypt7(parts[2:])
	}
	format, ok := cryptFormats[parts[1]]
	if !ok {
		return secret{}, errCrypt
	}
	if err := format.check(parts[2:]); err != nil {
		return secret{}, err
	}
	digest, err := format.decode(hash)
	if err != nil {
		return secret{}, errShape
	}
	return secret{match: digest.Match}, nil
}

// isDESCrypt recognizes crypt(3)'s oldest form: two characters of salt, eleven
// of hash, no mark.
func isDESCrypt(hash string) bool { return len(hash) == 13 && isCryptText(hash) }

// cryptAlphabet are the digits of crypt's base64.
const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func isCryptText(s string) bool { return strings.Trim(s, cryptAlphabet) == "" }

// bounded reads a decimal number that must lie within limits.
func bounded(text string, least, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errExpensive
	case err != nil || n < least:
		return 0, errShape
	case n > most:
		return 0, errExpensive
	}
	return n, nil
}

// saltAndKey checks a salt's length and a key in crypt's base64.
func saltAndKey(salt, key string, maxSalt, keyLength int) error {
	if len(salt) > maxSalt || len(key) != keyLength || !isCryptText(key) {
		return errShape
	}
	return nil
}

func checkMD5Crypt(parts []string) error {
	if len(parts) != 2 {
		return errShape
	}
	return saltAndKey(parts[0], parts[1], 8, 22)
}

func checkBcrypt(parts []string) error {
	if len(parts) != 2 || len(parts[0]) != 2 {
		return errShape
	}
	_, err := bounded(parts[0], minBcryptCost, maxBcryptCost)
	return cmp.Or(err, saltAndKey("", parts[1], 0, 53))
}

func checkSHACrypt(keyLength int) func(parts []string) error {
	return func(parts []string) error {
		if rounds, ok := strings.CutPrefix(parts[0], "rounds="); ok {
			if _, err := bounded(rounds, minSHACryptRounds, maxSHACryptRounds); err != nil {
				return err
			}
			parts = parts[1:]
		}
		if len(parts) != 2 {
			return errShape
		}
		return saltAndKey(parts[0], parts[1], 16, keyLength)
	}
}

func checkSHA1Crypt(parts []string) error {
	if len(parts) != 3 {
		return errShape
	}
	if _, err := bounded(parts[0], 1, maxRounds); err != nil {
		return err
	}
	return saltAndKey(parts[1], parts[2], 64, 28)
}

// parameters reads "m=1024,t=2,p=1": exactly these keys, in any order.
func parameters(text string, keys ...string) (map[string]uint64, error) {
	fields := strings.Split(text, ",")
	values := make(map[string]uint64, len(keys))
	for _, field := range fields {
		key, number, _ := strings.Cut(field, "=")
		n, err := bounded(number, 1, 1<<32-1)
		if err != nil {
			return nil, err
		}
		values[key] = n
	}
	for _, key := range keys {
		if values[key] == 0 {
			return nil, errShape
		}
	}
	if len(fields) != len(keys) {
		return nil, errShape
	}
	return values, nil
}

// base64SaltAndKey checks the lengths in octets of a salt and a key in base64.
func base64SaltAndKey(salt, key string, leastKey, mostKey int) error {
	size := base64.RawStdEncoding.DecodedLen(len(key))
	if base64.RawStdEncoding.DecodedLen(len(salt)) > maxSaltOctets || size < leastKey || size > mostKey {
		return errShape
	}
	return nil
}

func checkArgon2(parts []string) error {
	if len(parts) != 4 || parts[0] != "v=19" {
		return errShape
	}
	p, err := parameters(parts[1], "m", "t", "p")
	if err != nil {
		return err
	}
	if p["p"] > maxArgon2Lanes || p["m"] > maxArgon2KiB || p["t"]*max(p["m"], 8*p["p"]) > maxArgon2Work {
		return errExpensive
	}
	return base64SaltAndKey(parts[2], parts[3], minKeyOctets, maxKeyOctets)
}

func checkPBKDF2(size int) func(parts []string) error {
	return func(parts []string) error {
		if len(parts) != 3 {
			return errShape
		}
		_, err := bounded(parts[0], 1, maxRounds)
		return cmp.Or(err, base64SaltAndKey(parts[1], parts[2], size, size))
	}
}

func checkScrypt(parts []string) error {
	if len(parts) != 3 {
		return errShape
	}
	p, err := parameters(parts[0], "ln", "r", "p")
	if err != nil {
		return err
	}
	return cmp.Or(scryptCost(p["ln"], p["r"], p["p"]), base64SaltAndKey(parts[1], parts[2], scryptKeyOctets, scryptKeyOctets))
}

// scryptCost bounds N = 2^logN, r and p.
func scryptCost(logN, r, p uint64) error {
	const ceiling = maxScryptOctets / 128
	if logN == 0 || r == 0 || p == 0 {
		return errShape
	}
	if logN > 32 || r > ceiling || p > ceiling || 1<<logN*r > ceiling || 1<<logN*r*p > ceiling {
		return errExpensive
	}
	return nil
}

// checkYescrypt accepts what libxcrypt writes by default: no flags but the
// usual ones ("j"), then N and r, one character each.
func checkYescrypt(parts []string) error {
	if len(parts) != 3 || len(parts[0]) != 3 || parts[0][0] != 'j' || !isCryptText(parts[0]) {
		return errShape
	}
	logN, r := cryptNumber(parts[0][1:2])+1, cryptNumber(parts[0][2:3])+1
	if parts[1] != "" && yescrypt.Decode64([]byte(parts[1])) == nil {
		return errShape
	}
	return cmp.Or(scryptCost(logN, r, 1), saltAndKey(parts[1], parts[2], 86, 43))
}
