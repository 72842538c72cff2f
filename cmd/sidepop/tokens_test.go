package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/pop3"
)

// tokenKey is the only key of the issuer of the tests' tokens.
var tokenKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// tokenFor is a token of a user.
func tokenFor(t *testing.T, user string, expires time.Duration) string {
	t.Helper()
	payload, err := json.Marshal(map[string]any{
		"iss": "https://id.example.org", "aud": "mail", "email": user, "exp": time.Now().Add(expires).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"k"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(tokenKey, []byte(text)))
}

// newTokenSite is newSite with the keys of the issuer in a file.
func newTokenSite(t *testing.T, files map[string]string) *site {
	t.Helper()
	return newSite(t, files, withTokens(t, files), "text")
}

// withTokens adds the issuer's keys to the files of a site.
func withTokens(t *testing.T, files map[string]string) func(*config.Config) {
	t.Helper()
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: tokenKey.Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	files["jwks"] = string(keys)
	return func(c *config.Config) {
		o := &c.Auth.OAuth
		o.Issuer, o.Audience, o.JWKSFile = "https://id.example.org", []string{"mail"}, strings.TrimSuffix(c.Auth.PasswdFile, "users")+"jwks"
	}
}

// TestTokens has logins with tokens beside the answer and what the log says of them.
func TestTokens(t *testing.T) {
	s := newTokenSite(t, map[string]string{
		"users":              "joe@example.org:!\nnever@example.org:{PLAIN}pw::::::nologin\naway@example.org:{PLAIN}pw::::::allow_nets=192.0.2.1\n",
		"joe/new/1.M1P1.h":   message,
		"never/new/1.M1P1.h": message,
	})
	good, expired := tokenFor(t, "joe@example.org", time.Hour), tokenFor(t, "joe@example.org", -time.Hour)
	named := func(user, token string) string { return "n,a=" + user + ",\x01auth=Bearer " + token + "\x01\x01" }
	google := func(user, token string) string { return "user=" + user + "\x01auth=Bearer " + token + "\x01\x01" }
	tests := []struct{ name, mechanism, response, challenge, answer, log string }{
		{"named", "OAUTHBEARER", named("joe@example.org", good), "", "+OK 1 messages", "user=joe@example.org mech=OAUTHBEARER"},
		{"nameless", "OAUTHBEARER", "n,,\x01auth=Bearer " + good + "\x01\x01", "", "+OK 1 messages", "user=joe@example.org mech=OAUTHBEARER"},
		{"xoauth2", "XOAUTH2", google("Joe@Example.org", good), "", "+OK 1 messages", "user=joe@example.org mech=XOAUTH2"},
		{"expired", "OAUTHBEARER", named("joe@example.org", expired), "invalid_token", "-ERR [AUTH]", "it expired at"},
		{"expired, xoauth2", "XOAUTH2", google("joe@example.org", expired), `"401"`, "-ERR [AUTH]", "it expired at"},
		{"another's", "OAUTHBEARER", named("never@example.org", good), "invalid_token", "-ERR [AUTH]", "it is that of"},
		{"empty name", "OAUTHBEARER", named("", tokenFor(t, "who@example.org", time.Hour)), "invalid_request", "-ERR [AUTH]", "authorization identity is malformed"},
		{"no such account", "OAUTHBEARER", named("who@example.org", tokenFor(t, "who@example.org", time.Hour)), "invalid_token", "-ERR [AUTH]", "has no account"},
		{"nologin", "OAUTHBEARER", named("never@example.org", tokenFor(t, "never@example.org", time.Hour)), "invalid_token", "-ERR [AUTH]", "nologin is set"},
		{"another network", "OAUTHBEARER", named("away@example.org", tokenFor(t, "away@example.org", time.Hour)), "invalid_token", "-ERR [AUTH]", "allow_nets does not hold"},
	}
	for i, tt := range tests {
		c := s.dialFrom(fmt.Sprintf("127.0.0.%d", 2+i)) // or who failed before would have to wait
		got := c.say("AUTH " + tt.mechanism + " " + base64.StdEncoding.EncodeToString([]byte(tt.response)))
		if tt.challenge != "" {
			text, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(got, "+ "))
			if err != nil || !strings.Contains(string(text), tt.challenge) {
				t.Errorf("%s: challenge %q (%q), %v; want %s", tt.name, got, text, err, tt.challenge)
			}
			got = c.say("AQ==")
		}
		if !strings.HasPrefix(got, tt.answer) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.answer)
		}
		c.expect("QUIT", "+OK")
	}
	log := s.ended()
	for _, tt := range tests {
		if !strings.Contains(log, tt.log) {
			t.Errorf("%s: no %q in\n%s", tt.name, tt.log, log)
		}
	}
	for _, token := range []string{good, expired} {
		if strings.Contains(log, token[strings.LastIndexByte(token, '.'):]) {
			t.Errorf("a signature is in the log:\n%s", log)
		}
	}
}

// TestTokensAbandoned has clients that leave when they are told that a token is not
// good: the log has the reason.
func TestTokensAbandoned(t *testing.T) {
	for _, leave := range []string{"*", "QUIT", ""} {
		s := newTokenSite(t, map[string]string{"users": "joe@example.org:!\n"})
		c := s.dial()
		response := "user=joe@example.org\x01auth=Bearer " + tokenFor(t, "joe@example.org", -time.Hour) + "\x01\x01"
		c.expect("AUTH XOAUTH2 "+base64.StdEncoding.EncodeToString([]byte(response)), "+ ")
		if leave == "" {
			_ = c.conn.Close()
		} else {
			c.expect(leave, "-ERR")
		}
		if log := s.ended(); !hasLine(log, "login failed", "user=joe@example.org", "it expired at") {
			t.Errorf("%q: the log has\n%s", leave, log)
		}
	}
}

// TestTokensOffer: the mechanisms are there where tokens are taken and nobody listens.
func TestTokensOffer(t *testing.T) {
	s := newTokenSite(t, map[string]string{"users": ""})
	if got := s.server.Backend.Offer(pop3.Peer{Secure: true}).SASL; fmt.Sprint(got) != "[PLAIN LOGIN OAUTHBEARER XOAUTH2]" {
		t.Errorf("with TLS: %v", got)
	}
	if got := s.server.Backend.Offer(pop3.Peer{}).SASL; len(got) > 0 {
		t.Errorf("without TLS: %v", got)
	}
	if err := os.Remove(s.dir + "/jwks"); err != nil {
		t.Fatal(err)
	}
	c := s.dial()
	response := "user=joe@example.org\x01auth=Bearer " + tokenFor(t, "joe@example.org", time.Hour) + "\x01\x01"
	c.expect("AUTH XOAUTH2 "+base64.StdEncoding.EncodeToString([]byte(response)), "+ ")
	c.expect("", "-ERR [SYS/TEMP]")
}
