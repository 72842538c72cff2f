package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"
)

// ChannelBinding is what ties an authentication to the TLS connection that it goes
// through (RFC 5056): nobody in the middle has the same.
type ChannelBinding struct {
	Type string // tls-exporter (RFC 9266), tls-server-end-point or tls-unique (RFC 5929)
	Data []byte
}

// SCRAMOptions is what a SCRAM exchange needs besides the client.
type SCRAMOptions struct {
	Kind  SCRAM
	Salts *Salts

	// Plus is the mechanism's form with -PLUS, in which the client must bind to
	// the channel.
	Plus bool

	// Bindings are those that the connection has. If there are any, -PLUS is
	// offered, and a client that could bind and says that it was not offered has
	// been lied to (RFC 5802, section 6).
	Bindings []ChannelBinding

	// Account gives the one name of all with which a source finds the same secret: they
	// have one salt, whether there is such a secret or not. It takes no look at
	// accounts. Nil: each name has a secret of its own.
	Account func(user string) string

	// Begin is told the name before accounts are looked at, such as [Guard.Begin] with
	// its other arguments bound. Its error ends the exchange. Nil: nobody is.
	Begin func(user string) error

	// Source has the accounts: what comes to [VerifyFunc] is to be asked there too.
	Source *Masters
}

// NewSCRAM begins an exchange with a SCRAM mechanism (RFC 5802, RFC 7677). Whether
// a user exists, or has a password that is of use, does not show before the end,
// which is a refusal as for a wrong password. The context is for lookups.
func NewSCRAM(ctx context.Context, o SCRAMOptions, verify VerifyFunc) *Exchange {
	e := &Exchange{verify: verify}
	e.server = &scramServer{exchange: e, options: o, ctx: ctx}
	return e
}

// scramServer is the server's side of SCRAM.
type scramServer struct {
	exchange *Exchange
	options  SCRAMOptions
	ctx      context.Context // of the lookup, which the library calls without one

	conversation *scram.ServerConversation // nil: the client's first message is waited for
	query        keysQuery
	keys         scram.StoredCredentials
	fault        error // of a source that had to be asked for the keys
	verified     bool  // only the client's agreement is missing
}

// Next implements [sasl.Server]. The client speaks first, and last, with nothing:
// POP3 has no place for the server's proof beside the outcome (RFC 5034, section 4).
func (s *scramServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.verified && len(response) > 0:
		return nil, false, fmt.Errorf("%w: something came after the proof", errBroken)
	case s.verified:
		return nil, true, nil
	case response == nil:
		return []byte{}, false, nil
	case s.conversation == nil:
		challenge, err = s.first(string(response))
	default:
		challenge, err = s.final(string(response))
	}
	return challenge, false, err
}

// first takes the client's name and answers with salt and rounds. Errors of the
// library that are about the client's message quote it, and are left out.
func (s *scramServer) first(message string) ([]byte, error) {
	binding, err := s.binding(message)
	if err != nil {
		return nil, err
	}
	server, err := scram.HashGeneratorFcn(s.options.Kind.new).NewServer(s.lookup)
	if err != nil {
		return nil, err
	}
	if s.options.Plus {
		s.conversation = server.NewConversationWithChannelBindingRequired(binding)
	} else {
		s.conversation = server.NewConversation()
	}
	challenge, err := s.conversation.Step(message)
	switch {
	case s.exchange.asked && err != nil:
		return nil, err // of the lookup
	case err != nil:
		return nil, errors.New("the first message is malformed")
	}
	return []byte(challenge), nil
}

// binding checks what the client says of channel bindings (RFC 5802, sections 6
// and 7) and gives the one that it has chosen.
func (s *scramServer) binding(message string) (scram.ChannelBinding, error) {
	flag, _, _ := strings.Cut(message, ",")
	name, chosen := strings.CutPrefix(flag, "p=")
	switch {
	case chosen != s.options.Plus:
		return scram.ChannelBinding{}, errors.New("mechanism and channel binding do not fit: -PLUS has one, and nothing else does")
	case flag == "y" && len(s.options.Bindings) > 0:
		return scram.ChannelBinding{}, errors.New("the client was not told of -PLUS, which is offered here: somebody may be in the middle")
	}
	for _, b := range s.options.Bindings {
		if chosen && b.Type == name && len(b.Data) > 0 {
			return scram.ChannelBinding{Type: scram.ChannelBindingType(b.Type), Data: b.Data}, nil
		}
	}
	if chosen {
		return scram.ChannelBinding{}, errors.New("the connection does not have the channel binding that the client has chosen")
	}
	return scram.ChannelBinding{}, nil
}

// lookup finds the keys of a user, or a decoy's.
func (s *scramServer) lookup(user string) (scram.StoredCredentials, error) {
	s.exchange.asked, s.exchange.user = true, user
	if s.options.Begin != nil {
		if err := s.options.Begin(user); err != nil {
			return scram.StoredCredentials{}, err
		}
	}
	s.query = keysQuery{user, user, s.options.Kind, s.options.Salts}
	if s.options.Account != nil {
		s.query.name = s.options.Account(user)
	}
	var err error
	s.keys, s.fault, err = s.options.Source.scramKeys(s.ctx, s.query, s.conversation.AuthzID())
	return s.keys, err
}

// final takes the client's proof and answers with the server's.
func (s *scramServer) final(message string) ([]byte, error) {
	answer, err := s.conversation.Step(message)
	if answer == "" {
		return nil, fmt.Errorf("%w: the final message is malformed", errBroken)
	}
	proof := new(Proof)
	if s.conversation.Valid() {
		proof.right = proves(s.query, s.keys)
	}
	if refused := s.exchange.askLogin(Login{User: s.query.user, Identity: s.conversation.AuthzID(), Proof: proof}); refused != nil {
		if err != nil && answer == scram.ErrChannelBindingsDontMatch {
			refused = fmt.Errorf("SASL: the channel bindings differ: somebody may be in the middle: %w", refused)
		}
		if s.fault != nil && errors.Is(refused, ErrCredentials) {
			refused = s.fault // the proof may be right for what could not be read
		}
		return nil, refused
	}
	s.verified = true
	return []byte(answer), nil
}
