package auth

import (
	"errors"
	"strings"
	"testing"
)

func TestExchanges(t *testing.T) {
	const none = "\xffnil" // the client sent no response
	zeros := strings.Repeat("0", 32)
	newCRAM := func(verify VerifyFunc) *Exchange { return NewCRAMMD5("mx.example", verify) }
	long := strings.Repeat("a", maxResponseOctets+1)
	for _, c := range []struct {
		name      string
		begin     func(VerifyFunc) *Exchange
		responses []string
		want      error // of the last response; nil is success
		user      string
	}{
		{"plain at once", NewPlain, []string{"\x00joe\x00pw"}, nil, "joe"},
		{"plain after a challenge", NewPlain, []string{none, "\x00joe\x00pw"}, nil, "joe"},
		{"plain, own identity", NewPlain, []string{"joe\x00joe\x00pw"}, nil, "joe"},
		{"plain, other identity", NewPlain, []string{"root\x00joe\x00pw"}, ErrDenied, "joe"},
		{"plain, other identity, wrong password", NewPlain, []string{"root\x00joe\x00PW"}, ErrDenied, "joe"},
		{"cram-md5", newCRAM, []string{none, "joe 00"}, ErrProtocol, ""},
		{"cram-md5, response before the challenge", newCRAM, []string{"joe " + zeros, "joe " + zeros}, ErrProtocol, ""},
		{"cram-md5, empty response before the challenge", newCRAM, []string{"", "joe " + zeros}, ErrCredentials, "joe"},
		{"cram-md5, wrong digest", newCRAM, []string{none, "joe " + zeros}, ErrCredentials, "joe"},
		{"cram-md5, name with spaces", newCRAM, []string{none, "joe of example " + zeros}, ErrCredentials, "joe of example"},
		{"cram-md5, no name", newCRAM, []string{none, zeros}, ErrProtocol, ""},
		{"cram-md5, empty", newCRAM, []string{none, ""}, ErrProtocol, ""},
		{"cram-md5, longer digest", newCRAM, []string{none, "joe " + zeros + "00"}, ErrProtocol, ""},
		{"cram-md5, no hexadecimal", newCRAM, []string{none, "joe " + strings.Repeat("x", 32)}, ErrProtocol, ""},
		{"plain, wrong password", NewPlain, []string{"\x00joe\x00PW"}, ErrCredentials, "joe"},
		{"plain, empty password", NewPlain, []string{"\x00joe\x00"}, ErrCredentials, "joe"},
		{"plain, empty response at once", NewPlain, []string{""}, ErrProtocol, ""},
		{"plain, empty response later", NewPlain, []string{none, ""}, ErrProtocol, ""},
		{"plain, no NUL", NewPlain, []string{"joe"}, ErrProtocol, ""},
		{"plain, one NUL", NewPlain, []string{"joe\x00pw"}, ErrProtocol, ""},
		{"plain, three NULs", NewPlain, []string{"\x00joe\x00pw\x00"}, ErrProtocol, ""},
		{"plain, too long", NewPlain, []string{"\x00joe\x00" + long}, ErrProtocol, ""},
		{"plain, second nil", NewPlain, []string{none, none}, ErrProtocol, ""},
		{"plain, after success", NewPlain, []string{"\x00joe\x00pw", "\x00joe\x00pw"}, ErrProtocol, "joe"},
		{"plain, after failure", NewPlain, []string{"\x00joe\x00PW", "\x00joe\x00pw"}, ErrProtocol, "joe"},
		{"plain, after nonsense", NewPlain, []string{"joe", "\x00joe\x00pw"}, ErrProtocol, ""},
		{"login", NewLogin, []string{none, "joe", "pw"}, nil, "joe"},
		{"login, name at once", NewLogin, []string{"joe", "pw"}, nil, "joe"},
		{"login, empty name at once", NewLogin, []string{"", "pw"}, ErrCredentials, ""},
		{"login, empty password", NewLogin, []string{none, "joe", ""}, ErrCredentials, "joe"},
		{"login, wrong password", NewLogin, []string{none, "joe", "PW"}, ErrCredentials, "joe"},
		{"login, NUL in the password", NewLogin, []string{"joe", "pw\x00"}, ErrCredentials, "joe"},
		{"login, no password", NewLogin, []string{"joe", none}, ErrProtocol, "joe"},
		{"login, too long", NewLogin, []string{none, long}, ErrProtocol, ""},
		{"login, after success", NewLogin, []string{"joe", "pw", "pw"}, ErrProtocol, "joe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := c.begin(func(l Login) error {
				switch {
				case l.AsOther():
					return ErrDenied
				case l.User == "joe" && l.Password == "pw":
					return nil
				}
				return ErrCredentials
			})
			var err error
			var done bool
			for _, response := range c.responses {
				raw := []byte(response)
				if response == none {
					raw = nil
				}
				_, done, err = e.Next(raw)
			}
			if !errors.Is(err, c.want) || done != (c.want == nil) {
				t.Errorf("done is %v, error %v, want %v", done, err, c.want)
			}
			if e.User() != c.user {
				t.Errorf("user is %q, want %q", e.User(), c.user)
			}
			if err != nil && strings.Contains(strings.ToLower(err.Error()), "pw") {
				t.Errorf("the error quotes the password: %v", err)
			}
		})
	}
}

func TestChallenges(t *testing.T) {
	for _, c := range []struct {
		begin     func(VerifyFunc) *Exchange
		responses [][]byte
		want      string
	}{
		{NewPlain, [][]byte{nil}, ""},
		{NewLogin, [][]byte{nil}, "Username:"},
		{NewLogin, [][]byte{[]byte("joe")}, "Password:"},
		{NewLogin, [][]byte{nil, []byte("joe")}, "Password:"},
		{NewLogin, [][]byte{nil, {}}, "Password:"},
	} {
		e := c.begin(func(Login) error { panic("verified before there is a password") })
		var challenge []byte
		for _, response := range c.responses {
			next, done, err := e.Next(response)
			if next == nil || done || err != nil {
				t.Fatalf("%q: %q, %v, %v", c.responses, next, done, err)
			}
			challenge = next
		}
		if string(challenge) != c.want {
			t.Errorf("%q: %q, want %q", c.responses, challenge, c.want)
		}
	}
}
