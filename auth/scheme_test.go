package auth

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

const vectorPassword = "correct horse"

type vector struct{ tool, field string }

// vectors reads testdata/hashes.tsv, which says how it was made.
func vectors(t testing.TB) []vector {
	t.Helper()
	opened, err := os.Open("testdata/hashes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	var all []vector
	for lines := bufio.NewScanner(opened); lines.Scan(); {
		if tool, field, ok := strings.Cut(lines.Text(), "\t"); ok && !strings.HasPrefix(tool, "#") {
			all = append(all, vector{tool, field})
		}
	}
	if len(all) < 50 {
		t.Fatalf("only %d hashes in testdata/hashes.tsv", len(all))
	}
	return all
}

func TestHashesOfOtherTools(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.tool+" "+v.field[:min(12, len(v.field))], func(t *testing.T) {
			s, err := parseSecret(v.field)
			if err != nil {
				t.Fatalf("%s: %v", v.field, err)
			}
			if !s.match(vectorPassword) {
				t.Errorf("%s: the right password does not match", v.field)
			}
			for _, wrong := range []string{"", "correct hors", "correct horse "} {
				if s.match(wrong) {
					t.Errorf("%s: %q matches", v.field, wrong)
				}
			}
		})
	}
}

// Every shorter form of a field is malformed or matches another password;
// only the padding of base64 may be missing.
func TestTruncatedHashes(t *testing.T) {
	for _, v := range vectors(t) {
		for n := range len(strings.TrimRight(v.field, "=")) {
			s, err := parseSecret(v.field[:n])
			if err != nil {
				if strings.Contains(err.Error(), v.field[n/2:n]) && n > 20 {
					t.Errorf("%s, %d octets of it: the error quotes it: %v", v.field, n, err)
				}
				continue
			}
			if s.match(vectorPassword) {
				t.Errorf("%s: matches by its first %d octets", v.field, n)
			}
		}
	}
}

// Every scheme that is supported has a hash made by another tool.
func TestEverySchemeHasAVector(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range vectors(t) {
		if name, _, ok := strings.Cut(v.field, "}"); ok {
			name, _, _ = strings.Cut(strings.ToUpper(name[1:]), ".")
			seen[name] = true
		}
		if parts := strings.Split(v.field, "$"); len(parts) > 1 {
			seen[parts[1]] = true
		}
	}
	for name := range schemes {
		if !seen[name] {
			t.Errorf("no hash for {%s}", name)
		}
	}
	for name := range cryptFormats {
		if !seen[name] {
			t.Errorf("no hash for $%s$", name)
		}
	}
}

func TestClearIsOnlyOfPlainSchemes(t *testing.T) {
	for _, v := range vectors(t) {
		s, err := parseSecret(v.field)
		if err != nil {
			t.Fatal(err)
		}
		scheme := strings.ToUpper(v.field)
		plain := strings.HasPrefix(scheme, "{CLEAR") || strings.HasPrefix(scheme, "{PLAIN}") || strings.HasPrefix(scheme, "{PLAIN.")
		if plain != (s.clear == vectorPassword) || !plain && s.clear != "" {
			t.Errorf("%s: clear is %q", v.field, s.clear)
		}
	}
}

// bcrypt looks at 72 octets, in crypt(3) as here.
func TestBcryptTakesLongPasswords(t *testing.T) {
	s, err := parseSecret("$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i") // crypt(3) of 100 times "x"
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{72, 73, 100, MaxPasswordOctets} {
		if !s.match(strings.Repeat("x", n)) {
			t.Errorf("%d octets do not match", n)
		}
	}
	if s.match(strings.Repeat("x", 71)) {
		t.Error("71 octets match")
	}
}

var malformedFields = []struct {
	field string
	want  error
}{
	{"", errNoPassword},
	{"{PLAIN}", errNoPassword},
	{"{CLEAR.HEX}", errNoPassword},
	{"secret", errNoScheme},
	{"x", errNoScheme},
	{"{SECRET", errScheme},
	{"{}secret", errScheme},
	{"{hunter2}secret", errScheme},
	{"{PLAIN.ROT13}secret", errScheme},
	{"kSFLDjQOQ2906", errDES},
	{"{CRYPT}kSFLDjQOQ2906", errDES},
	{"{DES-CRYPT}Az87Q1wxCItFw", errDES},
	{"!", errLocked},
	{"*", errLocked},
	{"!!", errLocked},
	{"!$6$salt$hash", errLocked},
	{"{CRYPT}!", errShape},
	{"{CRYPT}", errShape},
	{"$", errShape},
	{"$$", errCrypt},
	{"$gy$j9T$D5GcMaZArMd.0hHIU4a1X/$wzYdHsoTYJsJUyA6lX1s3IOcB38xWH6/Ow/6W.Ch62.", errCrypt},
	{"$md5,rounds=89805$d6Qv.Xpm$$8Ul7ymNirWSdAQrYXpGWp1", errCrypt},
	{"$2x$05$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e", errCrypt},
	{"$2b$31$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e", errExpensive},
	{"$2b$15$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e", errExpensive},
	{"$2b$03$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e", errShape},
	{"$2b$-5$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e", errShape},
	{"$6$rounds=999999999$saltsalt$" + strings.Repeat("a", 86), errExpensive},
	{"$6$rounds=99999999999999999999$saltsalt$" + strings.Repeat("a", 86), errExpensive},
	{"$6$rounds=0$saltsalt$" + strings.Repeat("a", 86), errShape},
	{"$6$" + strings.Repeat("s", 17) + "$" + strings.Repeat("a", 86), errShape},
	{"$5$salt$" + strings.Repeat("a", 86), errShape},
	{"$1$saltsalts$" + strings.Repeat("a", 22), errShape},
	{"$1$salt$" + strings.Repeat("~", 22), errShape},
	{"$sha1$4294967295$saltsalt$" + strings.Repeat("a", 28), errExpensive},
	{"$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 43), errExpensive},
	{"$argon2id$v=19$m=262144,t=4,p=1$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 43), errExpensive},
	{"$argon2id$v=19$m=8,t=4294967295,p=1$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 43), errExpensive},
	{"$argon2id$v=19$m=1024,t=1,p=17$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 43), errExpensive},
	{"$argon2id$v=19$m=1024,t=1,p=0$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 43), errShape},
	{"$argon2id$v=19$m=1024,t=1$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 43), errShape},
	{"$argon2id$v=19$m=1024,m=1024,t=1,p=1$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 43), errShape},
	{"$argon2id$v=16$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0$" + strings.Repeat("A", 43), errShape},
	{"$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0$AAAA", errShape},
	{"$y$jzz$abcdefgh$" + strings.Repeat("a", 43), errExpensive},
	{"$y$kzz$abcdefgh$" + strings.Repeat("a", 43), errShape},
	{"$y$j75$~~$" + strings.Repeat("a", 43), errShape},
	{"$7$zzzzzzzzzzzsalt$" + strings.Repeat("a", 43), errExpensive},
	{"$7$4.....1....salt$" + strings.Repeat(".", 43), errShape},
	{"$scrypt$ln=20,r=8,p=1$c2FsdA$" + strings.Repeat("A", 43), errExpensive},
	{"$scrypt$ln=63,r=8,p=1$c2FsdA$" + strings.Repeat("A", 43), errExpensive},
	{"$scrypt$ln=10,r=8,p=1048576$c2FsdA$" + strings.Repeat("A", 43), errExpensive},
	{"$pbkdf2-sha256$1000000000$c2FsdA$" + strings.Repeat("A", 43), errExpensive},
	{"$pbkdf2-sha256$0$c2FsdA$" + strings.Repeat("A", 43), errShape},
	{"{PBKDF2}$1$salt$1000000000$fb6b4b815940b350bee92c63cf042e4b8ea939b9", errExpensive},
	{"{PBKDF2}$2$salt$5000$fb6b4b815940b350bee92c63cf042e4b8ea939b9", errShape},
	{"{PBKDF2}$1$salt$5000$fb6b4b81", errShape},
	{"{SCRAM-SHA-256}1000000000,c2FsdA==,7yqiOiA876jJZqL+0j4IIEX25kIP7Hjxn5N8/T/ZnAM=,gAFiNH8wThNCf6TL+59nEp6x8CyGGFEwvf2CARtACvw=", errExpensive},
	{"{SCRAM-SHA-256}4096,c2FsdA==,7yqiOiA876jJZqL+0j4IIEX25kIP7Hjxn5N8/T/ZnAM=", errShape},
	{"{SCRAM-SHA-1}4096,c2FsdA==,7yqiOiA876jJZqL+0j4IIEX25kIP7Hjxn5N8/T/ZnAM=,gAFiNH8wThNCf6TL+59nEp6x8CyGGFEwvf2CARtACvw=", errShape},
	{"{SHA1.HEX}2f9e53523b62abc141a2b4d6019d23cba835dbdx", errEncoding},
	{"{SHA1}L55TUjtiq8FBorTWAZ0jy6g129", errShape},
	{"{SSHA}L55TUjtiq8FBorTWAZ0jy6g129A=", errShape}, // no salt
	{"{SSHA}***", errEncoding},
}

func TestMalformedFields(t *testing.T) {
	for _, c := range malformedFields {
		if _, err := parseSecret(c.field); err != c.want {
			t.Errorf("%s: %v, want %v", c.field, err, c.want)
		}
	}
	for _, scheme := range unsupported {
		_, err := parseSecret("{" + strings.ToLower(scheme) + "}00112233")
		if err == nil || !strings.Contains(err.Error(), "{"+scheme+"} is not supported") {
			t.Errorf("{%s}: %v", scheme, err)
		}
	}
}
