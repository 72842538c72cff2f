// Package oauth says who a bearer token is of (RFC 6750): a JWT by the keys of who
// issued it (RFC 7519, RFC 9068), or any token by asking the authorization server
// (RFC 7662).
//
// Invariants:
//   - No token, and no part of one but claims that are no secret, is in an error.
//     What is kept of one for a time is a keyed hash.
//   - Only signatures with public keys count, by algorithms of one list and by the
//     kind of key that the algorithm is for: never "none", never a MAC. No key comes
//     from the token itself.
//   - A token is for somebody else unless it names one of the audiences. A token
//     that is bound to a key of its client is no bearer token.
//   - A JWT whose issuer's keys are known is never asked about: what the keys refuse
//     stays refused.
//   - What is read from a file or fetched, kept, and waited for is bounded, and no
//     client can have keys fetched more often than every [RefetchDelay].
package oauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"sidepop/auth"
)

// DefaultUserClaim names the user by the address of their mail (OpenID Connect
// Core 1.0, section 5.1).
const DefaultUserClaim = "email"

// Options say which tokens are taken. One of JWKSFile, JWKSURL and IntrospectionURL
// is needed; the first two exclude each other. URLs are those of https, or of http
// on the loopback interface.
type Options struct {
	// Issuer is the "iss" of tokens, octet by octet. JWTs need it.
	Issuer string

	// Audience is what "aud" of tokens must have one of. JWTs need it. Where tokens
	// are only asked about, none leaves it to the authorization server who they
	// are for.
	Audience []string

	// JWKSFile and JWKSURL are where the issuer's public keys are: a JWK Set
	// (RFC 7517, section 5). The file counts as it is at each login.
	JWKSFile string
	JWKSURL  string

	// IntrospectionURL is where to ask about tokens that are not JWTs, or about
	// all where there are no keys, as a client with an id and a secret, which
	// ClientSecretFile has in one line.
	IntrospectionURL string
	ClientID         string
	ClientSecretFile string

	// UserClaim is the claim with the user's name; empty is [DefaultUserClaim].
	// Whoever can choose its value at the authorization server can read
	// everybody's mail.
	UserClaim string

	// Scope is what a token needs all of.
	Scope []string

	// Warn is told what does not stop anybody yet; nil: nobody is.
	Warn func(error)
}

// Validator says who tokens are of. Its methods may be called from many goroutines
// at once.
type Validator struct {
	options    Options
	keys       keySource     // nil: JWTs are asked about too
	introspect *introspector // nil: all tokens are JWTs
}

// New makes a validator. Nothing is fetched or read until a token is looked at. It
// fails with options that can't be used.
func New(o Options) (*Validator, error) {
	if o.UserClaim == "" {
		o.UserClaim = DefaultUserClaim
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("OAuth: %w", err)
	}
	v := &Validator{options: o}
	client := newClient()
	switch {
	case o.JWKSFile != "":
		v.keys = &fileKeys{path: o.JWKSFile}
	case o.JWKSURL != "":
		v.keys = &remoteKeys{url: o.JWKSURL, client: client, warn: o.Warn}
	}
	if o.IntrospectionURL != "" {
		v.introspect = newIntrospector(o, client)
	}
	return v, nil
}

func (o *Options) check() error {
	hasKeys := o.JWKSFile != "" || o.JWKSURL != ""
	switch {
	case !hasKeys && o.IntrospectionURL == "":
		return errors.New("neither keys of the issuer nor an introspection endpoint is given, expected a JWKS file, a JWKS URL or an introspection URL")
	case o.JWKSFile != "" && o.JWKSURL != "":
		return errors.New("a JWKS file and a JWKS URL are given, expected one of them")
	case hasKeys && (o.Issuer == "" || len(o.Audience) == 0):
		return errors.New("keys are given without issuer or audience, expected both: a token for somebody else may have the same signature")
	case o.IntrospectionURL != "" && (o.ClientID == "" || o.ClientSecretFile == ""):
		return errors.New("an introspection URL is given without client id or the file with its secret, expected both (RFC 7662, section 2.1)")
	}
	for _, address := range []string{o.JWKSURL, o.IntrospectionURL} {
		if address == "" {
			continue
		}
		if err := CheckURL(address); err != nil {
			return err
		}
	}
	return nil
}

// CheckURL refuses what can't be the address of keys or of an introspection
// endpoint: over plain http somebody else could answer.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("%q, expected a URL such as https://id.example.org/keys", address)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%q, expected https (http only with an address of the loopback interface)", address)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Configuration is where clients find out about the issuer (OpenID Connect
// Discovery 1.0, section 4); "" where that is not known.
func (v *Validator) Configuration() string {
	if !strings.HasPrefix(v.options.Issuer, "https://") {
		return ""
	}
	return strings.TrimSuffix(v.options.Issuer, "/") + "/.well-known/openid-configuration"
}

// Scope is the scope that tokens need, as OAuth writes it (RFC 6749, section 3.3).
func (v *Validator) Scope() string { return strings.Join(v.options.Scope, " ") }

// Validate gives the name of the user that a token is of. An error wraps
// [auth.ErrCredentials] for a token that is not good (any more), [auth.ErrScope] for
// one that is good for something else, [auth.ErrTemporary] while keys or the
// authorization server can't be reached, and [auth.ErrPermanent] for a file that
// can't be used.
func (v *Validator) Validate(ctx context.Context, token string) (user string, err error) {
	if !isBearer(token) {
		return "", fmt.Errorf("bearer token: %w: it is empty, longer than %d octets, or holds characters that no token has (RFC 6750, section 2.1)",
			auth.ErrCredentials, auth.MaxTokenOctets)
	}
	var c *claims
	strict := v.keys != nil && (v.introspect == nil || isJWT(token))
	if strict {
		c, err = v.verify(ctx, token)
	} else {
		c, err = v.introspect.ask(ctx, token)
	}
	if err == nil {
		user, err = v.options.judge(c, strict)
	}
	if err != nil {
		return "", fmt.Errorf("bearer token: %w", err)
	}
	return user, nil
}

// Authorize is Validate for a login with a name, which must be that of the token's
// user but for case, or "". Another name is [auth.ErrDenied].
func (v *Validator) Authorize(ctx context.Context, name, token string) (user string, err error) {
	user, err = v.Validate(ctx, token)
	if err == nil && name != "" && !strings.EqualFold(name, user) {
		return "", fmt.Errorf("bearer token: %w: it is that of %q", auth.ErrDenied, user)
	}
	return user, err
}

// isBearer says whether a text has the form of a token (RFC 6750, section 2.1).
func isBearer(token string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	body := strings.TrimRight(token, "=")
	return body != "" && len(token) <= auth.MaxTokenOctets && strings.Trim(body, letters) == ""
}

// refused is a token that is not good.
func refused(format string, values ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{auth.ErrCredentials}, values...)...)
}

// unreachable is the one place where an error of the network becomes one of auth.
// Its text is that of the cause, not of the request.
func unreachable(what, address string, err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		err = fmt.Errorf("no answer within %v", requestTime)
	}
	return fmt.Errorf("%w: %s at %s: %w", auth.ErrTemporary, what, address, err)
}
