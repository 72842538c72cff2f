package auth

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/emersion/go-sasl"
)

// maxResponseOctets limits a decoded SASL response: PLAIN's two names and a
// password, with a NUL after each name.
const maxResponseOctets = 2*(MaxUserOctets+1) + MaxPasswordOctets

// Exchange is the server's side of one SASL authentication (RFC 4422). It is used
// by one goroutine, once.
type Exchange struct {
	server  sasl.Server
	verify  VerifyFunc
	limit   int // octets of a response; 0: maxResponseOctets
	user    string
	started bool
	asked   bool // an error is the source's, and not a broken rule of the mechanism
	over    bool
}

// VerifyFunc says whether a login is right, such as [Guard.Do] with its other
// arguments bound. The login has no address.
type VerifyFunc func(Login) error

// NewPlain begins an exchange with PLAIN (RFC 4616).
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
	return e.askLogin(Login{User: user, Password: password, Identity: identity})
}

func (e *Exchange) askLogin(l Login) error {
	e.asked, e.user = true, l.User
	return e.verify(l)
}

// Next takes what the client sent, decoded, and gives the next challenge to
// encode and send, or done. The first response is nil when the client sent
// none with its command, and not nil but empty when it sent an empty one. With
// done, the login was right and there is nothing more to send. An error
// ends the exchange; it is that of the [VerifyFunc] or wraps [ErrProtocol].
func (e *Exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	var broken error
	switch {
	case e.over:
		broken = errors.New("the exchange is over")
	case response == nil && e.started:
		broken = errors.New("response is missing")
	case len(response) > cmp.Or(e.limit, maxResponseOctets):
		broken = fmt.Errorf("response is longer than %d octets", cmp.Or(e.limit, maxResponseOctets))
	default:
		challenge, done, err = e.server.Next(response)
		e.started, e.over = true, done || err != nil
		if err == nil || e.asked && !errors.Is(err, errBroken) {
			return challenge, done && err == nil, err
		}
		broken = err
	}
	e.over = true
	return nil, false, fmt.Errorf("SASL: %w: %w", ErrProtocol, broken)
}

// User is the name that the client gave, for the log; empty until known.
func (e *Exchange) User() string { return e.user }

// errBroken is a broken rule of a mechanism after a source was asked.
var errBroken = errors.New("against the rules of the mechanism")

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
