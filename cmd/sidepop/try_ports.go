package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// portsTried is how many ports are looked at for a free one.
const portsTried = 100

// listen opens the loopback sockets of both protocols.
func (t *trial) listen() ([]listener, error) {
	plain, err := openPort("--port", plainListener, t.port, tryPort)
	if err != nil {
		return nil, err
	}
	secure, err := openPort("--tls-port", tlsListener, t.tlsPort, tryTLSPort)
	if err != nil {
		closeAll(plain)
		return nil, err
	}
	return append(plain, secure...), nil
}

// openPort listens on the wanted port or, when that is 0, on the first free one
// from first on.
func openPort(flag string, kind listenerKind, wanted, first uint16) ([]listener, error) {
	if wanted != 0 {
		ls, err := listenLoopback(kind, wanted)
		if err != nil {
			return nil, fmt.Errorf("%w; choose another port with %s, or leave it out to take the next free one", err, flag)
		}
		return ls, nil
	}
	for port := first; port < first+portsTried; port++ {
		ls, err := listenLoopback(kind, port)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return ls, err
		}
	}
	return nil, fmt.Errorf("no free port from %d to %d; choose one with %s", first, first+portsTried-1, flag)
}

// listenLoopback listens on a port of 127.0.0.1 and ::1, or of the one that
// this machine has.
func listenLoopback(kind listenerKind, port uint16) ([]listener, error) {
	var ls []listener
	var missing error
	for _, ip := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		a := netip.AddrPortFrom(ip, port)
		l, err := net.Listen(network(a, nil), a.String())
		switch {
		case err == nil:
			ls = append(ls, listener{l, kind})
		case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
			missing = listenError(a, err)
		default:
			closeAll(ls)
			return nil, listenError(a, err)
		}
	}
	if len(ls) == 0 {
		return nil, missing
	}
	return ls, nil
}
