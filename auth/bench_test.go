package auth

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkVerify logs in with a plain password; what a login costs must not
// depend on how many users there are.
func BenchmarkVerify(b *testing.B) {
	for _, users := range []int{10, 100_000} {
		var content strings.Builder
		for n := range users {
			fmt.Fprintf(&content, "user%d@example.org:{PLAIN}password%d:1000:1000::/srv/mail/user%d\n", n, n, n)
		}
		path := filepath.Join(b.TempDir(), "passwd")
		put(b, path, content.String())
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			p := NewPasswd(path, noWarning(b))
			if _, err := p.Verify(context.Background(), Login{User: "user7@example.org", Password: "password7"}); err != nil {
				b.Fatal(err)
			}
			settle(p.files[""])
			for b.Loop() {
				if _, err := p.Verify(context.Background(), Login{User: "user7@example.org", Password: "password7"}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("load/users=%d", users), func(b *testing.B) {
			for b.Loop() {
				parseTable(path, content.String(), noWarning(b))
			}
		})
	}
}

// BenchmarkLimits checks a password against the most expensive hashes that are
// let through: about a second each, or the limits are wrong.
func BenchmarkLimits(b *testing.B) {
	key := func(n int) string { return strings.Repeat(".", n) }
	for name, field := range map[string]string{
		"bcrypt":        fmt.Sprintf("$2b$%d$%s", maxBcryptCost, key(53)),
		"sha256crypt":   fmt.Sprintf("$5$rounds=%d$saltsaltsaltsalt$%s", maxSHACryptRounds, key(43)),
		"sha512crypt":   fmt.Sprintf("$6$rounds=%d$saltsaltsaltsalt$%s", maxSHACryptRounds, key(86)),
		"sha1crypt":     fmt.Sprintf("$sha1$%d$saltsalt$%s", maxRounds, key(28)),
		"pbkdf2-sha512": fmt.Sprintf("$pbkdf2-sha512$%d$c2FsdA$%s", maxRounds, key(86)),
		"argon2id":      fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$c2FsdHNhbHQ$%s", maxArgon2KiB, maxArgon2Work/maxArgon2KiB, strings.Repeat("A", 43)),
		"yescrypt":      "$y$jCT$saltsalt$" + key(43),
		"scrypt":        "$scrypt$ln=17,r=8,p=1$c2FsdA$" + strings.Repeat("A", 43),
	} {
		b.Run(name, func(b *testing.B) {
			s, err := parseSecret(field)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s.match(vectorPassword)
			}
		})
	}
}
