package oauth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sidepop/auth"
)

// TestTokens has tokens beside what becomes of them: a user, or the beginning of
// what the log is told.
func TestTokens(t *testing.T) {
	now := time.Now().Unix()
	plain := func(changes object) func(*testing.T) string {
		return func(t *testing.T) string { return token(t, changes) }
	}
	made := func(algorithm, key, header, payload string) func(*testing.T) string {
		return func(t *testing.T) string {
			if payload == "" {
				payload = toJSON(t, good())
			}
			return sign(t, algorithm, key, header, payload)
		}
	}
	text := func(s string) func(*testing.T) string { return func(*testing.T) string { return s } }
	const joe = "joe@example.org"
	ending := fmt.Sprintf(`,"exp":%d}`, now+300)
	for _, c := range []struct {
		name  string
		token func(*testing.T) string
		user  string // "": refused
		why   string
	}{
		{"good", plain(nil), joe, ""},
		{"several audiences", plain(object{"aud": []string{"files", "mail2"}}), joe, ""},
		{"optional claims left out", plain(object{"iat": nil, "nbf": nil, "sub": nil, "email_verified": nil, "scope": nil}), joe, ""},
		{"verified as text", plain(object{"email_verified": "true"}), joe, ""},
		{"clocks apart", plain(object{"exp": now - 30, "nbf": now + 30, "iat": now + 30}), joe, ""},
		{"time with a fraction", plain(object{"exp": float64(now) + 300.5}), joe, ""},

		{"expired", plain(object{"exp": now - 120}), "", "it expired at "},
		{"no expiry", plain(object{"exp": nil}), "", "it has no exp claim"},
		{"expiry as text", plain(object{"exp": fmt.Sprint(now + 300)}), "", "its payload is unusable: iss, sub"},
		{"expiry null", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa"}`, `{"iss":"`+issuer+`","aud":"mail","email":"joe@example.org","exp":null}`), "", "it has no exp claim"},
		{"expiry beyond all numbers", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa"}`, `{"iss":"`+issuer+`","aud":"mail","email":"joe@example.org","exp":1e400}`), "", "its payload is unusable"},
		{"not yet valid", plain(object{"nbf": now + 120}), "", "it is not valid before "},
		{"issued in the future", plain(object{"iat": now + 120}), "", "it was issued in the future"},
		{"other audience", plain(object{"aud": "files"}), "", `its audience is ["files"], expected one of ["mail" "mail2"]`},
		{"no audience", plain(object{"aud": nil}), "", "its audience is []"},
		{"audience is a number", plain(object{"aud": 1}), "", "its payload is unusable"},
		{"other issuer", plain(object{"iss": "https://evil.example.org"}), "", `its issuer is "https://evil.example.org", expected "https://id.example.org"`},
		{"issuer with a slash more", plain(object{"iss": issuer + "/"}), "", "its issuer is"},
		{"no issuer", plain(object{"iss": nil}), "", "its issuer is"},
		{"no address", plain(object{"email": nil}), "", `it has no claim "email"`},
		{"address is a list", plain(object{"email": []string{joe}}), "", `it has no claim "email"`},
		{"address is an object", plain(object{"email": object{"email": joe}}), "", `it has no claim "email"`},
		{"empty address", plain(object{"email": ""}), "", `its claim "email" is empty`},
		{"NUL in the address", plain(object{"email": "joe\x00@example.org"}), "", `its claim "email" is empty`},
		{"long address", plain(object{"email": strings.Repeat("j", 321)}), "", `its claim "email" is empty`},
		{"address not verified", plain(object{"email_verified": false}), "", "its e-mail address is not verified"},
		{"address not verified, as text", plain(object{"email_verified": "false"}), "", "its e-mail address is not verified"},
		{"bound to a key", plain(object{"cnf": object{"jkt": "x"}}), "", "it is bound to a key"},
		{"refresh token", plain(object{"token_use": "refresh_token"}), "", "it is a refresh token"},

		{"RS384", made("RS384", "rsa", `{"alg":"RS384","kid":"rsa"}`, ""), joe, ""},
		{"RS512", made("RS512", "rsa", `{"alg":"RS512","kid":"rsa"}`, ""), joe, ""},
		{"PS256", made("PS256", "rsa", `{"alg":"PS256","kid":"rsa"}`, ""), joe, ""},
		{"PS512", made("PS512", "rsa", `{"alg":"PS512","kid":"rsa"}`, ""), joe, ""},
		{"ES256", made("ES256", "p256", `{"alg":"ES256","kid":"p256"}`, ""), joe, ""},
		{"ES384", made("ES384", "p384", `{"alg":"ES384","kid":"p384"}`, ""), joe, ""},
		{"ES512", made("ES512", "p521", `{"alg":"ES512","kid":"p521"}`, ""), joe, ""},
		{"EdDSA", made("EdDSA", "ed", `{"alg":"EdDSA","kid":"ed"}`, ""), joe, ""},
		{"no key id, one key for the algorithm", made("ES256", "p256", `{"alg":"ES256"}`, ""), joe, ""},
		{"type in full", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa","typ":"application/AT+JWT"}`, ""), joe, ""},

		{"wrong signature", made("RS256", "rsa2", `{"alg":"RS256","kid":"rsa"}`, ""), "", `its signature is not that of the key "rsa"`},
		{"changed payload", func(t *testing.T) string {
			parts := strings.Split(token(t, nil), ".")
			return parts[0] + "." + encode(toJSON(t, good().with(object{"email": "root@example.org"}))) + "." + parts[2]
		}, "", "its signature is not that"},
		{"no signature", func(t *testing.T) string {
			s := token(t, nil)
			return s[:strings.LastIndexByte(s, '.')+1]
		}, "", "its signature is not that"},
		{"alg none", func(t *testing.T) string { return encode(`{"alg":"none"}`) + "." + encode(toJSON(t, good())) + "." }, "", `it is signed with the algorithm "none"`},
		{"alg NONE", func(t *testing.T) string {
			return encode(`{"alg":"NONE","kid":"rsa"}`) + "." + encode(toJSON(t, good())) + "."
		}, "", `it is signed with the algorithm "NONE"`},
		{"no alg", made("RS256", "rsa", `{"kid":"rsa"}`, ""), "", `it is signed with the algorithm ""`},
		{"HS256 with the public key", func(t *testing.T) string { return mac(t) }, "", `it is signed with the algorithm "HS256"`},
		{"algorithm of another key", made("RS256", "rsa", `{"alg":"ES256","kid":"rsa"}`, ""), "", `the issuer has no key "rsa" for ES256`},
		{"algorithm of another curve", made("ES256", "p256", `{"alg":"ES384","kid":"p256"}`, ""), "", `the issuer has no key "p256" for ES384`},
		{"PSS for PKCS #1", made("PS256", "rsa", `{"alg":"RS256","kid":"rsa"}`, ""), "", "its signature is not that"},
		{"unknown key", made("RS256", "rsa2", `{"alg":"RS256","kid":"rsa2"}`, ""), "", `the issuer has no key "rsa2" for RS256`},
		{"key of its own", func(t *testing.T) string {
			jwk := strings.TrimSuffix(strings.TrimPrefix(set(t, "rsa2"), `{"keys":[`), `]}`)
			return sign(t, "RS256", "rsa2", `{"alg":"RS256","kid":"rsa2","jwk":`+jwk+`}`, toJSON(t, good()))
		}, "", `the issuer has no key "rsa2"`},
		{"key somewhere else", made("RS256", "rsa2", `{"alg":"RS256","kid":"x","jku":"https://evil.example.org/"}`, ""), "", `the issuer has no key "x"`},
		{"critical extension", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}`, ""), "", "it has a crit header"},
		{"payload not encoded", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}`, ""), "", "it has a crit header"},
		{"type that is a number", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa","typ":7}`, ""), "", "its typ header is no text"},
		{"type that is a list", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa","typ":["JWT"]}`, ""), "", "its typ header is no text"},
		{"logout token", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}`, ""), "", `it is of the type "logout+jwt"`},

		{"claim twice", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa"}`, `{"iss":"`+issuer+`","aud":"mail","email":"joe@example.org","email":"root@example.org"`+ending), "", "its payload is unusable: not a JSON object with each name once"},
		{"header twice", made("RS256", "rsa", `{"alg":"none","alg":"RS256","kid":"rsa"}`, ""), "", "it is not a JWT"},
		{"claim with another case", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa"}`, `{"iss":"`+issuer+`","aud":"mail","Email":"joe@example.org"`+ending), "", `it has no claim "email"`},
		{"payload is a list", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa"}`, `[]`), "", "its payload is unusable"},
		{"payload is null", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa"}`, `null`), "", "its payload is unusable"},
		{"payload is no JSON", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa"}`, `joe@example.org`), "", "its payload is unusable"},
		{"nested deep", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa"}`, `{"a":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+ending), "", "its issuer is"},
		{"nested deep, without an end", made("RS256", "rsa", `{"alg":"RS256","kid":"rsa"}`, strings.Repeat(`{"a":`, 2000)), "", "its payload is unusable"},

		{"empty", text(""), "", "it is empty"},
		{"characters of no token", text("abc def"), "", "it is empty"},
		{"huge", func(t *testing.T) string { return token(t, object{"x": strings.Repeat("x", auth.MaxTokenOctets)}) }, "", "it is empty, longer than 49152 octets"},
		{"opaque", text("2YotnFZFEjr1zCsicMWpAA"), "", "it is not a JWT"},
		{"encrypted", text("eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0.a.b.c.d"), "", "it is not a JWT"},
		{"two parts", text("e30.e30"), "", "it is not a JWT"},
		{"padded", func(t *testing.T) string { return token(t, nil) + "==" }, "", "it is not a JWT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := c.token(t)
			user, err := validate(t, validator(t, nil), raw)
			if c.user != "" {
				if user != c.user || err != nil {
					t.Fatalf("%q, %v; want %q", user, err, c.user)
				}
				return
			}
			want := fmt.Sprintf("bearer token: %v: %s", auth.ErrCredentials, c.why)
			if user != "" || !errors.Is(err, auth.ErrCredentials) || !strings.HasPrefix(err.Error(), want) {
				t.Fatalf("%q, %v; want %s", user, err, want)
			}
			for part := range strings.SplitSeq(raw, ".") {
				if len(part) > 20 && strings.Contains(err.Error(), part[:20]) {
					t.Errorf("the error has a part of the token: %v", err)
				}
			}
		})
	}
}

// TestChoices has options beside what they make of tokens.
func TestChoices(t *testing.T) {
	scope := func(words ...string) func(*Options) { return func(o *Options) { o.Scope = words } }
	claim := func(name string) func(*Options) { return func(o *Options) { o.UserClaim = name } }
	for _, c := range []struct {
		name   string
		change func(*Options)
		claims object
		user   string
		want   error
	}{
		{"scope", scope("mail"), nil, "joe@example.org", nil},
		{"two words of scope", scope("mail", "openid"), nil, "joe@example.org", nil},
		{"scope in a list", scope("mail"), object{"scope": []string{"mail"}}, "joe@example.org", nil},
		{"scope by its old name", scope("mail"), object{"scope": nil, "scp": "x mail"}, "joe@example.org", nil},
		{"old name, in a list", scope("mail"), object{"scope": nil, "scp": []string{"x", "mail"}}, "joe@example.org", nil},
		{"scope is missing", scope("mail"), object{"scope": nil}, "", auth.ErrScope},
		{"scope is longer", scope("mail"), object{"scope": "mailbox mail.read"}, "", auth.ErrScope},
		{"half the scope", scope("mail", "pop"), nil, "", auth.ErrScope},
		{"scope is a number", scope("1"), object{"scope": 1}, "", auth.ErrScope},
		{"other claim", claim("preferred_username"), object{"preferred_username": "joe", "email_verified": false}, "joe", nil},
		{"registered claim", claim("sub"), nil, "1", nil},
		{"other claim is missing", claim("preferred_username"), nil, "", auth.ErrCredentials},
		{"claim with a dot", claim("https://example.org/mail"), object{"https://example.org/mail": "joe"}, "joe", nil},
	} {
		user, err := validate(t, validator(t, c.change), token(t, c.claims))
		if user != c.user || !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v; want %q, %v", c.name, user, err, c.user, c.want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	v := validator(t, nil)
	for name, want := range map[string]error{
		"": nil, "joe@example.org": nil, "Joe@Example.ORG": nil,
		"joe": auth.ErrDenied, "root@example.org": auth.ErrDenied, "joe@example.org ": auth.ErrDenied,
	} {
		user, err := v.Authorize(t.Context(), name, token(t, nil))
		if !errors.Is(err, want) || (user == "joe@example.org") != (want == nil) {
			t.Errorf("%q: %q, %v; want %v", name, user, err, want)
		}
	}
}

func TestDescription(t *testing.T) {
	v := validator(t, func(o *Options) { o.Issuer, o.Scope = issuer+"/realm/", []string{"mail", "openid"} })
	if got := v.Configuration(); got != issuer+"/realm/.well-known/openid-configuration" {
		t.Errorf("configuration at %q", got)
	}
	if got := v.Scope(); got != "mail openid" {
		t.Errorf("scope %q", got)
	}
	if got := validator(t, func(o *Options) { o.Issuer = "joe" }).Configuration(); got != "" {
		t.Errorf("configuration of an issuer without an address at %q", got)
	}
}

// FuzzToken holds that no token but those of the corpus's issuer is let in, that
// reading one ends, and that its text stays out of the error.
func FuzzToken(f *testing.F) {
	v := validator(f, nil)
	f.Add(encode(`{"alg":"none"}`), encode(`{}`), "")
	f.Add(encode(`{"alg":"RS256","kid":"rsa","typ":"JWT"}`), encode(toJSON(f, good())), encode(strings.Repeat("x", 256)))
	f.Add(encode(`{"alg":"ES256","crit":["b64"],"b64":false}`), "e30", "AAAA")
	f.Add("=", ".", "==")
	f.Fuzz(func(t *testing.T, header, payload, signature string) {
		raw := header + "." + payload + "." + signature
		user, err := validate(t, v, raw)
		if err == nil || user != "" {
			t.Fatalf("%q is %q", raw, user)
		}
		if !errors.Is(err, auth.ErrCredentials) {
			t.Errorf("%q: %v", raw, err)
		}
		if len(payload) > 10 && strings.Contains(err.Error(), payload) {
			t.Errorf("%q: the error has a part of it: %v", raw, err)
		}
	})
}

// FuzzClaims holds that what is read of a payload is judged without harm, and that a
// user is a name that accounts can be asked for.
func FuzzClaims(f *testing.F) {
	f.Add(toJSON(f, good()), "email")
	f.Add(`{"aud":["mail"],"exp":9e18,"nbf":-1,"scope":[1,"mail"]}`, "sub")
	f.Add(`{"email":"\ud800","exp":1e3}`, "email")
	f.Fuzz(func(t *testing.T, payload, claim string) {
		c, err := parseClaims([]byte(payload))
		if err != nil {
			return
		}
		o := Options{Issuer: issuer, Audience: []string{audience}, UserClaim: claim, Scope: []string{"mail"}}
		for _, strict := range []bool{true, false} {
			user, err := o.judge(c, strict)
			if err == nil && (user == "" || len(user) > auth.MaxUserOctets || strings.ContainsAny(user, "\x00\r\n")) {
				t.Errorf("%q: user %q", payload, user)
			}
			if err != nil && !errors.Is(err, auth.ErrCredentials) && !errors.Is(err, auth.ErrScope) {
				t.Errorf("%q: %v", payload, err)
			}
		}
	})
}
