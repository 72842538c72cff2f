package wire

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"sidepop/pop3"
)

// Client is the front's side: a [pop3.Backend] whose accounts, mail and TLS
// keys are a keeper's. A keeper that is not there, or goes away, makes what is
// asked of it fail with [pop3.ErrTemporary]. The fields are not changed once it
// is used.
type Client struct {
	Path string // of the keeper's socket

	// Counts is asked when the keeper wants to know; nil: all are 0.
	Counts func() Counts

	// Pushed is called, in the goroutine of Run, with the settings of each
	// [State], when its offers and certificates are in force. May be nil.
	Pushed func(settings []byte)

	// Keeper is told, in the same goroutine, that the control connection
	// stands, with nil, and once why it does not. May be nil.
	Keeper func(err error)

	// Ahead is how many descriptors may wait, in all sessions together, for
	// clients that fetch in order, or that list; 0: [DefaultAhead].
	Ahead int

	ahead   atomic.Int64 // descriptors that wait
	pushed  atomic.Pointer[pushed]
	control atomic.Pointer[frontControl] // nil: no keeper
	idle    idle
}

// counts is what Counts says.
func (c *Client) counts() (n Counts) {
	if c.Counts != nil {
		n = c.Counts()
	}
	return n
}

// Offer implements [pop3.Backend]. It does not ask the keeper, but repeats what
// it said last. To someone who comes before it said anything passwords are
// offered, so that the login can be answered with the reason.
func (c *Client) Offer(p pop3.Peer) pop3.Offer {
	switch s := c.pushed.Load(); {
	case s == nil:
		return pop3.Offer{Password: p.Secure}
	case p.Secure:
		return s.secure
	default:
		return s.plain
	}
}

// Password implements [pop3.Backend].
func (c *Client) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	if len(user) > maxName || len(password) > maxSecret {
		return nil, errTooLong
	}
	p.Bindings, p.Certificates, p.ClientName = nil, nil, "" // which SASL alone needs
	return c.login(ctx, func(b *buffer) []byte {
		q := appendBytes(b.begin(verbPassword), user)
		return appendLogin(appendBytes(q, password), ctx, p)
	})
}

// APOP implements [pop3.Backend].
func (c *Client) APOP(ctx context.Context, p pop3.Peer, user, timestamp, digest string) (pop3.Maildrop, error) {
	if len(user) > maxName || len(timestamp) > maxStamp || len(digest) > maxDigest {
		return nil, errTooLong
	}
	p.Bindings, p.Certificates, p.ClientName = nil, nil, ""
	return c.login(ctx, func(b *buffer) []byte {
		q := appendBytes(b.begin(verbAPOP), user)
		q = appendBytes(q, timestamp)
		return appendLogin(appendBytes(q, digest), ctx, p)
	})
}

// login is a login of one request.
func (c *Client) login(ctx context.Context, request func(*buffer) []byte) (pop3.Maildrop, error) {
	l, challenge, m, err := c.enter(ctx, request)
	if challenge != nil {
		return nil, l.broke("login", errTurn)
	}
	return m, err
}

// enter takes a connection that waits, or opens one, and sends the first request of a
// login, which is made in a buffer. If the keeper ends and has not decided, the next one
// is asked: a service manager has the socket in which the request waits for it. The
// connections that wait may all lead to the one that ends, and don't count among those
// that are asked.
func (c *Client) enter(ctx context.Context, request func(*buffer) []byte) (l *link, challenge []byte, m pop3.Maildrop, err error) {
	for asked := 0; asked < keepers; {
		b := newBuffer()
		q := request(b)
		b.secret = min(len(q), MaxPacket)
		if len(q) > MaxPacket { // though each part is within its bounds
			clear(q) // it has left the buffer
			b.free()
			return nil, nil, nil, errTooLong
		}
		if l = c.idle.take(); l == nil {
			asked++
			if l, err = c.dial(); err != nil {
				b.free()
				return nil, nil, nil, err
			}
		}
		challenge, m, err = c.logIn(ctx, l, b, q)
		if !errors.Is(err, errEnding) {
			break
		}
	}
	return l, challenge, m, err
}

// logIn is one request of a login and its answer: a challenge, not nil, a
// maildrop or an error, after which the link is closed.
func (c *Client) logIn(ctx context.Context, l *link, b *buffer, q []byte) (challenge []byte, m pop3.Maildrop, err error) {
	in, err := l.ask(ctx, MaxLogin, b, q, true)
	if isReset(err) {
		err = errEnding
	}
	if err != nil {
		return nil, nil, l.broke("login", err)
	}
	defer in.free()
	v, d, err := decode(in.packet)
	if err != nil {
		closeAll(in.descriptors)
		return nil, nil, l.broke("login", err)
	}
	var drop *maildrop
	var ready [2]*message
	var refusal error
	switch v {
	case verbLoggedIn:
		drop = &maildrop{link: l, client: c, user: d.string(maxName), messages: d.int(maxMessages), octets: int64(d.uint(maxOctets))}
		ready = cameAlong(d, in)
	case verbChallenge:
		challenge = append([]byte{}, d.bytes(maxResponse)...)
	case verbRefused:
		refusal = d.error()
	case verbEnding:
		refusal = errEnding
	default:
		d.fail(errTurn)
	}
	if drop == nil && len(in.descriptors) > 0 {
		d.fail(errRights)
	}
	switch err := d.end(); {
	case err != nil:
		closeAll(in.descriptors)
		return nil, nil, l.broke("login", err)
	case refusal == errEnding:
		return nil, nil, l.broke("login", errEnding)
	case refusal != nil:
		_ = l.Close()
		return nil, nil, refusal
	case drop != nil:
		drop.keep(ready)
		return nil, drop, nil
	}
	return challenge, nil, nil
}

// SASL implements [pop3.Backend]. The keeper hears of the exchange with the
// first step.
func (c *Client) SASL(_ context.Context, p pop3.Peer, mechanism string) (pop3.Exchange, error) {
	if len(mechanism) > maxMechanism {
		return nil, errTooLong
	}
	if mechanism != "EXTERNAL" {
		p.Certificates, p.ClientName = nil, ""
	}
	return &exchange{client: c, peer: p, mechanism: mechanism}, nil
}

// exchange is a SASL authentication that the keeper does. It implements
// [pop3.Exchange].
type exchange struct {
	client    *Client
	peer      pop3.Peer
	mechanism string
	link      *link // nil before the first step, and when it is a maildrop's
	begun     bool
	user      string
}

// Step implements [pop3.Exchange].
func (x *exchange) Step(ctx context.Context, response []byte) (challenge []byte, m pop3.Maildrop, err error) {
	if len(response) > maxResponse {
		return nil, nil, errTooLong
	}
	if x.begun && x.link == nil {
		return nil, nil, unreachable("SASL", net.ErrClosed)
	}
	if x.begun {
		b := newBuffer()
		q := appendBytes(b.begin(verbResponse), response)
		b.secret = len(q)
		challenge, m, err = x.client.logIn(ctx, x.link, b, q)
	} else {
		x.begun = true
		x.link, challenge, m, err = x.client.enter(ctx, func(b *buffer) []byte {
			q := appendBytes(b.begin(verbSASL), x.mechanism)
			q = appendBool(q, response != nil)
			if response != nil {
				q = appendBytes(q, response)
			}
			return appendLogin(q, ctx, x.peer)
		})
	}
	if err != nil || m != nil {
		x.link = nil
	}
	if m != nil {
		x.user = m.User()
	}
	return challenge, m, err
}

// User implements [pop3.Exchange]. Only the keeper knows it before the end.
func (x *exchange) User() string { return x.user }

// Close implements [pop3.Exchange].
func (x *exchange) Close() error {
	if x.link == nil {
		return nil
	}
	return x.link.Close()
}
