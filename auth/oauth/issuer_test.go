package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	issuer   = "https://id.example.org"
	audience = "mail"
)

// testKeys are made once, since large ones take long.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := make(map[string]crypto.Signer)
	for id, bits := range map[string]int{"rsa": 2048, "rsa2": 2048, "weak": 1024} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		keys[id] = key
	}
	for id, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		keys[id] = key
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	keys["ed"] = key
	return keys
})

// object is what becomes JSON.
type object map[string]any

// with is an object with other values; those that are nil are left out.
func (o object) with(changes object) object {
	changed := maps.Clone(o)
	maps.Copy(changed, changes)
	maps.DeleteFunc(changed, func(_ string, value any) bool { return value == nil })
	return changed
}

// good is what a token for joe says.
func good() object {
	now := time.Now().Unix()
	return object{"iss": issuer, "aud": audience, "sub": "1", "iat": now, "nbf": now, "exp": now + 300,
		"email": "joe@example.org", "email_verified": true, "scope": "openid mail"}
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func encode(data string) string { return base64.RawURLEncoding.EncodeToString([]byte(data)) }

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

// sign makes a token with a key of testKeys, by code of its own, so that the library
// is not compared with itself. The header need not be true.
func sign(t testing.TB, algorithm, key, header, payload string) string {
	t.Helper()
	text := encode(header) + "." + encode(payload)
	data, options := []byte(text), crypto.SignerOpts(crypto.Hash(0))
	if h, ok := hashes[algorithm[2:]]; ok {
		sum := h.New()
		sum.Write(data)
		data, options = sum.Sum(nil), h
		if algorithm[0] == 'P' {
			options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
		}
	}
	signer := testKeys()[key]
	var signature []byte
	var err error
	if private, ok := signer.(*ecdsa.PrivateKey); ok { // RFC 7518, section 3.4
		size := (private.Curve.Params().BitSize + 7) / 8
		r, s, signErr := ecdsa.Sign(rand.Reader, private, data)
		if err = signErr; err == nil {
			signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	} else {
		signature, err = signer.Sign(rand.Reader, data, options)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(string(signature))
}

// token is a token of a user, with the key of the name "rsa".
func token(t testing.TB, changes object) string {
	t.Helper()
	return sign(t, "RS256", "rsa", `{"alg":"RS256","kid":"rsa","typ":"at+jwt"}`, toJSON(t, good().with(changes)))
}

// mac makes a token with a MAC whose key is the public key in PEM, which who takes
// one kind of key for the other would find right.
func mac(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(testKeys()["rsa"].Public())
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	text := encode(`{"alg":"HS256","kid":"rsa"}`) + "." + encode(toJSON(t, good()))
	h.Write([]byte(text))
	return text + "." + encode(string(h.Sum(nil)))
}

// set is a JWK Set with public keys of testKeys.
func set(t testing.TB, ids ...string) string {
	t.Helper()
	var all jose.JSONWebKeySet
	for _, id := range ids {
		all.Keys = append(all.Keys, jose.JSONWebKey{Key: testKeys()[id].Public(), KeyID: id, Use: "sig"})
	}
	return toJSON(t, all)
}

var allKeys = []string{"rsa", "p256", "p384", "p521", "ed"}

// keyFile writes a JWK Set.
func keyFile(t testing.TB, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// validator makes one with keys in a file, unless options say something else.
func validator(t testing.TB, change func(*Options)) *Validator {
	t.Helper()
	o := Options{Issuer: issuer, Audience: []string{audience, "mail2"}}
	if change != nil {
		change(&o)
	}
	if o.JWKSFile == "" && o.JWKSURL == "" && o.IntrospectionURL == "" {
		o.JWKSFile = keyFile(t, set(t, allKeys...))
	}
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// validate is Validate with the test's context.
func validate(t testing.TB, v *Validator, token string) (string, error) {
	t.Helper()
	return v.Validate(context.WithoutCancel(t.Context()), token)
}
