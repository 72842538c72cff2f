// Package memory is a [pop3.Backend] whose accounts and messages are in
// memory: for tests, and as the shortest example of one.
//
//	b := memory.New()
//	b.Add("alice", "secret", "Subject: hello\r\n\r\nHello, Alice.\r\n")
//	s := &pop3.Server{Backend: b}
//	err := s.Serve(listener)
package memory

import (
	"context"
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"

	"sidepop/pop3"
)

// Backend holds accounts. Its exported fields are not changed while it serves.
type Backend struct {
	APOPOn     bool           // offer APOP
	Accounts   *pop3.Accounts // bounds the sessions of each account
	LoginDelay time.Duration  // announced; Accounts enforces one

	mu       sync.Mutex
	accounts map[string]*account
	added    int
}

type account struct {
	password string
	messages []*message
}

type message struct {
	uidl   string
	stored string
	octets int64
}

// New gives a backend without accounts and without bounds on sessions.
func New() *Backend {
	return &Backend{Accounts: pop3.NewAccounts(0, 0), accounts: make(map[string]*account)}
}

// Add makes an account if there is none of that name, and delivers messages
// to it.
func (b *Backend) Add(user, password string, messages ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.accounts[user]
	if a == nil {
		a = &account{}
		b.accounts[user] = a
	}
	a.password = password
	for _, m := range messages {
		b.added++
		octets, _ := pop3.Measure(strings.NewReader(m)) // a string can be read
		a.messages = append(a.messages, &message{fmt.Sprintf("%d.memory", b.added), m, octets})
	}
}

// Messages gives what an account holds now.
func (b *Backend) Messages(user string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var stored []string
	if a := b.accounts[user]; a != nil {
		for _, m := range a.messages {
			stored = append(stored, m.stored)
		}
	}
	return stored
}

func (b *Backend) Offer(p pop3.Peer) pop3.Offer {
	o := pop3.Offer{Password: p.Secure, UTF8User: true, APOP: b.APOPOn, LoginDelay: b.LoginDelay}
	if p.Secure {
		o.SASL = []string{sasl.Plain}
	}
	return o
}

func (b *Backend) Password(ctx context.Context, _ pop3.Peer, user, password string) (pop3.Maildrop, error) {
	return b.login(ctx, user, func(secret string) bool { return equal(secret, password) })
}

func (b *Backend) APOP(ctx context.Context, _ pop3.Peer, user, timestamp, digest string) (pop3.Maildrop, error) {
	return b.login(ctx, user, func(secret string) bool {
		sum := md5.Sum([]byte(timestamp + secret))
		return equal(hex.EncodeToString(sum[:]), digest)
	})
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (b *Backend) SASL(_ context.Context, _ pop3.Peer, mechanism string) (pop3.Exchange, error) {
	if mechanism != sasl.Plain {
		return nil, fmt.Errorf("mechanism %q", mechanism)
	}
	x := &exchange{}
	x.Server = sasl.NewPlainServer(func(identity, user, password string) (err error) {
		x.user = user
		if identity != "" && identity != user {
			return pop3.ErrCredentials
		}
		x.maildrop, err = b.Password(context.Background(), pop3.Peer{}, user, password)
		return err
	})
	return x, nil
}

// exchange is one run of a SASL mechanism.
type exchange struct {
	sasl.Server
	user     string
	maildrop pop3.Maildrop
}

func (x *exchange) Step(_ context.Context, response []byte) ([]byte, pop3.Maildrop, error) {
	challenge, done, err := x.Next(response)
	var known *pop3.Error
	switch {
	case errors.As(err, &known):
		return nil, nil, err
	case err != nil: // a malformed response
		return nil, nil, fmt.Errorf("%w: %v", pop3.ErrCredentials, err)
	case done:
		return nil, x.maildrop, nil
	}
	return challenge, nil, nil
}

func (x *exchange) User() string { return x.user }
func (x *exchange) Close() error { return nil }

func (b *Backend) login(ctx context.Context, user string, proves func(secret string) bool) (pop3.Maildrop, error) {
	b.mu.Lock()
	a := b.accounts[user]
	b.mu.Unlock()
	if a == nil || !proves(a.password) {
		return nil, pop3.ErrCredentials
	}
	end, err := b.Accounts.Begin(ctx, user)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d := &maildrop{backend: b, account: a, user: user, end: end}
	d.messages = append(d.messages, a.messages...)
	for _, m := range d.messages {
		d.octets += m.octets
	}
	return d, nil
}

// maildrop is an account's messages as they were at login.
type maildrop struct {
	backend  *Backend
	account  *account
	user     string
	messages []*message
	octets   int64
	end      func()
}

func (d *maildrop) User() string       { return d.user }
func (d *maildrop) Stat() (int, int64) { return len(d.messages), d.octets }
func (d *maildrop) Close() error       { d.end(); return nil }

func (d *maildrop) Octets(_ context.Context, first, n int) iter.Seq2[int64, error] {
	return each(d.messages[first:first+n], func(m *message) int64 { return m.octets })
}

func (d *maildrop) UIDLs(_ context.Context, first, n int) iter.Seq2[string, error] {
	return each(d.messages[first:first+n], func(m *message) string { return m.uidl })
}

func each[T any](messages []*message, value func(*message) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, m := range messages {
			if !yield(value(m), nil) {
				return
			}
		}
	}
}

func (d *maildrop) Open(_ context.Context, i int) (io.ReadCloser, int64, error) {
	d.backend.mu.Lock()
	defer d.backend.mu.Unlock()
	for _, m := range d.account.messages {
		if m == d.messages[i] {
			return io.NopCloser(strings.NewReader(m.stored)), m.octets, nil
		}
	}
	return nil, 0, pop3.ErrGone
}

func (d *maildrop) Commit(_ context.Context, remove, _ []int) (int, error) {
	removed := make(map[*message]bool, len(remove))
	for _, i := range remove {
		removed[d.messages[i]] = true
	}
	d.backend.mu.Lock()
	defer d.backend.mu.Unlock()
	var kept []*message
	for _, m := range d.account.messages {
		if !removed[m] {
			kept = append(kept, m)
		}
	}
	d.account.messages = kept
	return 0, nil
}
