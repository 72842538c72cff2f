package auth

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNewHash(t *testing.T) {
	for _, c := range []struct{ scheme, prefix string }{
		{"", "{CRYPT}$y$j9T$"},
		{"yescrypt", "{CRYPT}$y$j9T$"},
		{"Argon2ID", "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=4$"},
		{"sha512-crypt", "{SHA512-CRYPT}$6$rounds=100000$"},
		{"bcrypt", "{BLF-CRYPT}$2b$12$"},
		{"scram-sha-1", "{SCRAM-SHA-1}65536,"},
		{"SCRAM-SHA-256", "{SCRAM-SHA-256}65536,"},
	} {
		const password = "größe pw"
		field, err := NewHash(c.scheme, password)
		if err != nil || !strings.HasPrefix(field, c.prefix) {
			t.Errorf("%q: %q, %v; want %s", c.scheme, field, err, c.prefix)
			continue
		}
		path := filepath.Join(t.TempDir(), "passwd")
		put(t, path, "joe:"+field+"\n")
		login{user: "joe", password: password, name: "joe"}.check(t, NewPasswd(path, noWarning(t)))
		if right, err := verifySecret(t.Context(), field, password+" "); right || err != nil {
			t.Errorf("%q: another password is %v, %v", field, right, err)
		}
	}
}

func TestNewHashesDiffer(t *testing.T) {
	one, err1 := NewHash("", "pw")
	two, err2 := NewHash("", "pw")
	if one == two || errors.Join(err1, err2) != nil {
		t.Errorf("%q and %q, %v", one, two, errors.Join(err1, err2))
	}
}

// The system's crypt(3), where there is one, takes the hashes as well.
func TestNewHashIsThatOfCrypt(t *testing.T) {
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skip("needs perl for crypt(3)")
	}
	for _, scheme := range []string{"yescrypt", "sha512-crypt", "bcrypt"} {
		field, err := NewHash(scheme, "pw")
		if err != nil {
			t.Fatal(err)
		}
		_, hash, _ := strings.Cut(field, "}")
		out, err := exec.Command(perl, "-e", "print crypt($ARGV[0], $ARGV[1])", "pw", hash).Output()
		if err != nil || string(out) != hash {
			t.Errorf("%s: crypt(3) makes %q, %v, of %q", scheme, out, err, hash)
		}
	}
}

func TestNewHashRefuses(t *testing.T) {
	for _, c := range []struct{ scheme, password, want string }{
		{"secret", "pw", "unknown scheme"},
		{"des", "secret", "unknown scheme"},
		{"", "", "password is empty"},
		{"bcrypt", "secret\x00", "NUL"},
		{"bcrypt", "secret" + strings.Repeat("x", 67), "72 octets"},
		{"yescrypt", "secret" + strings.Repeat("x", MaxPasswordOctets), "longer"},
		{"yescrypt", "secret\xff", "UTF-8"},
	} {
		field, err := NewHash(c.scheme, c.password)
		if field != "" || err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q, %.20q: %q, %v; want %q", c.scheme, c.password, field, err, c.want)
		}
	}
}

func TestVerifySecret(t *testing.T) {
	for _, c := range []struct {
		field, password string
		right           bool
		err             error
	}{
		{"{PLAIN}pw", "pw", true, nil},
		{"{PLAIN}pw", "PW", false, nil},
		{"{plain}Å", "A\u030a", true, nil}, // as SASLprep has it
		{"{PLAIN}pw", "", false, ErrCredentials},
		{"{PLAIN}pw", "p\x00w", false, ErrCredentials},
		{"{PLAIN}pw", strings.Repeat("p", MaxPasswordOctets+1), false, ErrCredentials},
		{"!{PLAIN}pw", "pw", false, nil},
		{"*", "*", false, nil},
		{"!", "!", false, nil},
		{"", "pw", false, ErrPermanent},
		{"secret", "secret", false, ErrPermanent},
		{"{SECRET}pw", "pw", false, ErrPermanent},
		{"$1$secret", "pw", false, ErrPermanent},
	} {
		right, err := verifySecret(t.Context(), c.field, c.password)
		if right != c.right || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%q, %.10q: %v, %v; want %v, %v", c.field, c.password, right, err, c.right, c.err)
		}
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "secret") {
			t.Errorf("the error quotes the field: %v", err)
		}
	}
}

func TestVerifySecretWaitsForAProcessor(t *testing.T) {
	for range cap(hashing) {
		hashing <- struct{}{}
	}
	defer func() {
		for range cap(hashing) {
			<-hashing
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if right, err := verifySecret(ctx, "{PLAIN}pw", "pw"); right || !errors.Is(err, ErrTemporary) {
		t.Errorf("%v, %v", right, err)
	}
}

// verifySecret says whether a password is the one of a password field.
func verifySecret(ctx context.Context, field, password string) (bool, error) {
	passwords, err := passwordForms(password)
	if err != nil {
		return false, err
	}
	right, _, err := matchField(ctx, field, anyOf(passwords))
	return right, err
}
