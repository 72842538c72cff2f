package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sidepop/pop3"
)

var errNoBackend = fmt.Errorf("%w: the keeper is not ready yet", pop3.ErrTemporary)

// begin takes the end of a login's packet, which is the same for all, and gives
// the backend and how long it may take.
func (x *session) begin(d *decoder) (b pop3.Backend, left time.Duration, err error) {
	x.peer, left = d.login()
	if err := x.taken(d); err != nil {
		return nil, 0, err
	}
	if p := x.server.backend.Load(); p != nil {
		return *p, left, nil
	}
	return notReady{}, left, nil
}

func (x *session) password(d *decoder) error {
	user, password := d.string(maxName), d.string(maxSecret)
	b, left, err := x.begin(d)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(x.server.base, left)
	defer cancel()
	m, err := b.Password(ctx, x.peer, user, password)
	return x.enter("USER", user, m, err)
}

func (x *session) apop(d *decoder) error {
	user, timestamp, digest := d.string(maxName), d.string(maxStamp), d.string(maxDigest)
	b, left, err := x.begin(d)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(x.server.base, left)
	defer cancel()
	m, err := b.APOP(ctx, x.peer, user, timestamp, digest)
	return x.enter("APOP", user, m, err)
}

// sasl begins an exchange and takes its first step.
func (x *session) sasl(d *decoder) error {
	x.mechanism = d.plain(maxMechanism, isMechanism)
	var response []byte
	if d.bool() {
		response = append([]byte{}, d.bytes(maxResponse)...)
	}
	b, left, err := x.begin(d)
	if err != nil {
		return err
	}
	x.login, x.cancel = context.WithTimeout(x.server.base, left)
	if err := x.SetReadDeadline(time.Now().Add(left)); err != nil {
		return err
	}
	exchange, err := b.SASL(x.login, x.peer, x.mechanism)
	if err != nil {
		x.cancel()
		return x.enter(x.mechanism, "", nil, err)
	}
	x.exchange = exchange
	return x.step(response)
}

func (x *session) response(d *decoder) error {
	response := append([]byte{}, d.bytes(maxResponse)...)
	if err := x.taken(d); err != nil {
		return err
	}
	return x.step(response)
}

// step takes one, and wipes the response.
func (x *session) step(response []byte) error {
	defer clear(response)
	challenge, m, err := x.exchange.Step(x.login, response)
	if err == nil && m == nil && len(challenge) > maxResponse {
		err = fmt.Errorf("a challenge of %d octets", len(challenge))
	}
	if err == nil && m == nil {
		x.phase = challenged
		b := newBuffer()
		return x.reply(b, appendBytes(b.begin(verbChallenge), challenge))
	}
	x.drop = m // before anything can fail, so that end gives it up
	user := x.exchange.User()
	x.endExchange()
	return x.enter(x.mechanism, user, m, err)
}

// enter answers a login with the maildrop, or with a refusal, after which the
// connection ends. User is what the client claims to be.
func (x *session) enter(mechanism, user string, m pop3.Maildrop, err error) error {
	if x.server.isClosing() && (err == nil || public(err).Code == pop3.ErrTemporary.Code) {
		x.phase, x.drop = over, m
		x.closeDrop() // the next keeper may open it now
		b := newBuffer()
		return x.reply(b, b.begin(verbEnding))
	}
	if err != nil {
		x.phase = over
		x.server.Events.LoginFailed(x.peer, mechanism, user, err)
		b := newBuffer()
		return x.reply(b, appendError(b.begin(verbRefused), err))
	}
	if m == nil {
		return errors.New("the backend gave neither a maildrop nor an error")
	}
	x.drop = m
	name := m.User()
	messages, octets := m.Stat()
	if len(name) > maxName || messages < 0 || messages > maxMessages || octets < 0 || octets > maxOctets {
		return fmt.Errorf("the backend gave a maildrop with %d messages and %d octets for a name of %d octets", messages, octets, len(name))
	}
	x.phase, x.messages = loggedIn, messages
	x.server.mu.Lock()
	x.user, x.since = name, time.Now()
	x.server.mu.Unlock()
	b := newBuffer()
	p := appendBytes(b.begin(verbLoggedIn), name)
	return x.replyLoggedIn(b, appendUint(appendUint(p, messages), octets))
}

// notReady is the backend before there is one.
type notReady struct{ pop3.Backend }

func (notReady) Password(context.Context, pop3.Peer, string, string) (pop3.Maildrop, error) {
	return nil, errNoBackend
}

func (notReady) APOP(context.Context, pop3.Peer, string, string, string) (pop3.Maildrop, error) {
	return nil, errNoBackend
}

func (notReady) SASL(context.Context, pop3.Peer, string) (pop3.Exchange, error) {
	return nil, errNoBackend
}
