package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/index"
	"sidepop/pop3"
)

// events is what sidepop tells of: a log for `sidepop serve`, sentences for
// `sidepop try`.
type events interface {
	pop3.Events
	index.Events
	Accounts(err error)
}

// newIndex opens the index of a configuration, with its state in a folder of
// this process's user.
func newIndex(c *config.Config, told index.Events) (*index.Index, error) {
	return index.New(indexOptions(c, told))
}

// indexOptions is the same for everybody who opens an index: what is stored
// depends on it.
func indexOptions(c *config.Config, told index.Events) index.Options {
	return index.Options{
		Measure:     pop3.Measure,
		Scheme:      c.UIDL,
		XUIDL:       c.XUIDL,
		ListsBefore: c.ListsBefore,
		State:       c.Index.StateDir,
		Watch:       c.Index.Watch,
		CommitDelay: c.Index.CommitDelay,
		CommitCount: c.Index.CommitCount,
		Keep:        c.Index.KeepTime,
		MarkSeen:    c.Index.MarkSeen,
		Events:      told,
	}
}

// newServer wires a server from a configuration: backend, users, limits.
// Without a TLS configuration it speaks plaintext only.
func newServer(c *config.Config, secure *tls.Config, x *index.Index, told events) *pop3.Server {
	users := auth.NewPasswd(c.Auth.PasswdFile, told.Accounts)
	return &pop3.Server{
		Backend: newBackend(c, users, x),
		Events:  told,
		Settings: pop3.Settings{
			Limits:         c.Limits.Limits,
			TLS:            secure,
			AllowPlaintext: c.Auth.Plaintext,
			UTF8Headers:    c.POP3.UTF8Headers,
			Hostname:       cmp.Or(c.Hostname, machineName()),
			Expire:         c.POP3.Expire,
		},
	}
}

// machineName is the machine's own name. The APOP timestamp needs some name, and
// any will do.
func machineName() string {
	if name, err := os.Hostname(); err == nil && config.ValidHostname(name) {
		return name
	}
	return "localhost"
}

// listener is a socket with what is spoken there.
type listener struct {
	net.Listener
	implicitTLS bool
}

func (l listener) protocol() string {
	if l.implicitTLS {
		return "pop3s"
	}
	return "pop3"
}

// listen opens all sockets of a configuration, or none.
func listen(l config.Listen) (all []listener, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
			all = nil
		}
	}()
	everywhere := wildcards(l)
	open := func(as []netip.AddrPort, implicitTLS bool) error {
		for _, a := range as {
			l, err := net.Listen(network(a, everywhere), a.String())
			if err != nil {
				return listenError(a, err)
			}
			all = append(all, listener{l, implicitTLS})
		}
		return nil
	}
	if err := open(l.POP3, false); err != nil {
		return all, err
	}
	return all, open(l.POP3S, true)
}

func closeAll(ls []listener) {
	for _, l := range ls {
		_ = l.Close()
	}
}

// wildcards is the ports that are asked for on every IPv4 address.
func wildcards(l config.Listen) map[uint16]bool {
	ports := make(map[uint16]bool)
	for _, as := range [][]netip.AddrPort{l.POP3, l.POP3S} {
		for _, a := range as {
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
		hint = ": ports below 1024 are root's: start as root with user set, or give CAP_NET_BIND_SERVICE"
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

// start serves on all listeners. The channel gets the reason when one of them
// ends without having been told to.
func start(s *pop3.Server, ls []listener) <-chan error {
	failed := make(chan error, len(ls))
	for _, l := range ls {
		serve := s.Serve
		if l.implicitTLS {
			serve = s.ServeTLS
		}
		go func() {
			if err := serve(l); !errors.Is(err, pop3.ErrServerClosed) {
				failed <- fmt.Errorf("%s on %s: %w", l.protocol(), l.Addr(), err)
			}
		}()
	}
	return failed
}

// errCutOff: the server was ended in the middle of something.
var errCutOff = errors.New("a second signal cut open sessions off")

// shutdown ends a server in order, but not later than patience says. Another
// signal ends the wait at once.
func shutdown(s *pop3.Server, patience time.Duration, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	select {
	case err := <-done:
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("sessions still open after %s were ended", patience)
		}
		return err
	case <-signals:
		return errCutOff
	}
}
