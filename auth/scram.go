package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"strings"

	"github.com/xdg-go/scram"
)

// postgresSCRAM begins PostgreSQL's form of a SCRAM secret.
const postgresSCRAM = "SCRAM-SHA-256$"

// parseSCRAM reads Dovecot's form of a SCRAM secret (RFC 5802, section 3):
// rounds,salt,StoredKey,ServerKey, all but the rounds in base64.
func parseSCRAM(h func() hash.Hash) func(string) (secret, error) {
	return func(data string) (secret, error) {
		parts := strings.Split(data, ",")
		if len(parts) != 4 {
			return secret{}, errShape
		}
		return scramSecret(h, parts[0], parts[1], parts[2], parts[3])
	}
}

// parsePostgresSCRAM reads SCRAM-SHA-256$rounds:salt$StoredKey:ServerKey, the
// form of pg_authid.
func parsePostgresSCRAM(field string) (secret, error) {
	factors, keys, _ := strings.Cut(strings.TrimPrefix(field, postgresSCRAM), "$")
	rounds, salt, _ := strings.Cut(factors, ":")
	storedKey, serverKey, _ := strings.Cut(keys, ":")
	return scramSecret(sha256.New, rounds, salt, storedKey, serverKey)
}

func scramSecret(h func() hash.Hash, rounds, salt, storedKey, serverKey string) (secret, error) {
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
	size := h().Size()
	if len(raw[0]) > maxSaltOctets || len(raw[1]) != size || len(raw[2]) != size {
		return secret{}, errShape
	}
	factors := scram.KeyFactors{Salt: string(raw[0]), Iters: int(n)}
	return secret{match: func(password string) bool {
		client, err := scram.HashGeneratorFcn(h).NewClientUnprepped("", password, "")
		if err != nil {
			return false
		}
		got, err := client.GetStoredCredentialsWithError(factors)
		return err == nil && subtle.ConstantTimeCompare(got.StoredKey, raw[1]) == 1
	}}, nil
}
