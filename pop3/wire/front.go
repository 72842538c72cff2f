package wire

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"sidepop/pop3"
)

// pushed is a [State] as the front has it.
type pushed struct {
	settings      []byte
	plain, secure pop3.Offer
	certificates  []*tls.Certificate
}

// frontControl is the front's end of the control connection.
type frontControl struct {
	*conn
	client  *Client
	sending sync.Mutex

	coming  *pushed // a state of which certificates are still to come
	missing int     // so many
	stands  bool    // a state has come

	mu       sync.Mutex
	ended    error
	asked    uint64
	asks     map[uint64]chan<- signature
	figuring figuring
}

// Run keeps the control connection until ctx is done. What the keeper said last
// stays in force while it is gone.
func (c *Client) Run(ctx context.Context) {
	keeper := c.Keeper
	if keeper == nil {
		keeper = func(error) {}
	}
	defer c.idle.clear()
	delay, down := minRedial, false
	for {
		stood, err := c.runControl(ctx, keeper)
		if ctx.Err() != nil {
			return
		}
		if stood {
			delay, down = minRedial, false
		}
		if !down {
			down = true
			keeper(err)
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return
		}
		delay = min(2*delay, maxRedial)
	}
}

// runControl is one control connection, from its dialling to its end. Stood says
// whether the keeper said anything.
func (c *Client) runControl(ctx context.Context, keeper func(error)) (stood bool, err error) {
	l, err := c.dial()
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	f := &frontControl{conn: l.conn, client: c, asks: make(map[uint64]chan<- signature)}
	b := newBuffer()
	err = f.send(b.begin(verbControl), nil)
	b.free()
	for err == nil {
		err = f.take()
		if f.stands && !stood {
			stood = true
			keeper(nil)
		}
	}
	c.control.Store(nil)
	err = l.broke("control connection", err)
	f.end(err)
	return stood, err
}

// take does what the next packet says.
func (f *frontControl) take() error {
	in, err := f.receive(false)
	if err != nil {
		return err
	}
	defer in.free()
	v, d, err := decode(in.packet)
	if err != nil {
		return err
	}
	switch v {
	case verbState:
		return f.takeState(d)
	case verbIdentity:
		return f.takeIdentity(d)
	case verbSigned, verbNotSigned:
		return f.takeSigned(v, d)
	case verbAskCounts:
		return f.takeAskCounts(d)
	case verbFiguresAre:
		return f.takeFigures(d)
	}
	return fmt.Errorf("%w: %d", errTurn, v)
}

func (f *frontControl) takeState(d *decoder) error {
	p := &pushed{settings: append([]byte{}, d.bytes(MaxSettings)...), plain: d.offer(), secure: d.offer()}
	missing := d.int(MaxCertificates)
	if f.missing > 0 {
		d.fail(errTurn)
	}
	if err := d.end(); err != nil {
		return err
	}
	f.coming, f.missing = p, missing
	f.apply()
	return nil
}

func (f *frontControl) takeIdentity(d *decoder) error {
	if f.missing == 0 {
		return errTurn
	}
	chain := &tls.Certificate{}
	for d.more() && len(chain.Certificate) < maxChain {
		chain.Certificate = append(chain.Certificate, append([]byte{}, d.bytes(MaxPacket)...))
	}
	if err := d.end(); err != nil {
		return err
	}
	if len(chain.Certificate) == 0 {
		return errShort
	}
	leaf, err := x509.ParseCertificate(chain.Certificate[0])
	if err != nil {
		return fmt.Errorf("certificate from the keeper: %w", err)
	}
	chain.Leaf = leaf
	chain.PrivateKey = &signer{f.client, sha256.Sum256(leaf.Raw), leaf.PublicKey}
	f.coming.certificates = append(f.coming.certificates, chain)
	f.missing--
	f.apply()
	return nil
}

// apply puts a state in force when it is complete.
func (f *frontControl) apply() {
	if f.missing > 0 {
		return
	}
	f.client.pushed.Store(f.coming)
	f.client.control.Store(f) // who asks before that asks for keys that are not there yet
	f.stands = true
	if f.client.Pushed != nil {
		f.client.Pushed(f.coming.settings)
	}
	f.coming = nil
}

func (f *frontControl) takeAskCounts(d *decoder) error {
	request := d.uint(1<<64 - 1)
	if err := d.end(); err != nil {
		return err
	}
	b := newBuffer()
	defer b.free()
	return f.tell(appendCounts(appendUint(b.begin(verbCounts), request), f.client.counts()))
}

// tell sends a packet, from whatever goroutine.
func (f *frontControl) tell(p []byte) error {
	f.sending.Lock()
	defer f.sending.Unlock()
	return f.send(p, nil)
}
