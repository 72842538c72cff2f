package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// pencil1 and pencil256 are the keys of the password "pencil" with the salts of the
// examples in RFC 5802, section 5 and RFC 7677, section 3, computed by Python's
// hashlib and hmac.
const (
	pencil1   = "4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE="
	pencil256 = "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)

var testSalts = NewSalts([]byte("secret of the tests"))

// scramSite is a source for SCRAM, of a passwd file.
func scramSite(t testing.TB, users string) *Masters {
	path := filepath.Join(t.TempDir(), "passwd")
	put(t, path, users)
	return &Masters{Chain: Chain{{Name: "passwd", Source: NewPasswd(path, func(error) {})}}}
}

// begin begins an exchange whose account, at its end, is in *account.
func begin(m *Masters, o SCRAMOptions, account **Account) *Exchange {
	o.Source, o.Salts = m, testSalts
	return NewSCRAM(context.Background(), o, func(l Login) (err error) {
		*account, err = m.Verify(context.Background(), l)
		return err
	})
}

// The examples of the RFCs, with the nonces that the servers chose in them.
func TestSCRAMVectors(t *testing.T) {
	for _, c := range []struct {
		kind                               SCRAM
		nonce, first, challenge, final, ok string
	}{
		{SCRAMSHA1, "3rfcNHYJY1ZVvWVs7j", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{SCRAMSHA256, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		field := [scrams]string{"{SCRAM-SHA-1}" + pencil1, "{SCRAM-SHA-256}" + pencil256}[c.kind]
		var account *Account
		e := begin(scramSite(t, "user:"+field+"\n"), SCRAMOptions{Kind: c.kind}, &account)
		s := e.server.(*scramServer)
		server, err := scram.HashGeneratorFcn(c.kind.new).NewServer(s.lookup)
		if err != nil {
			t.Fatal(err)
		}
		s.conversation = server.WithNonceGenerator(func() string { return c.nonce }).NewConversation()
		if got, err := s.conversation.Step(c.first); got != c.challenge || err != nil {
			t.Fatalf("%v: %q, %v; want %q", c.kind, got, err, c.challenge)
		}
		got, done, err := e.Next([]byte(c.final))
		if string(got) != c.ok || done || err != nil || account == nil {
			t.Fatalf("%v: %q, %v, %v; want %q", c.kind, got, done, err, c.ok)
		}
		if _, done, err := e.Next([]byte{}); !done || err != nil {
			t.Errorf("%v: %v, %v at the end", c.kind, done, err)
		}
	}
}

// scramClient is a client: the library's, or what a test makes of it.
type scramClient interface {
	Step(string) (string, error)
}

func newSCRAMClient(t testing.TB, kind SCRAM, user, password, identity string, binding *scram.ChannelBinding) scramClient {
	t.Helper()
	c, err := scram.HashGeneratorFcn(kind.new).NewClientUnprepped(user, password, identity)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case binding == nil:
		return c.NewConversation()
	case !binding.IsSupported():
		return c.NewConversationAdvertisingChannelBinding()
	}
	return c.NewConversationWithChannelBinding(*binding)
}

// converse goes through an exchange as far as it goes.
func converse(e *Exchange, c scramClient) error {
	challenge, done, err := e.Next(nil)
	for err == nil && !done {
		var response string
		if response, err = c.Step(string(challenge)); err != nil {
			return fmt.Errorf("the client does not agree: %w", err)
		}
		challenge, done, err = e.Next([]byte(response))
	}
	return err
}

func TestSCRAM(t *testing.T) {
	users := "sha1:{SCRAM-SHA-1}" + pencil1 + "\nsha256:{SCRAM-SHA-256}" + pencil256 + `
plain:{PLAIN}pencil
angström:{PLAIN}pencil` + "\u00AA" + `
hash:{SHA1}L55TUjtiq8FBorTWAZ0jy6g129A=
a,b=c:{PLAIN}pencil
off:{PLAIN}pencil::::::nologin
locked:!{PLAIN}pencil
bad:{NO}pencil
`
	m := scramSite(t, users)
	for _, c := range []struct {
		kind           SCRAM
		user, password string
		want           error
	}{
		{SCRAMSHA1, "sha1", "pencil", nil},
		{SCRAMSHA1, "sha1", "Pencil", ErrCredentials},
		{SCRAMSHA1, "sha1", "", ErrCredentials},
		{SCRAMSHA256, "sha1", "pencil", ErrCredentials},
		{SCRAMSHA256, "sha256", "pencil", nil},
		{SCRAMSHA256, "SHA256", "pencil", nil},
		{SCRAMSHA1, "sha256", "pencil", ErrCredentials},
		{SCRAMSHA1, "plain", "pencil", nil},
		{SCRAMSHA256, "plain", "pencil", nil},
		{SCRAMSHA256, "plain", "", ErrCredentials},
		{SCRAMSHA256, "plain", "decoy", ErrCredentials},
		{SCRAMSHA256, "angstro\u0308m", "pencila", nil}, // as SASLprep has both
		{SCRAMSHA256, "a,b=c", "pencil", nil},
		{SCRAMSHA256, "hash", "pw", ErrCredentials},
		{SCRAMSHA256, "nobody", "decoy", ErrCredentials},
		{SCRAMSHA256, "nobody", "pencil", ErrCredentials},
		{SCRAMSHA256, "locked", "pencil", ErrCredentials},
		{SCRAMSHA256, "off", "pencil", ErrDenied},
		{SCRAMSHA256, "off", "Pencil", ErrCredentials},
		{SCRAMSHA256, "", "pencil", ErrCredentials},
	} {
		var account *Account
		e := begin(m, SCRAMOptions{Kind: c.kind}, &account)
		err := converse(e, newSCRAMClient(t, c.kind, c.user, c.password, "", nil))
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (account == nil) != (c.want != nil) {
			t.Errorf("%v, %s, %q: %v, %v; want %v", c.kind, c.user, c.password, account, err, c.want)
		}
		if e.User() != c.user {
			t.Errorf("user is %q, want %q", e.User(), c.user)
		}
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "pencil") {
			t.Errorf("the error quotes the password: %v", err)
		}
	}
}

// PostgreSQL's form, which a table can have and a passwd file can't.
func TestSCRAMOfPostgreSQL(t *testing.T) {
	rounds, rest, _ := strings.Cut(pencil256, ",")
	parts := strings.Split(rest, ",")
	one, err1 := parseSecret("SCRAM-SHA-256$" + rounds + ":" + parts[0] + "$" + parts[1] + ":" + parts[2])
	two, err2 := parseSecret("{SCRAM-SHA-256}" + pencil256)
	if errors.Join(err1, err2) != nil || !reflect.DeepEqual(one.scram, two.scram) {
		t.Errorf("%+v and %+v, %v", one.scram, two.scram, errors.Join(err1, err2))
	}
}

// What a hash was made of, SCRAM takes.
func TestNewHashForSCRAM(t *testing.T) {
	for kind := range SCRAM(scrams) {
		field, err := NewHash(kind.String(), "größe \u212B")
		if err != nil {
			t.Fatal(err)
		}
		var account *Account
		e := begin(scramSite(t, "joe:"+field+"\n"), SCRAMOptions{Kind: kind}, &account)
		if err := converse(e, newSCRAMClient(t, kind, "joe", "größe \u00C5", "", nil)); err != nil || account == nil {
			t.Errorf("%v: %v", kind, err)
		}
	}
}

func TestChannelBinding(t *testing.T) {
	m := scramSite(t, "joe:{PLAIN}pencil\n")
	exporter := ChannelBinding{"tls-exporter", []byte("exported")}
	unique := ChannelBinding{"tls-unique", []byte("finished")}
	could := new(scram.ChannelBinding) // the client has one, and thinks that the server does not
	of := func(kind, data string) *scram.ChannelBinding {
		return &scram.ChannelBinding{Type: scram.ChannelBindingType(kind), Data: []byte(data)}
	}
	for _, c := range []struct {
		name   string
		plus   bool
		has    []ChannelBinding
		client *scram.ChannelBinding
		flag   string // in place of the client's own
		want   error
	}{
		{"exporter", true, []ChannelBinding{unique, exporter}, of("tls-exporter", "exported"), "", nil},
		{"unique", true, []ChannelBinding{unique, exporter}, of("tls-unique", "finished"), "", nil},
		{"none", false, nil, nil, "", nil},
		{"client without it", false, []ChannelBinding{exporter}, nil, "", nil},
		{"client that could, server that can't", false, nil, could, "", nil},
		{"downgrade", false, []ChannelBinding{exporter}, could, "", ErrProtocol},
		{"somebody in the middle", true, []ChannelBinding{exporter}, of("tls-exporter", "other"), "", ErrCredentials},
		{"data of another type", true, []ChannelBinding{unique, exporter}, of("tls-unique", "exported"), "", ErrCredentials},
		{"type that is not there", true, []ChannelBinding{exporter}, of("tls-server-end-point", "exported"), "", ErrProtocol},
		{"empty data", true, []ChannelBinding{{"tls-exporter", nil}}, of("tls-exporter", "exported"), "", ErrProtocol},
		{"connection without any", true, nil, of("tls-exporter", "exported"), "", ErrProtocol},
		{"binding without -PLUS", false, []ChannelBinding{exporter}, of("tls-exporter", "exported"), "", ErrProtocol},
		{"-PLUS without binding", true, []ChannelBinding{exporter}, nil, "", ErrProtocol},
		{"-PLUS, client that could", true, []ChannelBinding{exporter}, could, "", ErrProtocol},
		{"type that does not exist", true, []ChannelBinding{exporter}, nil, "p=tls-none", ErrProtocol},
		{"no flag", false, nil, nil, "x", ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			var account *Account
			e := begin(m, SCRAMOptions{Kind: SCRAMSHA256, Plus: c.plus, Bindings: c.has}, &account)
			client := newSCRAMClient(t, SCRAMSHA256, "joe", "pencil", "", c.client)
			if c.flag != "" {
				client = &otherFlag{scramClient: client, flag: c.flag}
			}
			err := converse(e, client)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (account == nil) != (c.want != nil) {
				t.Errorf("%v, %v; want %v", account, err, c.want)
			}
			if errors.Is(c.want, ErrCredentials) && !strings.Contains(err.Error(), "channel bindings differ") {
				t.Errorf("%v does not tell of the channel binding", err)
			}
		})
	}
}

// otherFlag says another GS2 flag than "n".
type otherFlag struct {
	scramClient
	flag string
}

func (o *otherFlag) Step(challenge string) (string, error) {
	message, err := o.scramClient.Step(challenge)
	if rest, ok := strings.CutPrefix(message, "n,"); ok {
		return o.flag + "," + rest, err
	}
	return message, err
}

func TestSCRAMMessages(t *testing.T) {
	m := scramSite(t, "joe:{PLAIN}pencil\n")
	const first = "n,,n=joe,r=abc"
	for _, messages := range [][]string{
		{""}, {","}, {"n"}, {"n,,"}, {"n,,n=joe"}, {"n,,r=abc,n=joe"}, {"n,,m=x,n=joe,r=abc"}, {"n,joe,n=joe,r=abc"},
		{"n,,n=jo=2,r=abc"}, {"n,a=jo=,n=joe,r=abc"}, {"n,,n=joe,x=abc"}, {"p=,,n=joe,r=abc"},
		{first, ""}, {first, "c=biws"}, {first, "c=biws,r=abc"}, {first, "c=!,r=abc,p=AAAA"}, {first, "c=biws,r=abc,p=!"},
		{first, first}, {strings.Repeat("n", maxResponseOctets+1)},
	} {
		var account *Account
		e := begin(m, SCRAMOptions{Kind: SCRAMSHA256}, &account)
		var err error
		for _, message := range messages {
			_, _, err = e.Next([]byte(message))
		}
		if !errors.Is(err, ErrProtocol) || account != nil {
			t.Errorf("%.80q: %v, %v", messages, account, err)
		}
	}
}

// After the proof the client agrees, with nothing.
func TestSCRAMEnd(t *testing.T) {
	m := scramSite(t, "joe:{PLAIN}pencil\n")
	for end, want := range map[string]error{"": nil, "x": ErrProtocol} {
		var account *Account
		e := begin(m, SCRAMOptions{Kind: SCRAMSHA1}, &account)
		client := newSCRAMClient(t, SCRAMSHA1, "joe", "pencil", "", nil)
		challenge := []byte{}
		for range 2 {
			message, err := client.Step(string(challenge))
			if err == nil {
				challenge, _, err = e.Next([]byte(message))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, done, err := e.Next([]byte(end)); !errors.Is(err, want) || done != (want == nil) {
			t.Errorf("%q: %v, %v", end, done, err)
		}
	}
}

// challengeOf is what a client hears of a user: the salt and the rounds.
func challengeOf(t *testing.T, m *Masters, kind SCRAM, salts *Salts, user string) (salt, rounds string) {
	t.Helper()
	e := NewSCRAM(t.Context(), SCRAMOptions{Kind: kind, Source: m, Salts: salts}, nil)
	challenge, _, err := e.Next([]byte("n,,n=" + user + ",r=abc"))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(challenge), ",")
	return parts[1], parts[2]
}

// Names that don't exist are answered as those that do, and always alike.
func TestSCRAMDecoys(t *testing.T) {
	for _, c := range []struct {
		users  string
		rounds string
		octets int
	}{
		{"joe:" + otherKeys + "\n", "i=10000", 15},
		{"joe:" + otherKeys + "\nhash:{SHA1}L55TUjtiq8FBorTWAZ0jy6g129A=\n", "i=10000", 15},
		{"joe:{PLAIN}pw\n", "i=4096", 16},
		{"hash:{SHA1}L55TUjtiq8FBorTWAZ0jy6g129A=\n", "i=65536", 16},
		{"", "i=65536", 16},
	} {
		m := scramSite(t, c.users)
		seen := make(map[string]string)
		for _, user := range []string{"nobody", "nobody", "Nobody", "hash", "another", "joe@example.org"} {
			salt, rounds := challengeOf(t, m, SCRAMSHA256, testSalts, user)
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(salt, "s="))
			if rounds != c.rounds || len(raw) != c.octets || err != nil {
				t.Errorf("%q, %s: %q, %q, %v; want %s and %d octets", c.users, user, salt, rounds, err, c.rounds, c.octets)
			}
			user = strings.ToLower(user)
			if before, ok := seen[salt]; ok && before != user {
				t.Errorf("%s and %s have the same salt", before, user)
			}
			seen[salt] = user
		}
		if len(seen) != 4 {
			t.Errorf("%q: %v", c.users, seen)
		}
		one, _ := challengeOf(t, m, SCRAMSHA256, testSalts, "nobody")
		two, _ := challengeOf(t, m, SCRAMSHA256, NewSalts([]byte("another")), "nobody")
		three, _ := challengeOf(t, m, SCRAMSHA1, testSalts, "nobody")
		if one == two || one == three {
			t.Errorf("salts do not depend on secret and mechanism: %q, %q, %q", one, two, three)
		}
	}
}

// The names of one account have one salt, whether it exists or not, and are right only
// where the source has them.
func TestSCRAMSpellings(t *testing.T) {
	o := SCRAMOptions{Kind: SCRAMSHA256, Account: func(user string) string {
		name, _, _ := strings.Cut(user, "+")
		return name
	}}
	for _, secret := range []string{"{PLAIN}pencil", "{SCRAM-SHA-256}" + pencil256} {
		m := scramSite(t, "joe:"+secret+"\njim+1:"+secret+"\n")
		seen := make(map[string]string)
		for user, want := range map[string]error{
			"joe": nil, "joe+1": ErrCredentials, "joe+2": ErrCredentials, "jim+1": nil, "bob": ErrCredentials, "bob+1": ErrCredentials,
		} {
			var account *Account
			challenge, _, err := begin(m, o, &account).Next([]byte("n,,n=" + user + ",r=abc"))
			if err != nil {
				t.Fatal(err)
			}
			_, factors, _ := strings.Cut(string(challenge), ",")
			name, _, _ := strings.Cut(user, "+")
			if before := seen[name]; before != "" && before != factors {
				t.Errorf("%s, %s: %q, and another one of these names %q", secret, user, factors, before)
			}
			seen[name] = factors
			err = converse(begin(m, o, &account), newSCRAMClient(t, SCRAMSHA256, user, "pencil", "", nil))
			if !errors.Is(err, want) || (account != nil) != (want == nil) {
				t.Errorf("%s, %s: %v, %v, want %v", secret, user, account, err, want)
			}
		}
		if seen["joe"] == seen["bob"] {
			t.Errorf("%s: joe and bob have the same salt", secret)
		}
	}
}

// A password that was changed after the salt was given is not right any more.
func TestSCRAMSecretChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	for _, users := range []string{"joe:{PLAIN}pencil\n", "joe:{SCRAM-SHA-256}" + pencil256 + "\n"} {
		for next, want := range map[string]error{users: nil, "joe:{PLAIN}Pencil\n": ErrCredentials, "joe:!\n": ErrCredentials, "jim:{PLAIN}pencil\n": ErrCredentials} {
			put(t, path, users)
			m := &Masters{Chain: Chain{{Source: NewPasswd(path, noWarning(t))}}}
			var account *Account
			e := begin(m, SCRAMOptions{Kind: SCRAMSHA256}, &account)
			client := newSCRAMClient(t, SCRAMSHA256, "joe", "pencil", "", nil)
			message, err := client.Step("")
			if err != nil {
				t.Fatal(err)
			}
			challenge, _, err := e.Next([]byte(message))
			if err != nil {
				t.Fatal(err)
			}
			put(t, path, next)
			if message, err = client.Step(string(challenge)); err != nil {
				t.Fatal(err)
			}
			if _, _, err := e.Next([]byte(message)); !errors.Is(err, want) {
				t.Errorf("%q, then %q: %v, want %v", users, next, err, want)
			}
		}
	}
}

// A source that can't be read is no wrong password.
func TestSCRAMFaults(t *testing.T) {
	broken := Binding{Source: NewPasswd(t.TempDir()+"/none", noWarning(t))}
	right := scramSite(t, "joe:{PLAIN}pencil\n").Chain[0]
	other := Binding{Source: right.Source, Domains: []string{"example.org"}}
	for _, c := range []struct {
		chain Chain
		want  error
	}{
		{Chain{broken}, ErrTemporary},
		{Chain{right, broken}, nil},
		{Chain{other}, ErrCredentials},
		{Chain{{Source: NewPAM(PAMOptions{})}}, ErrCredentials},
		{Chain{{Source: NewPAM(PAMOptions{})}, right}, nil},
	} {
		var account *Account
		e := begin(&Masters{Chain: c.chain}, SCRAMOptions{Kind: SCRAMSHA256}, &account)
		err := converse(e, newSCRAMClient(t, SCRAMSHA256, "joe", "pencil", "", nil))
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%v: %v, want %v", c.chain, err, c.want)
		}
	}
}

// A source that could not be read in the beginning, and can in the end, has not found
// that a password is wrong.
func TestSCRAMFaultPasses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	m := &Masters{Chain: Chain{{Name: "passwd", Source: NewPasswd(path, noWarning(t))}}}
	var account *Account
	e := begin(m, SCRAMOptions{Kind: SCRAMSHA256}, &account)
	client := newSCRAMClient(t, SCRAMSHA256, "joe", "pencil", "", nil)
	message, err := client.Step("")
	if err != nil {
		t.Fatal(err)
	}
	challenge, _, err := e.Next([]byte(message))
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, "joe:{SCRAM-SHA-256}"+pencil256+"\n")
	if message, err = client.Step(string(challenge)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Next([]byte(message)); !errors.Is(err, ErrTemporary) {
		t.Errorf("%v, want %v", err, ErrTemporary)
	}
	if err := converse(begin(m, SCRAMOptions{Kind: SCRAMSHA256}, &account), newSCRAMClient(t, SCRAMSHA256, "joe", "pencil", "", nil)); err != nil {
		t.Error(err)
	}
}

func FuzzSCRAM(f *testing.F) {
	f.Add("n,,n=joe,r=abc", "c=biws,r=abc,p=AAAA", false)
	f.Add("p=tls-exporter,a=jim,n=joe,r=abc", "c=biws,r=abc,x=y,p=AAAA", true)
	f.Add("y,,n=j=2Coe,r=", "c=eSws,r=,p=", false)
	m := scramSite(f, "joe:{SCRAM-SHA-256}"+pencil256+"\n")
	f.Fuzz(func(t *testing.T, first, final string, plus bool) {
		var account *Account
		e := begin(m, SCRAMOptions{Kind: SCRAMSHA256, Plus: plus, Bindings: []ChannelBinding{{"tls-exporter", []byte("exported")}}}, &account)
		_, done, err := e.Next([]byte(first))
		if err == nil && !done {
			_, done, err = e.Next([]byte(final))
		}
		if err == nil || done || account != nil {
			t.Errorf("%q and %q log in", first, final)
		}
	})
}

// A source that can't be read shows nothing of who is in another.
func TestSCRAMFaultTellsNobody(t *testing.T) {
	m := scramSite(t, "joe:{PLAIN}pencil\n")
	m.Chain = append(m.Chain, Binding{Source: NewPasswd(t.TempDir()+"/none", noWarning(t))})
	for user, want := range map[string]error{"joe": ErrTemporary, "nobody": ErrTemporary} {
		var account *Account
		e := begin(m, SCRAMOptions{Kind: SCRAMSHA256}, &account)
		if challenge, _, err := e.Next([]byte("n,,n=" + user + ",r=abc")); len(challenge) == 0 || err != nil {
			t.Errorf("%s: %q, %v", user, challenge, err)
		}
		e = begin(m, SCRAMOptions{Kind: SCRAMSHA256}, &account)
		if err := converse(e, newSCRAMClient(t, SCRAMSHA256, user, "wrong", "", nil)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", user, err, want)
		}
	}
}
