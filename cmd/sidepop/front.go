package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/inbound"
	"sidepop/cmd/sidepop/internal/privilege"
	"sidepop/cmd/sidepop/internal/sandbox"
	"sidepop/pop3"
	"sidepop/pop3/wire"
)

func frontCommand() *cobra.Command {
	return roleCommand(frontRole, "Speak POP3 and TLS with clients, for a keeper",
		`Speak POP3 and TLS with clients. Everything else is asked of the keeper, which
may come and go: without it logins are refused for the time being. Started as
root it becomes the user of the configuration, in a root directory with nothing
but the keeper's socket. "sidepop serve" starts both.`, runFront)
}

// front is the role that talks to the network.
type front struct {
	*role
	client wire.Client
	server pop3.Server
	counts counts

	tls *certs.Server

	keeper atomic.Bool // it is reachable

	mu       sync.Mutex
	settings settings      // the latest
	stands   chan struct{} // closed when the keeper has told its settings
	once     sync.Once     // for that
}

// keeperWait is how long clients wait in the listeners of a front that has just
// begun for the keeper's certificates. Without a keeper they are told so then.
const keeperWait = 2 * time.Second

// runFront opens what needs root or files, goes into the sandbox, and serves.
func runFront(r *role) error {
	f := &front{role: r, settings: settingsOf(r.config)}
	ls, err := f.listen()
	if err != nil {
		return err
	}
	defer closeAll(ls)
	warnDescriptors(r.config, r.log)
	if err := f.confine(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f.connect(ctx)
	failed := make(chan error, len(ls))
	mail := f.serveMetrics(ls, failed)
	var accepting []*inbound.Listener
	for i := range mail {
		mail[i].Listener = withKind(mail[i].Listener, mail[i].name)
		l := f.inbound(mail[i])
		mail[i].Listener, accepting = l, append(accepting, l)
	}
	start(&f.server, mail, failed)
	for _, l := range ls {
		r.log.Listening(l.name, l.Addr())
		if l.legacy {
			r.log.Legacy(l.name, l.Addr())
		}
	}
	r.log.Ready(version())
	r.notify.ready()
	go f.live(ctx, accepting)
	return f.run(failed)
}

// listen takes the sockets that were passed on, or opens those of the
// configuration.
func (f *front) listen() ([]listener, error) {
	ls, err := passedListeners(f.sockets)
	if err != nil || len(ls) > 0 {
		return ls, err
	}
	return listen(f.config.Listen)
}

// confine gives up everything that the front does not need. Its working directory
// is the folder of the keeper's socket then.
func (f *front) confine() error {
	if err := f.config.PrepareFront(); err != nil {
		return err
	}
	var id *privilege.Identity
	if os.Geteuid() == 0 {
		var err error
		if id, err = privilege.Lookup(f.config.User); err != nil {
			return err
		}
	}
	if f.unconfined() {
		return os.Chdir(f.config.Runtime)
	}
	held, err := sandbox.Front(f.config.Runtime, id)
	if err != nil {
		return err
	}
	f.sandboxed(held)
	return nil
}

// connect sets the protocol up, with the keeper behind it, for which it waits a while.
func (f *front) connect(ctx context.Context) {
	f.tls, f.stands = certs.NewServer(f.client.Certificate, inbound.Legacy), make(chan struct{})
	f.client.Path = config.KeeperSocket
	f.client.Counts = f.counts.wire
	f.client.Pushed = f.pushed
	f.client.Keeper = func(err error) {
		f.keeper.Store(err == nil)
		if !f.oneOfMany || err != nil {
			f.log.KeeperReachable(err)
		}
	}
	f.server = pop3.Server{Backend: &f.client, Events: unprobed{&frontEvents{f.events, &f.counts}}, Settings: f.settings.pop3()}
	go f.client.Run(ctx)
	select {
	case <-f.stands:
	case <-time.After(keeperWait):
	}
}

// pushed applies what the keeper says of the configuration. TLS is there as soon
// as there is a certificate.
func (f *front) pushed(data []byte) {
	s, err := decodeSettings(data)
	if err != nil {
		f.log.KeeperReachable(fmt.Errorf("its settings can't be understood: is it of another version? %w", err))
		return
	}
	f.tls.Apply(s.TLS)
	t := s.pop3()
	if f.client.HasCertificates() {
		t.TLS = f.tls.Config()
	}
	f.server.Apply(t)
	f.mu.Lock()
	f.settings = s
	f.mu.Unlock()
	f.once.Do(func() { close(f.stands) })
}

// inbound accepts connections from a listener, through proxies too.
func (f *front) inbound(l listener) *inbound.Listener {
	return &inbound.Listener{
		Listener: l.Listener,
		Legacy:   l.legacy,
		Proxy: func(a netip.Addr) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.settings.isProxy(a)
		},
		Refused: func(proxy, local net.Addr, reason error) {
			f.server.Events.Refused(pop3.Peer{Remote: addrPort(proxy), Local: addrPort(local), Listener: l.addr()}, reason)
		},
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// run serves until a signal. What a hangup or the supervisor would tell, the
// keeper tells.
func (f *front) run(failed <-chan error) error {
	select {
	case err := <-failed:
		return err
	case end := <-f.ended():
		f.log.Stopping(end)
		return f.shutdown()
	}
}

// ended waits for a signal to end, or for the end of the supervisor.
func (f *front) ended() <-chan string {
	ended := make(chan string, 1)
	go func() {
		for {
			if end, _ := f.next(); end != "" {
				ended <- end
				return
			}
		}
	}()
	return ended
}

// shutdown lets sessions end. Clients that have not been accepted are the next
// front's where the sockets are somebody else's too.
func (f *front) shutdown() error {
	f.mu.Lock()
	patience := f.settings.ShutdownTime
	f.mu.Unlock()
	f.notify.stopping(patience + roleEnd)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.server.Shutdown(ctx) }()
	select {
	case err := <-done:
		if errors.Is(err, context.DeadlineExceeded) {
			f.log.CutOff(patience)
			return nil
		}
		return err
	case <-f.signals:
		return errHurry
	}
}

// frontEvents counts, and leaves out what the keeper has told already.
type frontEvents struct {
	pop3.Events
	counts *counts
}

func (e *frontEvents) Connected(p pop3.Peer) {
	l := e.counts.of(p)
	l.accepted.Add(1)
	l.open.Add(1)
	e.Events.Connected(p)
}

func (e *frontEvents) Refused(p pop3.Peer, reason error) {
	e.counts.of(p).refused.Add(1)
	e.Events.Refused(p, reason)
}

func (e *frontEvents) LoggedIn(p pop3.Peer, mechanism, user string) {
	e.counts.loggedIn.Add(1)
	e.Events.LoggedIn(p, mechanism, user)
}

func (e *frontEvents) LoginFailed(p pop3.Peer, mechanism, user string, err error) {
	if !wire.Told(err) {
		if errors.Is(err, pop3.ErrTemporary) { // and not something longer than the keeper is asked
			e.counts.unanswered.Add(1)
		}
		e.Events.LoginFailed(p, mechanism, user, err)
	}
}

func (e *frontEvents) Failed(p pop3.Peer, user, command string, err error) {
	if !wire.Told(err) {
		e.Events.Failed(p, user, command, err)
	}
}

func (e *frontEvents) Closed(p pop3.Peer, s pop3.Summary) {
	e.counts.closed(p, s)
	e.Events.Closed(p, s)
}
