package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/index"
	"sidepop/pop3"
	"sidepop/pop3/wire"
)

// backend joins auth and index to the protocol, as one configuration has it. It
// implements [pop3.Backend].
type backend struct {
	accounts *accounts
	guard    *auth.Guard
	sessions *pop3.Accounts
	index    *index.Index
	apop     bool

	loginDelay time.Duration
}

func newBackend(c *config.Config, a *accounts, guard *auth.Guard, sessions *pop3.Accounts, x *index.Index) *backend {
	return &backend{
		accounts: a,
		guard:    guard,
		sessions: sessions,
		index:    x,
		apop:     c.Auth.APOP && a.passwd != nil,

		loginDelay: c.Limits.LoginDelay,
	}
}

// Offer implements [pop3.Backend]. APOP sends no password, so it needs no TLS.
func (b *backend) Offer(p pop3.Peer) pop3.Offer {
	o := pop3.Offer{UTF8User: true, APOP: b.apop && b.accounts.passwd.OffersAPOP(), LoginDelay: b.loginDelay}
	if p.Secure {
		o.Password = true
		o.SASL = []string{"PLAIN", "LOGIN"}
	}
	return o
}

// Password implements [pop3.Backend].
func (b *backend) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	account, err := b.verify(ctx, p, user, password)
	return b.login(ctx, account, err)
}

// verify finds the account of a user whose password is right.
func (b *backend) verify(ctx context.Context, p pop3.Peer, user, password string) (*auth.Account, error) {
	l := auth.Login{User: user, Password: password, Remote: p.Remote.Addr()}
	return b.guard.Do(ctx, l, func(ctx context.Context) (*auth.Account, error) { return b.accounts.Verify(ctx, l) })
}

// APOP implements [pop3.Backend].
func (b *backend) APOP(ctx context.Context, p pop3.Peer, user, timestamp, digest string) (pop3.Maildrop, error) {
	remote := p.Remote.Addr()
	account, err := b.guard.Do(ctx, auth.Login{User: user, Remote: remote}, func(ctx context.Context) (*auth.Account, error) {
		return b.accounts.VerifyAPOP(ctx, user, timestamp, digest, remote)
	})
	return b.login(ctx, account, err)
}

// SASL implements [pop3.Backend].
func (b *backend) SASL(ctx context.Context, p pop3.Peer, mechanism string) (pop3.Exchange, error) {
	x := &exchange{backend: b}
	verify := func(user, password string) (err error) {
		x.account, err = b.verify(ctx, p, user, password)
		return err
	}
	switch mechanism {
	case "PLAIN":
		x.Exchange = auth.NewPlain(verify)
	case "LOGIN":
		x.Exchange = auth.NewLogin(verify)
	default:
		return nil, fmt.Errorf("%w: mechanism %q is not offered", pop3.ErrPermanent, mechanism)
	}
	return x, nil
}

// exchange is a SASL exchange. It implements [pop3.Exchange].
type exchange struct {
	*auth.Exchange
	backend *backend
	account *auth.Account // whose secret was right
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
func (x *exchange) Close() error { return nil }

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
		bytes := f.Size()
		dst[i] = wire.File{FD: f.Detach(), Bytes: bytes, Octets: m.mailbox.MessageOctets(first + i)}
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
