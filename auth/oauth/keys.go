package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"sidepop/auth"
)

const (
	// maxKeys bounds the keys of a set. Providers have two or three, and large
	// ones with keys for many regions some twenty.
	maxKeys = 100

	// maxSetOctets bounds a set: a key with its certificates takes some 4 KiB.
	maxSetOctets = 512 << 10

	// minRSABits is what RFC 7518, section 3.3 asks for; above maxRSABits a
	// signature costs more than a login may.
	minRSABits, maxRSABits = 2048, 8192
)

// keySource has the public keys of the issuer.
type keySource interface {
	// find gives the keys, one at least, that may have made a signature with an
	// algorithm, by the id of the key as the token has it, or "". An error wraps
	// one of the values of auth.
	find(ctx context.Context, id string, algorithm jose.SignatureAlgorithm) ([]any, error)

	// load gives all keys as they are now.
	load() (*keySet, error)
}

// keySet is one version of an issuer's public keys.
type keySet struct{ keys []jose.JSONWebKey }

// parseKeys reads a JWK Set (RFC 7517, section 5). Keys that are not for signatures,
// or that nothing is known of, are left out as that section has it; so are secret
// ones, which have no business there.
func parseKeys(data []byte) (*keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil || document.Keys == nil {
		return nil, errors.New(`not a JWK Set, expected {"keys": [...]} (RFC 7517, section 5)`)
	}
	if len(document.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, expected at most %d", len(document.Keys), maxKeys)
	}
	s := new(keySet)
	for _, raw := range document.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil && isUsable(&key) {
			s.keys = append(s.keys, key)
		}
	}
	if len(s.keys) == 0 {
		return nil, fmt.Errorf("no public key for signatures, expected RSA of %d to %d bits, EC or Ed25519", minRSABits, maxRSABits)
	}
	return s, nil
}

// isUsable says whether a key is a public one for signatures, and neither weak nor
// costly.
func isUsable(key *jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" || !key.Valid() {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		bits := public.N.BitLen()
		return bits >= minRSABits && bits <= maxRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// find gives the keys with an id that an algorithm is for. With no id there must be
// one key for the algorithm alone (OpenID Connect Core 1.0, section 10.1).
func (s *keySet) find(id string, algorithm jose.SignatureAlgorithm) (keys []any) {
	for i := range s.keys {
		key := &s.keys[i]
		if (id == "" || key.KeyID == id) && fits(key, algorithm) {
			keys = append(keys, key.Key)
		}
	}
	if id == "" && len(keys) > 1 {
		return nil
	}
	return keys
}

// fits says whether a key is for an algorithm: of its kind, of its curve, and not
// for another one (RFC 7518, section 3.1; RFC 7517, section 4.4).
func fits(key *jose.JSONWebKey, algorithm jose.SignatureAlgorithm) bool {
	if key.Algorithm != "" && key.Algorithm != string(algorithm) {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return algorithm[0] == 'R' || algorithm[0] == 'P'
	case *ecdsa.PublicKey:
		return curves[algorithm] == public.Curve.Params().Name
	case ed25519.PublicKey:
		return algorithm == jose.EdDSA
	}
	return false
}

var curves = map[jose.SignatureAlgorithm]string{jose.ES256: "P-256", jose.ES384: "P-384", jose.ES512: "P-521"}

// unknownKey is what a set says of a key that it does not have.
func unknownKey(id string, algorithm jose.SignatureAlgorithm) string {
	if id == "" {
		return fmt.Sprintf("it names no key (kid header), and the issuer has not one key for %s alone", algorithm)
	}
	return fmt.Sprintf("the issuer has no key %.100q for %s", id, algorithm)
}

// fileKeys are keys in a file. It is read at each login, which costs less than a
// signature, and so counts as it is.
type fileKeys struct {
	path string

	mu      sync.Mutex
	content string
	set     *keySet // of content; nil: none was read
}

// find implements [keySource].
func (f *fileKeys) find(_ context.Context, id string, algorithm jose.SignatureAlgorithm) ([]any, error) {
	set, err := f.load()
	if err != nil {
		return nil, fmt.Errorf("keys of the issuer: %w", err)
	}
	keys := set.find(id, algorithm)
	if keys == nil {
		return nil, refused("%s in %s", unknownKey(id, algorithm), f.path)
	}
	return keys, nil
}

// load implements [keySource].
func (f *fileKeys) load() (*keySet, error) {
	data, err := readFile(f.path, maxSetOctets)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set == nil || f.content != string(data) {
		set, err := parseKeys(data)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", auth.ErrPermanent, f.path, err)
		}
		f.set, f.content = set, string(data)
	}
	return f.set, nil
}

// CheckKeys says whether a file has keys that can be used, for a check of the
// configuration.
func CheckKeys(path string) error {
	_, err := (&fileKeys{path: path}).load()
	return err
}

// readFile reads a small file. Errors wrap [auth.ErrTemporary] or
// [auth.ErrPermanent].
func readFile(path string, most int64) ([]byte, error) {
	// O_NONBLOCK: opening a FIFO must not wait for somebody to write to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", auth.ErrTemporary, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", auth.ErrTemporary, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s: not a regular file", auth.ErrPermanent, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", auth.ErrTemporary, err)
	case int64(len(data)) > most:
		return nil, fmt.Errorf("%w: %s: larger than %d octets", auth.ErrPermanent, path, most)
	}
	return data, nil
}
