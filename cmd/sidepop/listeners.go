package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/pop3"
)

// listener is a socket with what is spoken there.
type listener struct {
	net.Listener
	listenerKind
}

// listenerKind is what is spoken on a socket.
type listenerKind struct {
	name        string // as sockets that are passed on have it
	implicitTLS bool
	legacy      bool // with old devices
	addresses   func(*config.Listen) []netip.AddrPort
}

// The kinds of listeners.
var (
	plainListener       = listenerKind{plainSocket, false, false, func(l *config.Listen) []netip.AddrPort { return l.POP3 }}
	tlsListener         = listenerKind{tlsSocket, true, false, func(l *config.Listen) []netip.AddrPort { return l.POP3S }}
	plainLegacyListener = listenerKind{plainLegacySocket, false, true, func(l *config.Listen) []netip.AddrPort { return l.POP3Legacy }}
	tlsLegacyListener   = listenerKind{tlsLegacySocket, true, true, func(l *config.Listen) []netip.AddrPort { return l.POP3SLegacy }}

	metricsListener = listenerKind{metricsSocket, false, false, func(l *config.Listen) []netip.AddrPort { return l.Metrics }}

	listenerKinds = []listenerKind{plainListener, tlsListener, plainLegacyListener, tlsLegacyListener, metricsListener}
)

// listen opens all sockets of a configuration, or none.
func listen(l config.Listen) (all []listener, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
			all = nil
		}
	}()
	everywhere := wildcards(l)
	for _, k := range listenerKinds {
		for _, a := range k.addresses(&l) {
			l, err := net.Listen(network(a, everywhere), a.String())
			if err != nil {
				return all, listenError(a, err)
			}
			all = append(all, listener{l, k})
		}
	}
	return all, nil
}

func closeAll(ls []listener) {
	for _, l := range ls {
		_ = l.Close()
	}
}

// wildcards is the ports that are asked for on every IPv4 address.
func wildcards(l config.Listen) map[uint16]bool {
	ports := make(map[uint16]bool)
	for _, k := range listenerKinds {
		for _, a := range k.addresses(&l) {
			if a.Addr().Is4() && a.Addr().IsUnspecified() {
				ports[a.Port()] = true
			}
		}
	}
	return ports
}

// network makes an IPv4 address mean IPv4 alone: Go would take 0.0.0.0 for
// IPv6 too. [::] is both, unless 0.0.0.0 is listed beside it.
func network(a netip.AddrPort, everywhere map[uint16]bool) string {
	switch {
	case a.Addr().Is4():
		return "tcp4"
	case a.Addr().IsUnspecified() && !everywhere[a.Port()]:
		return "tcp"
	}
	return "tcp6"
}

// listenError says what to do about an address that can't be had.
func listenError(a netip.AddrPort, err error) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = fmt.Sprintf(`: another program listens there; "ss -ltnp sport = :%d" names it`, a.Port())
	case errors.Is(err, syscall.EACCES):
		hint = ": ports below 1024 are root's: start as root, or give CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = `: no interface of this machine has that address; "ip address" lists them`
	case errors.Is(err, syscall.EAFNOSUPPORT) && a.Addr().Is6():
		hint = fmt.Sprintf(`: this machine has no IPv6; use an IPv4 address such as "0.0.0.0:%d"`, a.Port())
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return fmt.Errorf("can't listen on %s: %w%s", a, err, hint)
}

// start serves on all listeners. The channel, which has room for that, gets the
// reason when one of them ends without having been told to.
func start(s *pop3.Server, ls []listener, failed chan<- error) {
	for _, l := range ls {
		serve := s.Serve
		if l.implicitTLS {
			serve = s.ServeTLS
		}
		go func() {
			if err := serve(l.Listener); !errors.Is(err, pop3.ErrServerClosed) {
				failed <- listenerError(l, err)
			}
		}()
	}
}

func listenerError(l listener, err error) error {
	return fmt.Errorf("%s on %s: %w", l.name, l.Addr(), err)
}
