package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// otherKeys is a secret of another shape than pencil256: more rounds, a shorter salt.
const otherKeys = "{SCRAM-SHA-256}10000,W22ZaJ0SNY7soEsUEjb6,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

// manyUsers is a passwd file with so many users of two shapes.
func manyUsers(some, others int) string {
	return strings.Repeat("%s:{SCRAM-SHA-256}"+pencil256+"\n", some) + strings.Repeat("%s:"+otherKeys+"\n", others)
}

// numbered names the users of manyUsers.
func numbered(users string) string {
	var all strings.Builder
	number := 0
	for line := range strings.Lines(users) {
		number++
		all.WriteString(strings.Replace(line, "%s", fmt.Sprintf("user%d", number), 1))
	}
	return all.String()
}

// shapesOf is what 1000 names that nobody has are answered, by name.
func shapesOf(t *testing.T, m *Masters) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for i := range 1000 {
		name := fmt.Sprintf("nobody%d", i)
		salt, rounds := challengeOf(t, m, SCRAMSHA256, testSalts, name)
		all[name] = fmt.Sprint(rounds, " ", len(salt))
	}
	return all
}

// Decoys are of the kinds that users are of, in whichever source, and stay so after a
// restart and when users come: a name that changed would be nobody's.
func TestDecoysOfManyKinds(t *testing.T) {
	users := numbered(manyUsers(30, 10))
	const ours, other = "i=4096 26", "i=10000 22" // with "s=" and the salt in base64
	before := shapesOf(t, scramSite(t, users))
	counts := make(map[string]int)
	for _, shape := range before {
		counts[shape]++
	}
	if len(counts) != 2 || counts[ours] < 400 || counts[other] < 400 { // of 1000, and 15.8 from half at one sigma
		t.Errorf("shapes: %v", counts)
	}
	again, more := shapesOf(t, scramSite(t, users)), shapesOf(t, scramSite(t, users+"new:"+otherKeys+"\n"))
	split := shapesOf(t, &Masters{Chain: append(scramSite(t, numbered(manyUsers(30, 0))).Chain, scramSite(t, numbered(manyUsers(0, 10))).Chain...)})
	for name, shape := range before {
		if again[name] != shape || more[name] != shape || split[name] != shape {
			t.Errorf("%s: %s, %s after a restart, %s with one more user and %s in two files", name, shape, again[name], more[name], split[name])
		}
	}
}

// Decoys are like the users of all sources that are asked for a name.
func TestDecoysOfChains(t *testing.T) {
	source := func(users string) Source { return scramSite(t, numbered(users)).Chain[0].Source }
	m := &Masters{Chain: Chain{
		{Name: "first", Source: source(manyUsers(5, 0))},
		{Name: "second", Source: source(manyUsers(0, 5))},
		{Name: "elsewhere", Source: source("%s:{PLAIN}pencil\n"), Domains: []string{"example.net"}},
	}}
	counts := make(map[string]int)
	for _, shape := range shapesOf(t, m) {
		counts[shape]++
	}
	if len(counts) != 2 || counts["i=4096 26"] < 400 || counts["i=10000 22"] < 400 {
		t.Errorf("shapes: %v", counts)
	}
	if salt, rounds := challengeOf(t, m, SCRAMSHA256, testSalts, "user1"); rounds != "i=4096" || salt != "s=W22ZaJ0SNY7soEsUEjb6gQ==" {
		t.Errorf("a user of both sources: %s, %s", salt, rounds)
	}
}

// TestSCRAMTellsNothing: whatever a client says without the password, whether there is
// such a user makes no difference, in how far it comes and how it ends.
func TestSCRAMTellsNothing(t *testing.T) {
	m := scramSite(t, "keys:{SCRAM-SHA-256}"+pencil256+"\nplain:{PLAIN}pencil\nlocked:!{SCRAM-SHA-256}"+pencil256+
		"\nhash:{SHA1}L55TUjtiq8FBorTWAZ0jy6g129A=\noff:{SCRAM-SHA-256}"+pencil256+"::::::nologin\nsha1:{SCRAM-SHA-1}"+pencil1+"\n")
	proof := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, c := range []struct {
		about string
		final func(nonce string) string
		want  error
	}{
		{"wrong proof", func(r string) string { return "c=biws,r=" + r + ",p=" + proof }, ErrCredentials},
		{"no proof", func(r string) string { return "c=biws,r=" + r }, ErrProtocol},
		{"empty proof", func(r string) string { return "c=biws,r=" + r + ",p=" }, ErrCredentials},
		{"short proof", func(r string) string { return "c=biws,r=" + r + ",p=AAAA" }, ErrCredentials},
		{"proof that is not base64", func(r string) string { return "c=biws,r=" + r + ",p=!" }, ErrProtocol},
		{"another nonce", func(r string) string { return "c=biws,r=x" + r + ",p=" + proof }, ErrCredentials},
		{"other bindings", func(r string) string { return "c=eSws,r=" + r + ",p=" + proof }, ErrCredentials},
		{"rubbish", func(string) string { return "rubbish" }, ErrProtocol},
		{"nothing", func(string) string { return "" }, ErrProtocol},
	} {
		outcomes := make(map[string][]string)
		for _, user := range []string{"keys", "plain", "locked", "hash", "off", "sha1", "nobody", "nobody@example.org"} {
			var account *Account
			e := begin(m, SCRAMOptions{Kind: SCRAMSHA256}, &account)
			challenge, done, err := e.Next([]byte("n,,n=" + user + ",r=abc"))
			if done || err != nil {
				t.Fatalf("%s: %v, %v", user, done, err)
			}
			nonce, _, _ := strings.Cut(strings.TrimPrefix(string(challenge), "r="), ",")
			_, done, err = e.Next([]byte(c.final(nonce)))
			kind := "success"
			for _, k := range []error{ErrProtocol, ErrCredentials, ErrDenied, ErrPermanent, ErrTemporary} {
				if errors.Is(err, k) {
					kind = k.Error()
					break
				}
			}
			if done || account != nil || e.User() != user {
				t.Errorf("%s, %s: %v, %v, %q", c.about, user, done, account, e.User())
			}
			outcomes[kind] = append(outcomes[kind], user)
		}
		if len(outcomes) != 1 || len(outcomes[c.want.Error()]) == 0 {
			t.Errorf("%s: %v, want %v for all", c.about, outcomes, c.want)
		}
	}
}

// The secret of salts outlives a process, and so do the salts.
func TestSaltsAfterRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	put(t, path, "plain:{PLAIN}pencil\nkeys:{SCRAM-SHA-256}"+pencil256+"\n")
	for _, user := range []string{"plain", "keys", "nobody"} {
		var seen []string
		for range 3 {
			m := &Masters{Chain: Chain{{Source: NewPasswd(path, noWarning(t))}}}
			salt, rounds := challengeOf(t, m, SCRAMSHA256, NewSalts([]byte("kept in a file")), user)
			seen = append(seen, salt+rounds)
		}
		if seen[0] != seen[1] || seen[1] != seen[2] {
			t.Errorf("%s: %v", user, seen)
		}
	}
}
