package oauth

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"sidepop/auth"
)

func TestParseKeys(t *testing.T) {
	one := func(id string, change func(*jose.JSONWebKey)) string {
		key := jose.JSONWebKey{Key: testKeys()[id].Public(), KeyID: id}
		if change != nil {
			change(&key)
		}
		return toJSON(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
	}
	private := one("rsa", func(k *jose.JSONWebKey) { k.Key = testKeys()["rsa"] })
	public := strings.TrimSuffix(strings.TrimPrefix(one("rsa", nil), `{"keys":[`), `]}`)
	for _, c := range []struct {
		name, text string
		keys       int
		want       string // the error
	}{
		{"every kind", set(t, allKeys...), 5, ""},
		{"without use", one("rsa", nil), 1, ""},
		{"beside what is not known", `{"x":1,"keys":[{"kty":"AKP"},{"kty":"new"},{},1,` + public + `]}`, 1, ""},
		{"for encryption", one("rsa", func(k *jose.JSONWebKey) { k.Use = "enc" }), 0, "no public key"},
		{"short", one("weak", nil), 0, "no public key"},
		{"private", private, 0, "no public key"},
		{"secret", `{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U","kid":"rsa"}]}`, 0, "no public key"},
		{"point off the curve", `{"keys":[{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`, 0, "no public key"},
		{"long", rsaKey(maxRSABits), 1, ""},
		{"longer", rsaKey(maxRSABits + 8), 0, "no public key"},
		{"none", `{"keys":[]}`, 0, "no public key"},
		{"too many", `{"keys":[1` + strings.Repeat(",1", maxKeys) + `]}`, 0, "101 keys"},
		{"keys twice", `{"keys":[],"keys":[]}`, 0, "not a JWK Set"},
		{"no keys", `{}`, 0, "not a JWK Set"},
		{"null", `null`, 0, "not a JWK Set"},
		{"a page", `<html>`, 0, "not a JWK Set"},
		{"nothing", ``, 0, "not a JWK Set"},
	} {
		s, err := parseKeys([]byte(c.text))
		switch {
		case c.want == "" && (err != nil || len(s.keys) != c.keys):
			t.Errorf("%s: %v, %v; want %d keys", c.name, s, err, c.keys)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// rsaKey is a set with a number of so many bits in the place of a key's modulus.
func rsaKey(bits int) string {
	return `{"keys":[{"kty":"RSA","e":"AQAB","n":"` + encode(strings.Repeat("\xFF", bits/8)) + `"}]}`
}

func TestFindKeys(t *testing.T) {
	public := func(id, as, algorithm string) jose.JSONWebKey {
		return jose.JSONWebKey{Key: testKeys()[id].Public(), KeyID: as, Algorithm: algorithm}
	}
	s := keySet{[]jose.JSONWebKey{
		public("rsa", "a", ""), public("rsa2", "a", ""), public("p256", "a", "ES256"), public("ed", "b", "EdDSA"), public("rsa", "c", "PS256"),
	}}
	for _, c := range []struct {
		id        string
		algorithm jose.SignatureAlgorithm
		want      int
	}{
		{"a", jose.RS256, 2}, // an id need not be there once
		{"a", jose.PS512, 2},
		{"a", jose.ES256, 1},
		{"a", jose.ES384, 0},
		{"a", jose.EdDSA, 0},
		{"b", jose.EdDSA, 1},
		{"c", jose.PS256, 1},
		{"c", jose.RS256, 0}, // for another algorithm alone
		{"", jose.EdDSA, 1},
		{"", jose.RS256, 0}, // which one?
		{"d", jose.RS256, 0},
	} {
		if got := len(s.find(c.id, c.algorithm)); got != c.want {
			t.Errorf("%q for %s: %d keys, want %d", c.id, c.algorithm, got, c.want)
		}
	}
}

// TestKeyFile changes the file between logins: each sees it as it is.
func TestKeyFile(t *testing.T) {
	path := keyFile(t, set(t, "rsa"))
	v := validator(t, func(o *Options) { o.JWKSFile = path })
	write := func(content string) func() error {
		return func() error { return os.WriteFile(path, []byte(content), 0o600) }
	}
	for _, step := range []struct {
		name string
		do   func() error
		want error
		text string
	}{
		{"as it was", write(set(t, "rsa")), nil, ""},
		{"another key, in the same instant", write(set(t, "p256")), auth.ErrCredentials, "no key"},
		{"the key again", write(set(t, "p256", "rsa")), nil, ""},
		{"damaged", write(`{"keys":`), auth.ErrPermanent, "not a JWK Set"},
		{"too large", write(strings.Repeat(" ", maxSetOctets+1)), auth.ErrPermanent, "larger than"},
		{"right again", write(set(t, "rsa")), nil, ""},
		{"removed", func() error { return os.Remove(path) }, auth.ErrTemporary, "no such file"},
		{"a FIFO that nobody writes to", func() error { return syscall.Mkfifo(path, 0o600) }, auth.ErrPermanent, "not a regular file"},
		{"replaced", func() error {
			next := filepath.Join(filepath.Dir(path), "next")
			return errors.Join(os.WriteFile(next, []byte(set(t, "rsa")), 0o600), os.Rename(next, path))
		}, nil, ""},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		_, err := validate(t, v, token(t, nil))
		if !errors.Is(err, step.want) || err != nil && !strings.Contains(err.Error(), step.text) {
			t.Errorf("%s: %v; want %v with %q", step.name, err, step.want, step.text)
		}
		if err := CheckKeys(path); (err != nil) != (step.want != nil && step.want != auth.ErrCredentials) {
			t.Errorf("%s: the check says %v", step.name, err)
		}
	}
}

// TestOptions has options that can't be used beside what is said of them.
func TestOptions(t *testing.T) {
	for _, c := range []struct {
		options Options
		want    string // a part of the error; "": none
	}{
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSFile: "f"}, ""},
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSURL: "https://id.example.org/keys?x=y"}, ""},
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSURL: "http://127.0.0.1:5556/keys"}, ""},
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSURL: "http://[::1]/keys"}, ""},
		{Options{IntrospectionURL: "https://id.example.org/", ClientID: "c", ClientSecretFile: "f"}, ""},
		{Options{}, "neither keys"},
		{Options{Issuer: "i", Audience: []string{"a"}}, "neither keys"},
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSFile: "f", JWKSURL: "https://id.example.org/"}, "expected one of them"},
		{Options{Audience: []string{"a"}, JWKSFile: "f"}, "without issuer or audience"},
		{Options{Issuer: "i", JWKSFile: "f"}, "without issuer or audience"},
		{Options{IntrospectionURL: "https://id.example.org/"}, "without client id"},
		{Options{IntrospectionURL: "https://id.example.org/", ClientID: "c"}, "without client id"},
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSURL: "http://id.example.org/"}, "expected https"},
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSURL: "http://127.0.0.1.example.org/"}, "expected https"},
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSURL: "file:///etc/passwd"}, "expected a URL"},
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSURL: "ftp://id.example.org/"}, "expected https"},
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSURL: "https://u:p@id.example.org/"}, "expected a URL"},
		{Options{Issuer: "i", Audience: []string{"a"}, JWKSURL: "/keys"}, "expected a URL"},
	} {
		_, err := New(c.options)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %q", c.options, err, c.want)
		}
	}
}

// FuzzKeys holds that a set that is read gives keys that can be asked for.
func FuzzKeys(f *testing.F) {
	f.Add(set(f, allKeys...))
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseKeys([]byte(text))
		if err != nil {
			return
		}
		for _, key := range s.keys {
			if !key.IsPublic() {
				t.Errorf("a key that is not public: %v", key.KeyID)
			}
		}
		for _, algorithm := range algorithms {
			if n := len(s.find("", algorithm)); n > 1 {
				t.Errorf("%d keys for %s without an id", n, algorithm)
			}
		}
	})
}
