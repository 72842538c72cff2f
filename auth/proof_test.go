package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
)

// The example of RFC 2195, section 2.
func TestCRAMMD5(t *testing.T) {
	const challenge = "<1896.697170952@postoffice.reston.mci.net>"
	digest, _ := hex.DecodeString("b913a602c7eda7a495b4e6e7334d3890")
	proof := newCRAMMD5(challenge, digest)
	for _, c := range []struct {
		field string
		want  bool
	}{
		{"{PLAIN}tanstaaftanstaaf", true},
		{"{PLAIN}tanstaaf", false},
		{"{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=", false},
	} {
		s, err := parseSecret(c.field)
		if got := proof.right(s); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", c.field, got, err)
		}
	}
	nothing := hmac.New(md5.New, nil)
	nothing.Write([]byte(challenge))
	if newCRAMMD5(challenge, nothing.Sum(nil)).right(secret{}) {
		t.Error("a hash is taken for an empty password")
	}
}

// A whole exchange, with a digest as the client makes it.
func TestCRAMMD5Exchange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	put(t, path, "joe:{PLAIN}pw\njim:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\noff:{PLAIN}pw::::::nologin\n")
	p := NewPasswd(path, noWarning(t))
	seen := make(map[string]bool)
	for _, c := range []struct {
		user, password string
		want           error
	}{
		{"joe", "pw", nil},
		{"joe", "PW", ErrCredentials},
		{"joe", "", ErrCredentials},
		{"jim", "", ErrCredentials},
		{"nobody", "pw", ErrCredentials},
		{"off", "pw", ErrDenied},
	} {
		e := NewCRAMMD5("mx.example", func(l Login) error {
			_, err := p.Verify(t.Context(), l)
			return err
		})
		challenge, _, err := e.Next(nil)
		if err != nil || seen[string(challenge)] || !regexp.MustCompile(`^<[A-Z2-7]{26}\.\d+@mx\.example>$`).Match(challenge) {
			t.Fatalf("challenge %q, %v", challenge, err)
		}
		seen[string(challenge)] = true
		h := hmac.New(md5.New, []byte(c.password))
		h.Write(challenge)
		_, done, err := e.Next(fmt.Appendf(nil, "%s %x", c.user, h.Sum(nil)))
		if !errors.Is(err, c.want) || done != (c.want == nil) {
			t.Errorf("%s, %q: %v, %v; want %v", c.user, c.password, done, err, c.want)
		}
	}
}

// A proof must be one of this package: no other is right, nor one that is empty.
func TestEmptyProofs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	put(t, path, "joe:{PLAIN}pw\n")
	p := NewPasswd(path, noWarning(t))
	for _, password := range []string{"", "pw"} {
		if _, err := p.Verify(t.Context(), Login{User: "joe", Password: password, Proof: new(Proof)}); !errors.Is(err, ErrCredentials) {
			t.Errorf("%q: %v", password, err)
		}
	}
	if _, err := NewPAM(PAMOptions{}).Verify(t.Context(), Login{User: "joe", Proof: new(Proof)}); !errors.Is(err, ErrCredentials) {
		t.Error(err)
	}
}
