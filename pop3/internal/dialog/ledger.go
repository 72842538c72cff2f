package dialog

import (
	"context"
	"io"
	"sync"
	"testing"

	"sidepop/pop3"
)

// Ledger is a backend that notes what is opened and closed of another one.
type Ledger struct {
	pop3.Backend
	mu   sync.Mutex
	open map[string]int
}

// NewLedger wraps a backend.
func NewLedger(b pop3.Backend) *Ledger { return &Ledger{Backend: b, open: make(map[string]int)} }

// Check fails the test if anything is not closed exactly once. It is called
// when all sessions are over.
func (l *Ledger) Check(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for what, n := range l.open {
		if n != 0 {
			t.Errorf("%s: opened %d times more often than closed", what, n)
		}
	}
}

func (l *Ledger) note(what string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[what] += n
}

func (l *Ledger) maildrop(m pop3.Maildrop, err error) (pop3.Maildrop, error) {
	if err != nil || m == nil {
		return nil, err
	}
	l.note("maildrop", 1)
	return ledgerDrop{m, l}, nil
}

func (l *Ledger) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	return l.maildrop(l.Backend.Password(ctx, p, user, password))
}

func (l *Ledger) APOP(ctx context.Context, p pop3.Peer, user, timestamp, digest string) (pop3.Maildrop, error) {
	return l.maildrop(l.Backend.APOP(ctx, p, user, timestamp, digest))
}

func (l *Ledger) SASL(ctx context.Context, p pop3.Peer, mechanism string) (pop3.Exchange, error) {
	x, err := l.Backend.SASL(ctx, p, mechanism)
	if err != nil {
		return nil, err
	}
	l.note("exchange", 1)
	return ledgerExchange{x, l}, nil
}

type ledgerExchange struct {
	pop3.Exchange
	l *Ledger
}

func (x ledgerExchange) Step(ctx context.Context, response []byte) ([]byte, pop3.Maildrop, error) {
	challenge, m, err := x.Exchange.Step(ctx, response)
	m, err = x.l.maildrop(m, err)
	return challenge, m, err
}

func (x ledgerExchange) Close() error {
	x.l.note("exchange", -1)
	return x.Exchange.Close()
}

type ledgerDrop struct {
	pop3.Maildrop
	l *Ledger
}

func (d ledgerDrop) Open(ctx context.Context, i int) (io.ReadCloser, int64, error) {
	m, octets, err := d.Maildrop.Open(ctx, i)
	if err != nil {
		return nil, 0, err
	}
	d.l.note("message", 1)
	return ledgerMessage{m, d.l}, octets, nil
}

// Listing passes on what the maildrop has of [pop3.Lister].
func (d ledgerDrop) Listing(ctx context.Context, what pop3.Listing) (io.ReadCloser, error) {
	l, ok := d.Maildrop.(pop3.Lister)
	if !ok {
		return nil, nil
	}
	r, err := l.Listing(ctx, what)
	if r == nil || err != nil {
		return nil, err
	}
	d.l.note("listing", 1)
	return ledgerListing{r, d.l}, nil
}

type ledgerListing struct {
	io.ReadCloser
	l *Ledger
}

func (r ledgerListing) Close() error {
	r.l.note("listing", -1)
	return r.ReadCloser.Close()
}

func (d ledgerDrop) Close() error {
	d.l.note("maildrop", -1)
	return d.Maildrop.Close()
}

type ledgerMessage struct {
	io.ReadCloser
	l *Ledger
}

func (m ledgerMessage) Close() error {
	m.l.note("message", -1)
	return m.ReadCloser.Close()
}
