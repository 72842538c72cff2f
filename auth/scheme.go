package auth

import (
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
)

// secret is what an account's password field says.
type secret struct {
	// match says whether a password is the right one, in a time that depends
	// on the password's length and on the field alone.
	match func(password string) bool

	// clear is the password itself where the field holds it as it is, else "".
	clear string

	// scram are the keys of a SCRAM mechanism where the field holds these, else nil.
	scram *scramSecret
}

// encoding is how the data after a {SCHEME} is written.
type encoding int

const (
	asIs    encoding = iota // the text itself
	isHex                   // hexadecimal, either case
	isB64                   // base64, with or without padding
	byWidth                 // isHex if it has that length for the scheme's digest, else isB64
)

// scheme reads the data of one {SCHEME}. The names, their encodings and the
// guess by length are those of Dovecot ("Password Schemes").
type scheme struct {
	encoding encoding
	parse    func(data string) (secret, error)
	size     int // octets of an unsalted digest, for byWidth
}

var schemes = map[string]scheme{
	"PLAIN":     {asIs, parseClear, 0},
	"CLEAR":     {asIs, parseClear, 0},
	"CLEARTEXT": {asIs, parseClear, 0},

	"CRYPT":        {asIs, parseCrypt, 0},
	"BLF-CRYPT":    {asIs, parseCrypt, 0},
	"MD5-CRYPT":    {asIs, parseCrypt, 0},
	"SHA256-CRYPT": {asIs, parseCrypt, 0},
	"SHA512-CRYPT": {asIs, parseCrypt, 0},
	"ARGON2I":      {asIs, parseCrypt, 0},
	"ARGON2ID":     {asIs, parseCrypt, 0},

	"PLAIN-MD5": {byWidth, unsalted(md5.New), md5.Size},
	"LDAP-MD5":  {byWidth, unsalted(md5.New), md5.Size},
	"SHA":       {byWidth, unsalted(sha1.New), sha1.Size},
	"SHA1":      {byWidth, unsalted(sha1.New), sha1.Size},
	"SHA256":    {byWidth, unsalted(sha256.New), sha256.Size},
	"SHA512":    {byWidth, unsalted(sha512.New), sha512.Size},

	"SMD5":    {isB64, salted(md5.New), 0},
	"SSHA":    {isB64, salted(sha1.New), 0},
	"SSHA256": {isB64, salted(sha256.New), 0},
	"SSHA512": {isB64, salted(sha512.New), 0},

	"PBKDF2":        {asIs, parsePBKDF2, 0},
	"SCRAM-SHA-1":   {asIs, parseSCRAM(SCRAMSHA1), 0},
	"SCRAM-SHA-256": {asIs, parseSCRAM(SCRAMSHA256), 0},
}

// unsupported are names that other servers know. A warning may repeat them,
// unlike other text in braces, which could be a password.
var unsupported = []string{
	"CRAM-MD5", "DIGEST-MD5", "HMAC-MD5", "LANMAN", "LM", "NTLM", "NT", "OTP",
	"PLAIN-MD4", "PLAIN-TRUNC", "RPA", "SKEY",
}

var (
	errNoPassword = errors.New("no password")
	errNoScheme   = errors.New("password is neither a $...$ hash nor marked with a {SCHEME}: write {PLAIN} before a plain password")
	errScheme     = errors.New("unknown {SCHEME} before the password")
	errEncoding   = errors.New("password is not encoded as its {SCHEME} requires")

	// errLocked is a password field that nothing can match, on purpose.
	errLocked = errors.New("password is locked")
)

// parseSecret reads a password field: {SCHEME}data, {SCHEME.ENCODING}data, a
// crypt(3) hash or PostgreSQL's form of SCRAM. A leading ! or * is a lock, as
// in shadow(5). Errors never quote the field.
func parseSecret(field string) (secret, error) {
	switch {
	case field == "":
		return secret{}, errNoPassword
	case field[0] == '{':
		name, data, ok := strings.Cut(field[1:], "}")
		if !ok {
			return secret{}, errScheme
		}
		return parseScheme(strings.ToUpper(name), data)
	case field[0] == '!' || field[0] == '*':
		return secret{}, errLocked
	case field[0] == '$' || isDESCrypt(field):
		return parseCrypt(field)
	case strings.HasPrefix(field, postgresSCRAM):
		return parsePostgresSCRAM(field)
	}
	return secret{}, errNoScheme
}

func parseScheme(name, data string) (secret, error) {
	name, suffix, _ := strings.Cut(name, ".")
	// RFC 2307 calls MD5 what Dovecot calls LDAP-MD5; only a hash of MD5-crypt
	// has dollar signs.
	if name == "MD5" {
		name = "LDAP-MD5"
		if strings.HasPrefix(data, "$1$") {
			name = "MD5-CRYPT"
		}
	}
	if name == "DES-CRYPT" {
		return secret{}, errDES
	}
	for _, other := range unsupported {
		if name == other {
			return secret{}, errors.New("password scheme {" + other + "} is not supported: give the user a new password")
		}
	}
	s, ok := schemes[name]
	if !ok {
		return secret{}, errScheme
	}
	how := s.encoding
	switch suffix {
	case "":
	case "HEX":
		how = isHex
	case "B64", "BASE64":
		how = isB64
	default:
		return secret{}, errScheme
	}
	decoded, err := decode(how, s.size, data)
	if err != nil {
		return secret{}, errEncoding
	}
	return s.parse(decoded)
}

func decode(how encoding, size int, data string) (string, error) {
	if how == byWidth {
		how = isB64
		if len(data) == hex.EncodedLen(size) {
			how = isHex
		}
	}
	switch how {
	case isHex:
		raw, err := hex.DecodeString(data)
		return string(raw), err
	case isB64:
		raw, err := decodeBase64(data)
		return string(raw), err
	}
	return data, nil
}

func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}

func parseClear(password string) (secret, error) {
	if password == "" {
		return secret{}, errNoPassword
	}
	want := sha256.Sum256([]byte(password))
	return secret{clear: password, match: func(password string) bool {
		// Digests have one length: comparing them does not tell the password's.
		got := sha256.Sum256([]byte(password))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}}, nil
}

// unsalted reads H(password).
func unsalted(h func() hash.Hash) func(string) (secret, error) {
	return func(raw string) (secret, error) {
		if len(raw) != h().Size() {
			return secret{}, errShape
		}
		return digestSecret(h, raw, ""), nil
	}
}

// salted reads H(password + salt) + salt, as RFC 2307's SSHA.
func salted(h func() hash.Hash) func(string) (secret, error) {
	return func(raw string) (secret, error) {
		size := h().Size()
		if len(raw) <= size || len(raw) > size+maxSaltOctets {
			return secret{}, errShape
		}
		return digestSecret(h, raw[:size], raw[size:]), nil
	}
}

func digestSecret(h func() hash.Hash, digest, salt string) secret {
	return secret{match: func(password string) bool {
		d := h()
		d.Write([]byte(password))
		d.Write([]byte(salt))
		return subtle.ConstantTimeCompare(d.Sum(nil), []byte(digest)) == 1
	}}
}

// parsePBKDF2 reads Dovecot's $1$salt$rounds$key: PBKDF2 with HMAC-SHA-1, the
// salt as it is written, the key in hexadecimal.
func parsePBKDF2(data string) (secret, error) {
	parts := strings.Split(data, "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "1" || len(parts[2]) > maxSaltOctets {
		return secret{}, errShape
	}
	salt := []byte(parts[2])
	rounds, err := bounded(parts[3], 1, maxRounds)
	if err != nil {
		return secret{}, err
	}
	key, err := hex.DecodeString(parts[4])
	if err != nil || len(key) != sha1.Size {
		return secret{}, errShape
	}
	return secret{match: func(password string) bool {
		got, err := pbkdf2.Key(sha1.New, password, salt, int(rounds), len(key))
		return err == nil && subtle.ConstantTimeCompare(got, key) == 1
	}}, nil
}
