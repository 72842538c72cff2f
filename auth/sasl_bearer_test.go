package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
)

// begun begins an exchange with either mechanism.
type begun func(BearerFunc, BearerHelp) *Exchange

// onlyGood lets in who has the token "good": joe.
func onlyGood(user, token string) (string, error) {
	switch {
	case token == "down":
		return "", fmt.Errorf("keys: %w", ErrTemporary)
	case token == "fault":
		return "", fmt.Errorf("keys: %w", ErrPermanent)
	case token == "calendar":
		return "", ErrScope
	case token != "good":
		return "", fmt.Errorf("token: %w", ErrCredentials)
	case user != "" && user != "joe":
		return "", fmt.Errorf("token: %w", ErrDenied)
	}
	return "joe", nil
}

func TestBearerExchanges(t *testing.T) {
	help := BearerHelp{Scope: "mail", Configuration: "https://id.example.org/.well-known/openid-configuration"}
	invalid := `{"status":"invalid_token","scope":"mail","openid-configuration":"https://id.example.org/.well-known/openid-configuration"}`
	request := strings.Replace(invalid, "invalid_token", "invalid_request", 1)
	x401 := `{"status":"401","schemes":"bearer","scope":"mail"}`
	x400 := strings.Replace(x401, "401", "400", 1)
	ok := func(rest string) string { return "n,a=joe,\x01" + rest + "\x01" }
	bearer := "auth=Bearer good\x01"
	for _, c := range []struct {
		name, response string
		begin          begun
		challenge      string // with which a failure is told; "": success
		want           error
		user           string
	}{
		{"name and token", ok(bearer), NewOAuthBearer, "", nil, "joe"},
		{"no name", "n,,\x01" + bearer + "\x01", NewOAuthBearer, "", nil, "joe"},
		{"channel bindings on the client's side", "y,,\x01" + bearer + "\x01", NewOAuthBearer, "", nil, "joe"},
		{"case of the scheme", ok("auth=bEARER good\x01"), NewOAuthBearer, "", nil, "joe"},
		{"more than one space", ok("auth=Bearer   good\x01"), NewOAuthBearer, "", nil, "joe"},
		{"host and port", ok("host=mx\x01port=110\x01" + bearer), NewOAuthBearer, "", nil, "joe"},
		{"keys of tomorrow", ok("mthd=POST\x01qs=\x01new=a=b\x01" + bearer), NewOAuthBearer, "", nil, "joe"},
		{"user is another mechanism's", ok("user=root\x01" + bearer), NewOAuthBearer, "", nil, "joe"},

		{"wrong token", ok("auth=Bearer bad\x01"), NewOAuthBearer, invalid, ErrCredentials, "joe"},
		{"token of another user", "n,a=root,\x01" + bearer + "\x01", NewOAuthBearer, invalid, ErrDenied, "root"},
		{"escaped name", "n,a=j=2Coe=3D,\x01" + bearer + "\x01", NewOAuthBearer, invalid, ErrDenied, "j,oe="},
		{"no token", ok(""), NewOAuthBearer, invalid, ErrCredentials, "joe"},
		{"empty auth", ok("auth=\x01"), NewOAuthBearer, invalid, ErrCredentials, "joe"},
		{"scheme alone", ok("auth=Bearer\x01"), NewOAuthBearer, invalid, ErrCredentials, "joe"},
		{"token for something else", ok("auth=Bearer calendar\x01"), NewOAuthBearer, strings.Replace(invalid, "invalid_token", "insufficient_scope", 1), ErrScope, "joe"},
		{"issuer is down", ok("auth=Bearer down\x01"), NewOAuthBearer, strings.Replace(invalid, "invalid_token", "temporarily_unavailable", 1), ErrTemporary, "joe"},
		{"no keys", ok("auth=Bearer fault\x01"), NewOAuthBearer, strings.Replace(invalid, "invalid_token", "server_error", 1), ErrPermanent, "joe"},

		{"nothing", "", NewOAuthBearer, request, ErrProtocol, ""},
		{"the answer to a failure, first", "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"no GS2 header", "\x01" + bearer + "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"half a GS2 header", "n,\x01" + bearer + "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"GS2 header with more", "n,a=joe,x\x01" + bearer + "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"channel bindings", "p=tls-unique,a=joe,\x01" + bearer + "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"nonstandard mechanism", "F,n,a=joe,\x01" + bearer + "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"empty name", "n,a=,\x01" + bearer + "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"name without a=", "n,joe,\x01" + bearer + "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"bad escape", "n,a=j=2coe,\x01" + bearer + "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"NUL in the name", "n,a=j\x00oe,\x01" + bearer + "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"name too long", "n,a=" + strings.Repeat("j", MaxUserOctets+1) + ",\x01" + bearer + "\x01", NewOAuthBearer, request, ErrProtocol, ""},
		{"one separator at the end", "n,a=joe,\x01" + bearer, NewOAuthBearer, request, ErrProtocol, "joe"},
		{"three separators at the end", ok(bearer + "\x01"), NewOAuthBearer, request, ErrProtocol, "joe"},
		{"key without value", ok("auth\x01"), NewOAuthBearer, request, ErrProtocol, "joe"},
		{"value without key", ok("=good\x01" + bearer), NewOAuthBearer, request, ErrProtocol, "joe"},
		{"two tokens", ok("auth=Bearer bad\x01" + bearer), NewOAuthBearer, request, ErrProtocol, "joe"},
		{"another scheme", ok("auth=Basic good\x01"), NewOAuthBearer, request, ErrProtocol, "joe"},

		{"xoauth2", "user=joe\x01" + bearer + "\x01", NewXOAuth2, "", nil, "joe"},
		{"xoauth2, other order", bearer + "user=joe\x01\x01", NewXOAuth2, "", nil, "joe"},
		{"xoauth2, wrong token", "user=joe\x01auth=Bearer bad\x01\x01", NewXOAuth2, x401, ErrCredentials, "joe"},
		{"xoauth2, token of another user", "user=root\x01" + bearer + "\x01", NewXOAuth2, x401, ErrDenied, "root"},
		{"xoauth2, token for something else", "user=joe\x01auth=Bearer calendar\x01\x01", NewXOAuth2, strings.Replace(x401, "401", "403", 1), ErrScope, "joe"},
		{"xoauth2, issuer is down", "user=joe\x01auth=Bearer down\x01\x01", NewXOAuth2, strings.Replace(x401, "401", "503", 1), ErrTemporary, "joe"},
		{"xoauth2, no user", bearer + "\x01", NewXOAuth2, x400, ErrProtocol, ""},
		{"xoauth2, empty user", "user=\x01" + bearer + "\x01", NewXOAuth2, x400, ErrProtocol, ""},
		{"xoauth2, two users", "user=joe\x01user=root\x01" + bearer + "\x01", NewXOAuth2, x400, ErrProtocol, "joe"},
		{"xoauth2, nothing", "", NewXOAuth2, x400, ErrProtocol, ""},
	} {
		for _, first := range []string{"at once", "after a challenge"} {
			t.Run(c.name+"/"+first, func(t *testing.T) {
				e := c.begin(onlyGood, help)
				if first != "at once" {
					if challenge, done, err := e.Next(nil); challenge == nil || len(challenge) > 0 || done || err != nil {
						t.Fatalf("without a response: %q, %v, %v", challenge, done, err)
					}
				}
				challenge, done, err := e.Next([]byte(c.response))
				if string(challenge) != c.challenge || done != (c.challenge == "") || err != nil {
					t.Fatalf("challenge %q, done %v, error %v; want %q", challenge, done, err, c.challenge)
				}
				if e.User() != c.user {
					t.Errorf("user %q, want %q", e.User(), c.user)
				}
				if pending := e.Pending(); !errors.Is(pending, c.want) || (pending == nil) != done {
					t.Errorf("pending: %v, want %v", pending, c.want)
				}
				if done {
					return
				}
				challenge, done, err = e.Next([]byte{1})
				if pending := e.Pending(); pending != nil {
					t.Errorf("pending at the end: %v", pending)
				}
				if len(challenge) > 0 || done || !errors.Is(err, c.want) {
					t.Errorf("at the end: %q, %v, %v; want %v", challenge, done, err, c.want)
				}
				if _, done, err := e.Next([]byte("n,,\x01" + bearer + "\x01")); done || !errors.Is(err, ErrProtocol) {
					t.Errorf("after the end: %v, %v", done, err)
				}
			})
		}
	}
}

// TestBearerAnswers has what clients answer to a failure: whatever it is, the
// exchange is over, and with the reason.
func TestBearerAnswers(t *testing.T) {
	for _, answer := range []string{"", "\x01", "n,a=joe,\x01auth=Bearer good\x01\x01", "user=joe\x01auth=Bearer good\x01\x01", "xyz"} {
		for _, begin := range []begun{NewOAuthBearer, NewXOAuth2} {
			e := begin(onlyGood, BearerHelp{})
			if _, done, err := e.Next([]byte("nonsense")); done || err != nil {
				t.Fatal(done, err)
			}
			if _, done, err := e.Next([]byte(answer)); done || !errors.Is(err, ErrProtocol) {
				t.Errorf("%q: %v, %v", answer, done, err)
			}
		}
	}
}

func TestBearerLimits(t *testing.T) {
	const around = len("n,,\x01auth=Bearer " + "\x01\x01")
	long := strings.Repeat("a", MaxTokenOctets-around)
	got := ""
	verify := func(_, token string) (string, error) { got = token; return "joe", nil }
	if _, done, err := NewOAuthBearer(verify, BearerHelp{}).Next([]byte("n,,\x01auth=Bearer " + long + "\x01\x01")); !done || err != nil || got != long {
		t.Errorf("longest token: %v, %v, %d octets", done, err, len(got))
	}
	if _, done, err := NewXOAuth2(verify, BearerHelp{}).Next([]byte("user=joe\x01auth=Bearer " + long + "\x01\x01")); done || !errors.Is(err, ErrProtocol) {
		t.Errorf("too long: %v, %v", done, err)
	}
}

// TestBearerErrorsHaveNoToken has malformed responses whose tokens must not get
// into the log.
func TestBearerErrorsHaveNoToken(t *testing.T) {
	for _, response := range []string{
		"n,a=joe,\x01auth=Bearer SECRETSECRET\x01auth=Bearer SECRETSECRET\x01\x01",
		"n,a=joe,\x01auth=Bearer SECRETSECRET\x01", "n,a=joe,\x01SECRETSECRET\x01\x01", "SECRETSECRET", "n,SECRETSECRET,\x01\x01",
	} {
		for _, begin := range []begun{NewOAuthBearer, NewXOAuth2} {
			e := begin(onlyGood, BearerHelp{})
			challenge, _, _ := e.Next([]byte(response))
			_, _, err := e.Next(nil)
			if _, _, err2 := e.Next([]byte{1}); err == nil || strings.Contains(fmt.Sprint(string(challenge), err, err2), "SECRET") {
				t.Errorf("%q: %s, %v, %v", response, challenge, err, err2)
			}
		}
	}
}

// TestBearerExamples is RFC 7628, sections 4.1 and 4.3, and the example in Google's
// documentation, as they stand there.
func TestBearerExamples(t *testing.T) {
	var user, token string
	right := false
	verify := func(u, t string) (string, error) {
		user, token = u, t
		if !right {
			return "", ErrCredentials
		}
		return u, nil
	}
	help := BearerHelp{"example_scope", "https://example.com/.well-known/openid-configuration"}
	response := fromBase64(t, "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB")
	e := NewOAuthBearer(verify, help)
	challenge, done, err := e.Next(response)
	want := "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9uIn0="
	if got := base64.StdEncoding.EncodeToString(challenge); got != want || done || err != nil {
		t.Errorf("section 4.3: %s, %v, %v", challenge, done, err)
	}
	if _, done, err := e.Next(fromBase64(t, "AQ==")); done || !errors.Is(err, ErrCredentials) {
		t.Errorf("section 4.3: %v, %v", done, err)
	}
	right = true
	if _, done, err := NewOAuthBearer(verify, help).Next(response); !done || err != nil ||
		user != "user@example.com" || token != "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" {
		t.Errorf("section 4.1: %v, %v, %q, %q", done, err, user, token)
	}
	google := fromBase64(t, "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==")
	if _, done, err := NewXOAuth2(verify, help).Next(google); !done || err != nil ||
		user != "someuser@example.com" || token != "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg" {
		t.Errorf("XOAUTH2: %v, %v, %q, %q", done, err, user, token)
	}
}

// TestBearerClient has another implementation as the client.
func TestBearerClient(t *testing.T) {
	for _, c := range []struct {
		options sasl.OAuthBearerOptions
		right   bool
	}{
		{sasl.OAuthBearerOptions{Username: "joe", Token: "good", Host: "mx.example.org", Port: 995}, true},
		{sasl.OAuthBearerOptions{Token: "good"}, true},
		{sasl.OAuthBearerOptions{Username: "joe", Token: "bad"}, false},
	} {
		client := sasl.NewOAuthBearerClient(&c.options)
		_, response, err := client.Start()
		if err != nil {
			t.Fatal(err)
		}
		challenge, done, err := NewOAuthBearer(onlyGood, BearerHelp{Scope: "mail"}).Next(response)
		if done != c.right || err != nil {
			t.Errorf("%v: %v, %v", c.options, done, err)
		}
		if done {
			continue
		}
		var told *sasl.OAuthBearerError
		if _, err := client.Next(challenge); !errors.As(err, &told) || told.Status != "invalid_token" || told.Scope != "mail" {
			t.Errorf("%v: the client understands %v", c.options, err)
		}
	}
}

func fromBase64(t *testing.T, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzBearer holds that what one reader takes, written again, means the same, and
// that an exchange ends after two responses at most.
func FuzzBearer(f *testing.F) {
	for _, s := range []string{
		"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4q==\x01\x01", "n,,\x01\x01",
		"y,a=j=2Coe=3D,\x01auth=bearer x\x01\x01", "user=joe\x01auth=Bearer x\x01\x01", "\x01", "p=tls-unique,,\x01\x01",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, response string) {
		if user, token, err := parseOAuthBearer(response); err == nil {
			name := ""
			if user != "" {
				name = "a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user)
			}
			again := "n," + name + ",\x01auth=Bearer " + token + "\x01\x01"
			if u, tk, err := parseOAuthBearer(again); u != user || tk != token || err != nil {
				t.Errorf("%q: %q, %q; written again: %q, %q, %v", response, user, token, u, tk, err)
			}
		}
		if user, token, err := parseXOAuth2(response); err == nil {
			again := "user=" + user + "\x01auth=Bearer " + token + "\x01\x01"
			if u, tk, err := parseXOAuth2(again); u != user || tk != token || err != nil {
				t.Errorf("%q: %q, %q; written again: %q, %q, %v", response, user, token, u, tk, err)
			}
		}
		for _, begin := range []begun{NewOAuthBearer, NewXOAuth2} {
			e := begin(onlyGood, BearerHelp{})
			if _, done, err := e.Next([]byte(response)); done || err != nil {
				continue
			}
			if _, done, err := e.Next([]byte(response)); done || err == nil {
				t.Errorf("%q: the exchange goes on", response)
			}
		}
	})
}
