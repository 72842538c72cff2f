package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/index"
	"sidepop/pop3"
	"sidepop/pop3/wire"
)

// backend joins auth and index to the protocol, as one configuration has it. It
// implements [pop3.Backend].
type backend struct {
	lasting
	config   *config.Config
	hostname string // of challenges
	accounts *accounts
}

// lasting is what all configurations of a process have in common.
type lasting struct {
	guard    *auth.Guard
	sessions *pop3.Accounts
	index    *index.Index
	salts    *auth.Salts
	events   loginEvents
}

// loginEvents is told of logins what the protocol does not know.
type loginEvents interface {
	// LoginFailed is that of [pop3.Events]: a login failed, and the client left when it
	// was told.
	LoginFailed(p pop3.Peer, mechanism, user string, err error)

	// MasterLogin: a master user has given the right password, and wants the mail of
	// an account.
	MasterLogin(p pop3.Peer, mechanism, master, user string)
}

func newBackend(c *config.Config, a *accounts, l lasting) *backend {
	return &backend{lasting: l, config: c, hostname: settingsOf(c).Hostname, accounts: a}
}

// Offer implements [pop3.Backend].
func (b *backend) Offer(p pop3.Peer) pop3.Offer { return b.offer(p, b.holdings()) }

// offer is what sources with such passwords can do for a client. APOP sends no
// password, so it needs no TLS.
func (b *backend) offer(p pop3.Peer, h *holdings) pop3.Offer {
	o := pop3.Offer{
		Password:   p.Secure,
		UTF8User:   true,
		APOP:       b.config.Auth.APOP && h.of(auth.FormClear) > auth.None,
		LoginDelay: b.config.Limits.LoginDelay,
	}
	for i := range mechanisms {
		if m := &mechanisms[i]; m.can(&b.config.Auth, p, h) {
			o.SASL = append(o.SASL, m.name)
		}
	}
	return o
}

// Password implements [pop3.Backend].
func (b *backend) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	account, err := b.verify(ctx, p, b.guard, auth.Login{User: user, Password: password}, b.accounts.Verify)
	return b.login(ctx, account, err)
}

// guard is an [auth.Guard], or an [auth.Attempt] of one that has begun.
type guard interface {
	Do(context.Context, auth.Login, func(context.Context) (*auth.Account, error)) (*auth.Account, error)
}

// verify finds the account of a login that is right, as the one who is asked says.
func (b *backend) verify(ctx context.Context, p pop3.Peer, g guard, l auth.Login, ask func(context.Context, auth.Login) (*auth.Account, error)) (*auth.Account, error) {
	l.Remote = p.Remote.Addr()
	account, err := g.Do(ctx, l, func(ctx context.Context) (*auth.Account, error) { return ask(ctx, l) })
	if err != nil && l.AsOther() {
		return nil, fmt.Errorf("as %q: %w", l.Identity, err)
	}
	return account, err
}

// verifyToken finds the account of the user that a bearer token is of. Who gives no
// name waits for the failures of their address alone, and not for those of all who
// give none. Nothing is remembered: tokens expire.
func (b *backend) verifyToken(ctx context.Context, p pop3.Peer, user, token string) (*auth.Account, error) {
	l := auth.Login{User: cmp.Or(user, p.Remote.Addr().String())}
	return b.verify(ctx, p, b.guard, l, func(ctx context.Context, l auth.Login) (*auth.Account, error) {
		name, err := b.accounts.tokens.Authorize(ctx, user, token)
		if err != nil {
			return nil, err
		}
		return b.accounts.Admit(ctx, name, l.Remote)
	})
}

// APOP implements [pop3.Backend].
func (b *backend) APOP(ctx context.Context, p pop3.Peer, user, timestamp, digest string) (pop3.Maildrop, error) {
	proof, err := auth.NewAPOP(timestamp, digest)
	if err != nil {
		return nil, authError(err)
	}
	account, err := b.verify(ctx, p, b.guard, auth.Login{User: user, Proof: proof}, b.accounts.Verify)
	return b.login(ctx, account, err)
}

// SASL implements [pop3.Backend].
func (b *backend) SASL(ctx context.Context, p pop3.Peer, name string) (pop3.Exchange, error) {
	i := slices.IndexFunc(mechanisms, func(m mechanism) bool { return m.name == name })
	if i < 0 || !mechanisms[i].can(&b.config.Auth, p, b.holdings()) {
		return nil, fmt.Errorf("%w: mechanism %q is not offered", pop3.ErrPermanent, name)
	}
	x, proved := &exchange{backend: b, peer: p, mechanism: name, guard: b.guard}, mechanisms[i].proved
	var err error
	x.Exchange, err = mechanisms[i].begin(ctx, x, func(l auth.Login) (err error) {
		ask := b.accounts.Verify
		if proved {
			ask = b.accounts.AdmitAs
		}
		x.account, err = b.verify(ctx, p, x.guard, l, ask)
		if err == nil && l.AsOther() && !proved {
			b.events.MasterLogin(p, name, l.User, x.account.Name)
		}
		return err
	})
	if err != nil {
		return nil, authError(err)
	}
	return x, nil
}

// exchange is a SASL exchange. It implements [pop3.Exchange].
type exchange struct {
	*auth.Exchange
	backend   *backend
	peer      pop3.Peer
	mechanism string
	account   *auth.Account // whose secret was right
	guard     guard
	attempt   *auth.Attempt // nil: none has begun before the client's proof
}

// letIn has a mechanism wait that looks accounts up before the client proves anything.
func (x *exchange) letIn(ctx context.Context, user string) (err error) {
	if x.attempt, err = x.backend.guard.Begin(ctx, auth.Login{User: user, Remote: x.peer.Remote.Addr()}); err == nil {
		x.guard = x.attempt
	}
	return err
}

// Step implements [pop3.Exchange].
func (x *exchange) Step(ctx context.Context, response []byte) (challenge []byte, m pop3.Maildrop, err error) {
	challenge, done, err := x.Next(response)
	if err == nil && !done {
		return challenge, nil, nil
	}
	m, err = x.backend.login(ctx, x.account, err)
	return nil, m, err
}

// Close implements [pop3.Exchange].
func (x *exchange) Close() error {
	if x.attempt != nil {
		x.attempt.Close()
	}
	if err := x.Pending(); err != nil {
		x.backend.events.LoginFailed(x.peer, x.mechanism, x.User(), authError(err))
	}
	return nil
}

// login is the second half of every login: err is whether the secret was right.
func (b *backend) login(ctx context.Context, account *auth.Account, err error) (pop3.Maildrop, error) {
	if err != nil {
		return nil, authError(err)
	}
	path, owner, err := b.accounts.places.of(account)
	if err != nil {
		return nil, &refusal{pop3.ErrPermanent, err}
	}
	end, err := b.sessions.Begin(ctx, account.Name)
	if err != nil {
		return nil, err
	}
	mailbox, err := b.index.Open(ctx, path, account.Name, owner)
	if err != nil {
		end()
		return nil, openError(err)
	}
	return &maildrop{mailbox: mailbox, user: account.Name, end: end}, nil
}

// authError is the one place where an error of auth becomes one of the
// protocol. Everybody who has no right to log in hears the same.
func authError(err error) error {
	reply := pop3.ErrTemporary
	switch {
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, auth.ErrDenied), errors.Is(err, auth.ErrProtocol):
		reply = pop3.ErrCredentials
	case errors.Is(err, auth.ErrPermanent):
		reply = pop3.ErrPermanent
	}
	return &refusal{reply, err}
}

// openError is the one place where an error of [index.Index.Open] becomes one of the
// protocol.
func openError(err error) error {
	if errors.Is(err, index.ErrFile) || errors.Is(err, index.ErrOwner) {
		return &refusal{pop3.ErrPermanent, err}
	}
	return &refusal{pop3.ErrTemporary, err}
}

// messageError is the one place where an error of an open mailbox becomes one
// of the protocol.
func messageError(err error) error {
	if errors.Is(err, index.ErrGone) {
		return &refusal{pop3.ErrGone, err}
	}
	return &refusal{pop3.ErrTemporary, err}
}

// refusal is an error with what the client is told of it. Its text is for the
// log, where the client's would add nothing.
type refusal struct {
	reply  *pop3.Error
	reason error
}

func (r *refusal) Error() string   { return r.reason.Error() }
func (r *refusal) Unwrap() []error { return []error{r.reply, r.reason} }

// maildrop is a mailbox of a session. It implements [pop3.Maildrop].
type maildrop struct {
	mailbox *index.Mailbox
	user    string
	end     func() // of the account's session
}

// User implements [pop3.Maildrop].
func (m *maildrop) User() string { return m.user }

// Stat implements [pop3.Maildrop].
func (m *maildrop) Stat() (messages int, octets int64) {
	return m.mailbox.Len(), m.mailbox.Octets()
}

// Octets implements [pop3.Maildrop].
func (m *maildrop) Octets(_ context.Context, first, n int) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for i := first; i < first+n && yield(m.mailbox.MessageOctets(i), nil); i++ {
		}
	}
}

// UIDLs implements [pop3.Maildrop].
func (m *maildrop) UIDLs(_ context.Context, first, n int) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for i := first; i < first+n && yield(m.mailbox.UIDL(i), nil); i++ {
		}
	}
}

// Version implements [wire.Versioned].
func (m *maildrop) Version() uint64 { return m.mailbox.Version() }

// Open implements [pop3.Maildrop].
func (m *maildrop) Open(_ context.Context, message int) (io.ReadCloser, int64, error) {
	f, err := m.mailbox.OpenMessage(message)
	if err != nil {
		return nil, 0, messageError(err)
	}
	return f, m.mailbox.MessageOctets(message), nil
}

// OpenFiles implements [wire.Files].
func (m *maildrop) OpenFiles(_ context.Context, first int, dst []wire.File) (n int, err error) {
	var opened [wire.MaxOpen]*index.File
	files := opened[:min(len(dst), wire.MaxOpen)]
	if n, err = m.mailbox.OpenMessages(first, files); err != nil {
		return 0, messageError(err)
	}
	for i, f := range files[:n] {
		dst[i] = wire.File{Bytes: f.Size(), Octets: m.mailbox.MessageOctets(first + i), AtHand: f.AtHand()}
		dst[i].FD = f.Detach()
	}
	return n, nil
}

// Commit implements [pop3.Maildrop]. What was retrieved was seen.
func (m *maildrop) Commit(ctx context.Context, remove, retrieved []int) (failed int, err error) {
	failed, err = m.mailbox.Commit(ctx, remove, retrieved)
	if err != nil {
		err = messageError(err)
	}
	return failed, err
}

// Close implements [pop3.Maildrop].
func (m *maildrop) Close() error {
	defer m.end()
	return m.mailbox.Close()
}
