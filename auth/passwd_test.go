package auth

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// put writes a file, with the folders that it needs.
func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// noWarning is for files that must be free of faults.
func noWarning(t testing.TB) func(error) {
	return func(err error) { t.Errorf("warning: %v", err) }
}

// login is one attempt and its expected end.
type login struct {
	user, password, remote string
	name                   string // of the account; "" where the login must fail
	err                    error
	reason                 string // part of the error
}

func (l login) check(t *testing.T, p *Passwd) {
	t.Helper()
	var remote netip.Addr
	if l.remote != "" {
		remote = netip.MustParseAddr(l.remote)
	}
	account, err := p.Verify(context.Background(), Login{User: l.user, Password: l.password, Remote: remote})
	if l.err == nil {
		if err != nil || account.Name != l.name {
			t.Errorf("%q, %q: %+v, %v; want %q", l.user, l.password, account, err, l.name)
		}
		return
	}
	if account != nil || !errors.Is(err, l.err) || !strings.Contains(err.Error(), l.reason) {
		t.Errorf("%q, %q: %+v, %v; want %v: %s", l.user, l.password, account, err, l.err, l.reason)
	}
	if err != nil && len(l.password) > 1 && strings.Contains(err.Error(), l.password) {
		t.Errorf("%q: the error quotes the password: %v", l.user, err)
	}
}

func TestOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	put(t, path, strings.Join([]string{
		"# accounts",
		"",
		"joe:{PLAIN}pw1\r",
		"Bob:{PLAIN}pw2",
		"bob:{PLAIN}pw3",
		"sue@example.org:{PLAIN}pw4",
		"alias:{PLAIN}pw5:::::: user=real",
		"off:{PLAIN}pw6::::::nologin",
		"near:{PLAIN}pw7::::::allow_nets=192.0.2.0/24",
		"bad:{PLAIN}pw8:x",
		"locked:!",
		"jürgen:{PLAIN}größe",
		"dos:{PLAIN}Ⅳ",
		"joe:{PLAIN}pw9",
		"last:{PLAIN}pw:with:{PLAIN}",
		":{PLAIN}pw",
		":{PLAIN}pw",
	}, "\n"))
	var warnings []string
	p := NewPasswd(path, func(err error) { warnings = append(warnings, err.Error()) })
	for _, l := range []login{
		{user: "joe", password: "pw1", name: "joe"},
		{user: "JOE", password: "pw1", name: "joe"},
		{user: "joe", password: "pw9", err: ErrCredentials, reason: path + ":3: wrong user name or password: wrong password"},
		{user: "Bob", password: "pw2", name: "Bob"},
		{user: "Bob", password: "pw3", err: ErrCredentials, reason: "wrong password"},
		{user: "BOB", password: "pw3", name: "bob"},
		{user: "sue@example.org", password: "pw4", name: "sue@example.org"},
		{user: "Sue@Example.ORG", password: "pw4", name: "sue@example.org"},
		{user: "sue", password: "pw4", err: ErrCredentials, reason: path + ": wrong user name or password: no such user"},
		{user: "joe@example.org", password: "pw1", err: ErrCredentials, reason: "no such user"},
		{user: "alias", password: "pw5", name: "real"},
		{user: "real", password: "pw5", err: ErrCredentials, reason: "no such user"},
		{user: "off", password: "pw6", err: ErrDenied, reason: "nologin"},
		{user: "off", password: "no", err: ErrCredentials, reason: "wrong password"},
		{user: "near", password: "pw7", remote: "192.0.2.1", name: "near"},
		{user: "near", password: "pw7", remote: "192.0.3.1", err: ErrDenied, reason: "allow_nets"},
		{user: "near", password: "pw7", err: ErrDenied, reason: "allow_nets"},
		{user: "near", password: "no", remote: "192.0.3.1", err: ErrCredentials, reason: "wrong password"},
		{user: "bad", password: "pw8", err: ErrPermanent, reason: path + ":10: "},
		{user: "locked", password: "!", err: ErrCredentials, reason: "locked"},
		{user: "locked", password: "pw1", err: ErrCredentials, reason: "locked"},
		{user: "jürgen", password: "größe", name: "jürgen"},
		{user: "JÜRGEN", password: "gro\u0308ße", name: "jürgen"},
		{user: "ju\u0308rgen", password: "größe", name: "jürgen"},
		{user: "jürgen", password: "gr\u00ad\u00f6ße", name: "jürgen"},
		{user: "jürgen", password: "GRÖSSE", err: ErrCredentials, reason: "wrong password"},
		{user: "dos", password: "Ⅳ", name: "dos"},
		{user: "dos", password: "IV", err: ErrCredentials, reason: "wrong password"},
		{user: "joe", password: "\xff\xfe", err: ErrCredentials, reason: "UTF-8"},
		{user: "jo\xff", password: "pw1", err: ErrCredentials, reason: "UTF-8"},
		{user: "joe", password: "a\u200e\ue000", err: ErrCredentials, reason: "SASLprep"},
		{user: "joe", password: "\u00ad", err: ErrCredentials, reason: "SASLprep"},
		{user: "joe", password: "", err: ErrCredentials, reason: "empty"},
		{user: "joe", password: "pw1\x00", err: ErrCredentials, reason: "NUL"},
		{user: "joe", password: strings.Repeat("p", MaxPasswordOctets+1), err: ErrCredentials, reason: "longer"},
		{user: "", password: "pw1", err: ErrCredentials, reason: "empty"},
		{user: strings.Repeat("u", MaxUserOctets+1), password: "pw1", err: ErrCredentials, reason: "longer"},
		{user: "# accounts", password: "pw1", err: ErrCredentials, reason: "no such user"},
		{user: "joe:{PLAIN}pw1", password: "pw1", err: ErrCredentials, reason: "no such user"},
	} {
		l.check(t, p)
	}
	want := []string{
		path + ":10: user cannot log in: uid is not a number from 0 to 4294967294",
		path + ":14: user is defined before, in line 3, which counts",
		path + ":15: user cannot log in: uid is not a number from 0 to 4294967294",
		path + ":16: user cannot log in: no user name",
		path + ":17: user cannot log in: no user name",
	}
	if strings.Join(warnings, "\n") != strings.Join(want, "\n") {
		t.Errorf("warnings:\n%s\nwant:\n%s", strings.Join(warnings, "\n"), strings.Join(want, "\n"))
	}
}

func TestHomes(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/example.org", strings.Join([]string{
		"joe:{PLAIN}pw::::/srv/%d/%n",
		"jim:{PLAIN}pw::::/srv/%u%%",
		"jon:{PLAIN}pw:::::: userdb_home=/srv/%n user=../../etc",
		"jan:{PLAIN}pw::::/srv/%h",
		"jo:{PLAIN}pw",
	}, "\n"))
	p := NewPasswd(dir+"/%d", noWarning(t))
	for user, want := range map[string]string{"joe": "/srv/example.org/joe", "jim": "/srv/jim@example.org%", "jo": ""} {
		account, err := p.Verify(context.Background(), Login{User: user + "@example.org", Password: "pw"})
		if err != nil || account.Home != want {
			t.Errorf("%s: %+v, %v; want %q", user, account, err, want)
		}
	}
	login{user: "jon@example.org", password: "pw", err: ErrPermanent, reason: "example.org:3: "}.check(t, p)
	login{user: "jan@example.org", password: "pw", err: ErrPermanent, reason: "example.org:4: "}.check(t, p)
}

func TestWarningsAreLimited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	put(t, path, strings.Repeat("joe:x\n", 100))
	n := 0
	p := NewPasswd(path, func(error) { n++ })
	login{user: "joe", password: "x", err: ErrPermanent}.check(t, p)
	login{user: "joe", password: "x", err: ErrPermanent}.check(t, p)
	if n != maxWarnings+1 {
		t.Errorf("%d warnings, want %d", n, maxWarnings+1)
	}
}

func TestFilesOfDomains(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/example.org/passwd", "joe:{PLAIN}pw1\nsue@example.org:{PLAIN}pw2\nalias:{PLAIN}pw3::::::user=real\nout:{PLAIN}pw4::::::user=joe@example.net\n")
	put(t, dir+"/xn--4ca.example/passwd", "joe:{PLAIN}pw5\n")
	put(t, dir+"/passwd", "root:{PLAIN}pw6\n")
	put(t, dir+"/file", "")
	put(t, dir+"/.hidden/passwd", "joe:{PLAIN}pw7\n")
	p := NewPasswd(dir+"/%d/passwd", noWarning(t))
	for _, l := range []login{
		{user: "joe@example.org", password: "pw1", name: "joe@example.org"},
		{user: "Joe@Example.ORG", password: "pw1", name: "joe@example.org"},
		{user: "sue@example.org", password: "pw2", name: "sue@example.org"},
		{user: "alias@example.org", password: "pw3", name: "real@example.org"},
		{user: "out@example.org", password: "pw4", name: "joe@example.net"},
		{user: "joe@xn--4ca.example", password: "pw5", name: "joe@xn--4ca.example"},
		{user: "joe@xn--4ca.example", password: "pw1", err: ErrCredentials, reason: "wrong password"},
		{user: "joe", password: "pw1", err: ErrCredentials, reason: "no such domain"},
		{user: "@example.org", password: "pw1", err: ErrCredentials, reason: "no such user"},
		{user: "joe@", password: "pw1", err: ErrCredentials, reason: "no such domain"},
		{user: "joe@example.net", password: "pw1", err: ErrCredentials, reason: "no such domain"},
		{user: "joe@evil@example.org", password: "pw1", err: ErrCredentials, reason: "no such user"},
		{user: "joe@example.org@evil", password: "pw1", err: ErrCredentials, reason: "no such domain"},
	} {
		l.check(t, p)
	}
	for _, domain := range []string{
		".", "..", "../example.org", "example.org/.", "example.org/../example.org", "/example.org", ".hidden",
		"example.org.", "example..org", "example.org\x00", "example.org%d", "file", "exämple.org", "%d", "*",
		"example.org\n", " example.org", strings.Repeat("a.", 127), strings.Repeat("a", 253),
	} {
		login{user: "joe@" + domain, password: "pw1", err: ErrCredentials}.check(t, p)
	}
	if len(p.files) != 2 {
		t.Errorf("%d files are remembered, want 2", len(p.files))
	}
}

func TestRememberedFilesAreLimited(t *testing.T) {
	dir := t.TempDir()
	p := NewPasswd(dir+"/%d", noWarning(t))
	for n := range maxFiles + 10 {
		domain := fmt.Sprintf("d%d.example", n)
		put(t, filepath.Join(dir, domain), "joe:{PLAIN}pw\n")
		for _, domain := range []string{domain, "d0.example"} {
			login{user: "joe@" + domain, password: "pw", name: "joe@" + domain}.check(t, p)
		}
	}
	if len(p.files) != maxFiles || p.files["d0.example"] == nil || p.files["d1.example"] != nil {
		t.Errorf("%d files are remembered, want %d: the ones used last", len(p.files), maxFiles)
	}
}

func TestAPOP(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	const stamp = "<1896.697170952@dbc.mtview.ca.us>"
	// The example of RFC 1939, section 7.
	const digest = "c4c9334bac560ecc979e58001b3e22fb"
	put(t, path, "mrose:{PLAIN}tanstaaf\nhash:{SHA1}L55TUjtiq8FBorTWAZ0jy6g129A=\noff:{CLEAR}tanstaaf::::::nologin\n")
	p := NewPasswd(path, noWarning(t))
	empty := md5.Sum([]byte(stamp))
	for _, c := range []struct {
		user, digest string
		want         error
	}{
		{"mrose", digest, nil},
		{"mrose", strings.Repeat("0", 32), ErrCredentials},
		{"mrose", digest[:30], ErrCredentials},
		{"mrose", "", ErrCredentials},
		{"hash", hex.EncodeToString(empty[:]), ErrCredentials},
		{"nobody", digest, ErrCredentials},
		{"off", digest, ErrDenied},
	} {
		proof, err := NewAPOP(stamp, c.digest)
		if err != nil {
			t.Fatal(err)
		}
		account, err := p.Verify(context.Background(), Login{User: c.user, Proof: proof})
		if !errors.Is(err, c.want) || (account == nil) != (c.want != nil) {
			t.Errorf("%s, %q: %v, %v; want %v", c.user, c.digest, account, err, c.want)
		}
	}
}

func TestAPOPDigestIsHexadecimal(t *testing.T) {
	if _, err := NewAPOP("<1@x>", "no digest"); !errors.Is(err, ErrCredentials) {
		t.Error(err)
	}
}

func TestHolds(t *testing.T) {
	const keys256, keys1, plain, hash = "joe:{SCRAM-SHA-256}" + pencil256 + "\n", "jim:{SCRAM-SHA-1}" + pencil1 + "\n", "jon:{PLAIN}pw\n", "jan:{SHA1}L55TUjtiq8FBorTWAZ0jy6g129A=\n"
	for _, c := range []struct {
		users string
		want  [countForms]Extent
	}{
		{"", [...]Extent{None, None, None}},
		{hash, [...]Extent{None, None, None}},
		{"jon:!{PLAIN}pw\n", [...]Extent{None, None, None}},
		{plain, [...]Extent{All, All, All}},
		{plain + "bad:{NO}x\n", [...]Extent{All, All, All}}, // who can't log in does not count
		{plain + hash, [...]Extent{Some, Some, Some}},
		{keys1, [...]Extent{None, All, None}},
		{keys256, [...]Extent{None, None, All}},
		{keys256 + plain, [...]Extent{Some, Some, All}},
		{keys256 + keys1 + plain + hash, [...]Extent{Some, Some, Some}},
	} {
		dir := t.TempDir()
		put(t, dir+"/a.example", c.users)
		one, perDomain := NewPasswd(dir+"/a.example", func(error) {}), NewPasswd(dir+"/%d", func(error) {})
		for f, want := range c.want {
			if got := one.Holds(Form(f)); got != want {
				t.Errorf("%q, form %d: %v, want %v", c.users, f, got, want)
			}
			if got := perDomain.Holds(Form(f)); got != None {
				t.Errorf("%q, form %d: %v before anything was read", c.users, f, got)
			}
		}
		perDomain.Account(t.Context(), "joe@a.example")
		for f, want := range c.want {
			if got := perDomain.Holds(Form(f)); got != min(want, Some) {
				t.Errorf("%q, form %d: %v, want %v", c.users, f, got, min(want, Some))
			}
		}
	}
	if got := NewPasswd(t.TempDir()+"/none", func(error) {}).Holds(FormClear); got != None {
		t.Errorf("%v of a file that is not there", got)
	}
}

func TestChainHolds(t *testing.T) {
	for _, c := range []struct {
		extents []Extent
		want    Extent
	}{
		{nil, None},
		{[]Extent{None}, None},
		{[]Extent{All}, All},
		{[]Extent{All, All}, All},
		{[]Extent{All, None}, Some},
		{[]Extent{Some, None}, Some},
		{[]Extent{All, Some}, Some},
	} {
		var chain Chain
		for _, e := range c.extents {
			chain = append(chain, Binding{Source: holding{extent: e}})
		}
		if got := chain.Holds(FormClear); got != c.want {
			t.Errorf("%v: %v, want %v", c.extents, got, c.want)
		}
		chain = append(chain, Binding{Source: NewPAM(PAMOptions{})})
		if got := chain.Holds(FormClear); got != min(c.want, Some) {
			t.Errorf("%v and PAM: %v", c.extents, got)
		}
	}
}

type holding struct {
	Source
	extent Extent
}

func (h holding) Holds(Form) Extent { return h.extent }

func TestWaitingEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	put(t, path, "joe:{PLAIN}pw\n")
	p := NewPasswd(path, noWarning(t))
	for range cap(hashing) {
		hashing <- struct{}{}
		defer func() { <-hashing }()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Verify(ctx, Login{User: "joe", Password: "pw"}); !errors.Is(err, ErrTemporary) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want ErrTemporary and context.Canceled", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	for _, domain := range []string{"a", "b", "c"} {
		put(t, dir+"/"+domain, "joe:{SHA512}VraY3v7bWkNbY0r+MyC7rz/c2SC2xQOkRvx7endrKY1HnRumqLYXgI6wv1ec6aldZoNHvKtxSQhayTyyeZUZew==\n")
	}
	p := NewPasswd(dir+"/%d", noWarning(t))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for n := range 50 {
				domain := string(rune('a' + n%3))
				login{user: "joe@" + domain, password: vectorPassword, name: "joe@" + domain}.check(t, p)
				login{user: "jim@" + domain, password: vectorPassword, err: ErrCredentials}.check(t, p)
				login{user: "joe@x", password: vectorPassword, err: ErrCredentials}.check(t, p)
			}
		})
	}
	group.Wait()
}
