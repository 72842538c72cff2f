package auth

import (
	"errors"
	"fmt"

	"github.com/emersion/go-sasl"
)

// maxResponseOctets limits a decoded SASL response: PLAIN's two names and a
// password, with a NUL after each name.
const maxResponseOctets = 2*(MaxUserOctets+1) + MaxPasswordOctets

// Exchange is the server's side of one SASL authentication (RFC 4422) with a
// mechanism that sends name and password. It is used by one goroutine, once.
type Exchange struct {
	server  sasl.Server
	verify  VerifyFunc
	user    string
	started bool
	asked   bool // the mechanism's own rules were kept
	over    bool
}

// VerifyFunc says whether a password is right, such as [Passwd.Verify] with
// its other arguments bound.
type VerifyFunc func(user, password string) error

// NewPlain begins an exchange with PLAIN (RFC 4616). An authorization identity
// must be absent or the same as the name that logs in.
func NewPlain(verify VerifyFunc) *Exchange {
	e := &Exchange{verify: verify}
	e.server = sasl.NewPlainServer(e.ask)
	return e
}

// NewLogin begins an exchange with LOGIN, which asks for the name and then for
// the password (draft-murchison-sasl-login). The first response may be the name.
func NewLogin(verify VerifyFunc) *Exchange {
	e := &Exchange{verify: verify}
	e.server = &loginServer{exchange: e}
	return e
}

// ask has a name and a password verified.
func (e *Exchange) ask(identity, user, password string) error {
	e.asked, e.user = true, user
	if identity != "" && identity != user {
		return fmt.Errorf("SASL: %w: the authorization identity is not the user's own name", ErrDenied)
	}
	return e.verify(user, password)
}

// Next takes what the client sent, decoded, and gives the next challenge to
// encode and send, or done. The first response is nil when the client sent
// none with its command, and not nil but empty when it sent an empty one. With
// done, the password was right and there is nothing more to send. An error
// ends the exchange; it is that of the [VerifyFunc] or wraps [ErrProtocol] or
// [ErrDenied].
func (e *Exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	var broken error
	switch {
	case e.over:
		broken = errors.New("the exchange is over")
	case response == nil && e.started:
		broken = errors.New("response is missing")
	case len(response) > maxResponseOctets:
		broken = fmt.Errorf("response is longer than %d octets", maxResponseOctets)
	default:
		challenge, done, err = e.server.Next(response)
		e.started, e.over = true, done || err != nil
		if err == nil || e.asked {
			return challenge, done && err == nil, err
		}
		broken = err
	}
	e.over = true
	return nil, false, fmt.Errorf("SASL: %w: %w", ErrProtocol, broken)
}

// User is the name that the client gave, for the log; empty until known.
func (e *Exchange) User() string { return e.user }

// loginServer is the server's side of LOGIN.
type loginServer struct {
	exchange *Exchange
	named    bool
}

// Next implements [sasl.Server]. The prompts are those that clients know.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case !l.named:
		l.exchange.user, l.named = string(response), true
		return []byte("Password:"), false, nil
	}
	err = l.exchange.ask("", l.exchange.user, string(response))
	return nil, err == nil, err
}
