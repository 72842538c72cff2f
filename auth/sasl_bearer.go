package auth

import (
	"encoding/json"
	"errors"
	"fmt"
)

// MaxTokenOctets limits a bearer token, and a decoded response with one: it is what the
// longest line of base64 carries that a server can be told to take, 64 KiB. What a
// server does take is less by default, some 9,000 octets (RFC 5034, section 4). Tokens
// that list many groups reach some 10,000, if HTTP servers let them.
const MaxTokenOctets = 48 << 10

// ErrScope is a token that is right, for something else.
var ErrScope = fmt.Errorf("%w: the token is not for mail", ErrDenied)

// BearerFunc says who a bearer token is of. User is the name that the client gave,
// or "": another one than the token's must be refused.
type BearerFunc func(user, token string) (name string, err error)

// BearerHelp is what a client is told that has no token, or not the right one
// (RFC 7628, section 3.2.2). Empty fields are left out.
type BearerHelp struct {
	Scope         string // that tokens need
	Configuration string // URL of the issuer's description
}

// NewOAuthBearer begins an exchange with OAUTHBEARER (RFC 7628).
func NewOAuthBearer(verify BearerFunc, help BearerHelp) *Exchange {
	return newBearer(verify, parseOAuthBearer, func(err error) any {
		return bearerError{bearerStatus(err), help.Scope, help.Configuration}
	})
}

// NewXOAuth2 begins an exchange with XOAUTH2, which came before OAUTHBEARER
// ("OAuth 2.0 Mechanism" in Google's documentation of Gmail's IMAP and POP).
func NewXOAuth2(verify BearerFunc, help BearerHelp) *Exchange {
	return newBearer(verify, parseXOAuth2, func(err error) any {
		return xoauth2Error{xoauth2Status(err), "bearer", help.Scope}
	})
}

func newBearer(verify BearerFunc, parse parseBearer, describe func(error) any) *Exchange {
	e := &Exchange{limit: MaxTokenOctets}
	e.server = &bearerServer{exchange: e, verify: verify, parse: parse, describe: describe}
	return e
}

// bearerServer is the server's side of a mechanism with a bearer token. What
// go-sasl has for OAUTHBEARER refuses keys that RFC 7628 lets be, escaped names and
// clients that support channel bindings, and panics when a client answers a failure
// with nothing.
type bearerServer struct {
	exchange *Exchange
	verify   BearerFunc
	parse    parseBearer
	describe func(error) any // the failure as the client is told it
	failure  error           // told the client, who has yet to answer
}

// parseBearer reads the client's response.
type parseBearer func(response string) (user, token string, err error)

// Next implements [sasl.Server]. A failure is a challenge first, and the client's
// next response, whatever it is, ends the exchange (RFC 7628, section 3.2.3).
func (b *bearerServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case b.failure != nil:
		return nil, false, b.failure
	case response == nil:
		return []byte{}, false, nil
	}
	user, token, err := b.parse(string(response))
	if len(user) > MaxUserOctets {
		user, err = "", fmt.Errorf("user name is longer than %d octets", MaxUserOctets)
	}
	b.exchange.asked, b.exchange.user = true, user
	switch {
	case err != nil:
		err = fmt.Errorf("SASL: %w: %w", ErrProtocol, err)
	case token == "": // a client that asks how to get one (RFC 7628, section 4.3)
		err = fmt.Errorf("SASL: %w: no token", ErrCredentials)
	default:
		var name string
		if name, err = b.verify(user, token); err == nil {
			b.exchange.user = name
			return nil, true, nil
		}
	}
	b.failure = err
	challenge, err = json.Marshal(b.describe(err))
	return challenge, false, err
}

// Pending is why the login has failed, while the client has been told and has yet to
// answer; nil otherwise. A client that leaves then makes no error of [Exchange.Next].
func (e *Exchange) Pending() error {
	if b, ok := e.server.(*bearerServer); ok && !e.over {
		return b.failure
	}
	return nil
}

// bearerError is a failure as OAUTHBEARER writes it.
type bearerError struct {
	Status        string `json:"status"`
	Scope         string `json:"scope,omitempty"`
	Configuration string `json:"openid-configuration,omitempty"`
}

// bearerStatus is one of OAuth's error codes (RFC 6750, section 3.1; RFC 6749,
// section 4.1.2.1).
func bearerStatus(err error) string {
	switch {
	case errors.Is(err, ErrProtocol):
		return "invalid_request"
	case errors.Is(err, ErrScope):
		return "insufficient_scope"
	case errors.Is(err, ErrCredentials), errors.Is(err, ErrDenied):
		return "invalid_token"
	case errors.Is(err, ErrPermanent):
		return "server_error"
	}
	return "temporarily_unavailable"
}

// xoauth2Error is a failure as XOAUTH2 writes it.
type xoauth2Error struct {
	Status  string `json:"status"`
	Schemes string `json:"schemes"`
	Scope   string `json:"scope,omitempty"`
}

// xoauth2Status is an HTTP status: 401 has clients get another token.
func xoauth2Status(err error) string {
	switch bearerStatus(err) {
	case "invalid_request":
		return "400"
	case "insufficient_scope":
		return "403"
	case "invalid_token":
		return "401"
	}
	return "503"
}
