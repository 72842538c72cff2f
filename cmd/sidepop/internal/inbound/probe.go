package inbound

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Probe finds out whether connections are served: it has one accepted, on which
// nothing comes, and returns when it is read from, written to or closed. It is told of
// as any other connection; [IsProbe] tells it apart.
func (l *Listener) Probe(ctx context.Context) error {
	l.setUp()
	p := &probe{seen: make(chan struct{})}
	select {
	case l.accepted <- result{p, nil}:
	case <-l.closed:
		return net.ErrClosed
	case <-ctx.Done():
		return errors.New("no connection is accepted")
	}
	select {
	case <-p.seen:
		return nil
	case <-ctx.Done():
		return errors.New("an accepted connection is not served")
	}
}

// IsProbe says whether a client's address is that of a probe, which no client can
// have.
func IsProbe(remote netip.AddrPort) bool { return remote == probeAddress.AddrPort() }

var probeAddress = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))

// probe is the connection of a client that has left already.
type probe struct {
	once sync.Once
	seen chan struct{} // closed when somebody uses it
}

func (p *probe) use() { p.once.Do(func() { close(p.seen) }) }

func (p *probe) Read([]byte) (int, error) {
	p.use()
	return 0, io.EOF
}

func (p *probe) Write(b []byte) (int, error) {
	p.use()
	return len(b), nil
}

func (p *probe) Close() error {
	p.use()
	return nil
}

func (*probe) LocalAddr() net.Addr              { return probeAddress }
func (*probe) RemoteAddr() net.Addr             { return probeAddress }
func (*probe) SetDeadline(time.Time) error      { return nil }
func (*probe) SetReadDeadline(time.Time) error  { return nil }
func (*probe) SetWriteDeadline(time.Time) error { return nil }
