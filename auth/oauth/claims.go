package oauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"

	"sidepop/auth"
)

// leeway is how far clocks of machines that keep time may be apart.
const leeway = time.Minute

// claims is what is known of a token: the payload of a JWT (RFC 7519, section 4) or
// the answer of an introspection endpoint (RFC 7662, section 2.2).
type claims struct {
	jwt.Claims
	all map[string]json.RawMessage
}

// parseClaims reads a JSON object. One with a name twice is refused, and names
// count with their case.
func parseClaims(data []byte) (*claims, error) {
	c := new(claims)
	if err := json.Unmarshal(data, &c.all); err != nil || c.all == nil {
		return nil, errors.New("not a JSON object with each name once")
	}
	if err := json.Unmarshal(data, &c.Claims); err != nil {
		return nil, errors.New("iss, sub, aud, exp, nbf, iat or jti is of the wrong type")
	}
	return c, nil
}

// judge says whose a token is. Strict is for what nobody but the issuer's signature
// vouches for: who is asked about a token knows by itself whether it has expired.
func (o *Options) judge(c *claims, strict bool) (user string, err error) {
	expected := jwt.Expected{Issuer: o.Issuer, AnyAudience: o.Audience}
	switch {
	case strict && c.Expiry == nil:
		return "", refused("it has no exp claim: nothing says when it expires")
	case !strict && c.Issuer == "":
		expected.Issuer = "" // the endpoint is the issuer's
	}
	switch err := c.ValidateWithLeeway(expected, leeway); {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return "", refused("its issuer is %.100q, expected %q", c.Issuer, o.Issuer)
	case errors.Is(err, jwt.ErrInvalidAudience):
		return "", refused("its audience is %.100q, expected one of %q", []string(c.Audience), o.Audience)
	case errors.Is(err, jwt.ErrExpired):
		return "", refused("it expired at %v", c.Expiry.Time().UTC())
	case errors.Is(err, jwt.ErrNotValidYet):
		return "", refused("it is not valid before %v", c.NotBefore.Time().UTC())
	case err != nil:
		return "", refused("it was issued in the future, at %v: is this machine's clock right?", c.IssuedAt.Time().UTC())
	}
	if _, bound := c.all["cnf"]; bound { // RFC 7800, section 3.1
		return "", refused("it is bound to a key of its client (cnf claim), and no bearer token")
	}
	// Not registered, but how providers tell a token that is for them alone from
	// others that they answer for.
	if use, _ := c.text("token_use"); use == "refresh_token" {
		return "", refused("it is a refresh token")
	}
	if user, err = c.user(o.UserClaim); err != nil {
		return "", err
	}
	return user, c.need(o.Scope)
}

// user is the value of the claim with the user's name. An address that the provider
// knows not to have been verified could be anybody's (OpenID Connect Core 1.0,
// section 5.1; some providers write the truth value as text).
func (c *claims) user(claim string) (string, error) {
	name, ok := c.text(claim)
	if !ok {
		return "", refused("it has no claim %q with a text", claim)
	}
	if verified := string(c.all["email_verified"]); claim == "email" && verified != "" && verified != "true" && verified != `"true"` {
		return "", refused("its e-mail address is not verified")
	}
	if name == "" || len(name) > auth.MaxUserOctets || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", refused("its claim %q is empty, longer than %d octets, or holds control characters", claim, auth.MaxUserOctets)
	}
	return name, nil
}

// need says whether the token has a scope: a text with words (RFC 8693, section
// 4.2; RFC 7662, section 2.2), or, with providers that were earlier, a list or
// another name.
func (c *claims) need(scope []string) error {
	var has []string
	for _, claim := range []string{"scope", "scp"} {
		if text, ok := c.text(claim); ok {
			has = append(has, strings.Fields(text)...)
			continue
		}
		var list []string
		if json.Unmarshal(c.all[claim], &list) == nil {
			has = append(has, list...)
		}
	}
	for _, word := range scope {
		if !slices.Contains(has, word) {
			return fmt.Errorf("%w: it lacks the scope %q", auth.ErrScope, word)
		}
	}
	return nil
}

// text is a claim that is a text.
func (c *claims) text(claim string) (string, bool) {
	raw, ok := c.all[claim]
	var s string
	if !ok || len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}
