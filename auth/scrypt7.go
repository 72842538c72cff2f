package auth

import (
	"crypto/subtle"
	"strings"

	"github.com/go-crypt/x/scrypt"
	"github.com/go-crypt/x/yescrypt"
)

// parseScrypt7 reads crypt(5)'s form of scrypt, $7$Nrrrrrpppppsalt$key: the
// binary logarithm of N is one character of crypt's base64, r and p are five
// each, the lowest six bits first, and the salt is used as it is written.
func parseScrypt7(parts []string) (secret, error) {
	const header = 1 + 5 + 5
	if len(parts) != 2 || len(parts[0]) < header || !isCryptText(parts[0][:header]) {
		return secret{}, errShape
	}
	setting, salt, encoded := parts[0][:header], []byte(parts[0][header:]), parts[1]
	if err := saltAndKey(string(salt), encoded, maxSaltOctets, 43); err != nil {
		return secret{}, err
	}
	logN, r, p := cryptNumber(setting[:1]), cryptNumber(setting[1:6]), cryptNumber(setting[6:])
	if err := scryptCost(logN, r, p); err != nil {
		return secret{}, err
	}
	key := yescrypt.Decode64([]byte(encoded))
	if len(key) != scryptKeyOctets {
		return secret{}, errShape
	}
	return secret{match: func(password string) bool {
		got, err := scrypt.Key([]byte(password), salt, 1<<logN, int(r), int(p), len(key))
		return err == nil && subtle.ConstantTimeCompare(got, key) == 1
	}}, nil
}

// cryptNumber is the value of digits of crypt's base64, the lowest first.
func cryptNumber(digits string) uint64 {
	n := uint64(0)
	for i := len(digits) - 1; i >= 0; i-- {
		n = n<<6 | uint64(strings.IndexByte(cryptAlphabet, digits[i]))
	}
	return n
}
