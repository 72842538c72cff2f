package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/control"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/cmd/sidepop/internal/mta"
	"sidepop/cmd/sidepop/internal/privilege"
	"sidepop/cmd/sidepop/internal/sandbox"
	"sidepop/index"
	"sidepop/pop3"
	"sidepop/pop3/wire"
)

func keeperCommand() *cobra.Command {
	return roleCommand(keeperRole, "Decide who may read what, for a front",
		`Check passwords, keep the index, open and remove mail, and sign for TLS, for a
front that talks to the network. It is root without network: files are opened
with the rights of the user whom they belong to. "sidepop serve" starts both.`, runKeeper)
}

// keeper is the role that has the mail.
type keeper struct {
	*role
	started  *config.Config // the one at the start, which some things stay as in
	index    *index.Index
	sessions pop3.Accounts
	server   wire.Server
	found    *mta.MTA // nil: none was looked for, or it can't be asked
	mute     error    // why it can't be asked
	guard    *auth.Guard
	helpers  helpers

	knowing sync.WaitGroup // see know
	forget  context.CancelFunc

	pair    *certs.Pair // nil without a certificate
	backend *backend
	apop    bool // was offered at the last push
}

// runKeeper opens its sockets, gives up what it does not need, and serves.
func runKeeper(r *role) error {
	k := &keeper{role: r, started: r.config}
	if err := r.config.PrepareState(); err != nil {
		return err
	}
	l, err := k.listen()
	if err != nil {
		return err
	}
	defer l.Close()
	allowed, err := k.frontUser()
	if err != nil {
		return err
	}
	warnDescriptors(r.config, r.log)
	k.detect() // tools of an MTA may need rights that are given up now
	if err := k.confine(); err != nil {
		return err
	}
	// Only now it is certain what can be read.
	chosen, err := k.choose()
	if err != nil {
		return err
	}
	k.server.Events = keeperEvents{r.events, r.log}
	k.server.Allowed = func(uid uint32) bool { return uid == allowed }
	k.guard, k.helpers.events = auth.NewGuard(auth.GuardOptions{}), maillog.Helper{Log: r.log}
	defer k.helpers.close()
	err = k.open()
	chosen(err)
	if err != nil {
		return err
	}
	commands, err := control.Serve(r.config.Index.StateDir, control.Local{Index: k.index}, k, r.log.ControlFault)
	if err != nil {
		return errors.Join(err, k.index.Close())
	}
	k.know()
	err = k.run(l)
	k.unknow()
	return errors.Join(err, commands.Close(), k.index.Close())
}

// confine gives up what the role does not need.
func (k *keeper) confine() error {
	if k.unconfined() {
		return nil
	}
	o := sandbox.KeeperOptions{Network: k.config.Auth.Network}
	if asksPAM(k.config) {
		o.Helper = sandbox.HelperCapabilities(k.config.Auth.PAMSession)
	}
	held, err := sandbox.Keeper(o)
	if err != nil {
		return err
	}
	k.sandboxed(held)
	k.helpers.ambient = sandbox.Numbers(o.Helper)
	return nil
}

// choose takes the configuration that the supervisor asks for, where there is one
// that can be used, or else that in force. What was asked for is to be answered
// when it holds: by done, which is told whether it does.
func (k *keeper) choose() (done func(error), err error) {
	done = func(error) {}
	if s := k.snapshot; s.Number > 0 {
		next, held, err := s.parse(s.Asked)
		if err == nil {
			err = next.Check(os.Geteuid())
		}
		if err == nil {
			k.config = next
			return func(err error) { k.answer(s.Number, held, err) }, nil
		}
		k.answer(s.Number, held, err)
	}
	return done, k.config.Check(os.Geteuid())
}

// answer tells what has become of a configuration, with a number if it was the
// supervisor's.
func (k *keeper) answer(number int, held []string, err error) {
	if number > 0 {
		k.notify.answer(number, err == nil)
	}
	if err != nil {
		k.log.ConfigRefused(err)
		return
	}
	if len(held) > 0 {
		k.log.NeedsRestart(held)
	}
	k.log.ConfigLoaded()
}

// listen takes the socket that was passed on, or makes it.
func (k *keeper) listen() (*net.UnixListener, error) {
	passed := k.sockets[keeperSocket]
	if len(passed) == 0 {
		if err := k.config.PrepareRuntime(); err != nil {
			return nil, err
		}
		return listenKeeper(k.config)
	}
	l, err := net.FileListener(passed[0])
	if err != nil {
		return nil, fmt.Errorf("the passed socket %s can't be used: %w", keeperSocket, err)
	}
	_ = passed[0].Close()
	ul, ok := l.(*net.UnixListener)
	if !ok {
		return nil, fmt.Errorf("the passed socket %s is %s, expected a unix socket of the kind SOCK_SEQPACKET", keeperSocket, l.Addr().Network())
	}
	return ul, nil
}

// listenKeeper makes the keeper's socket, in place of one that was left behind.
// The front's group may connect; whose process it is is looked at then.
func listenKeeper(c *config.Config) (*net.UnixListener, error) {
	path := filepath.Join(c.Runtime, config.KeeperSocket)
	if conn, err := net.Dial("unixpacket", path); err == nil {
		_ = conn.Close()
		return nil, config.Problems{c.Problem("runtime_dir", c.Runtime+" is in use by another sidepop, expected a folder of its own: stop that one, or set another folder")}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("the keeper's socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // another process may serve it
	err = os.Chmod(path, 0o600)
	if os.Geteuid() == 0 {
		id, lookupErr := privilege.Lookup(c.User)
		if lookupErr != nil {
			return nil, errors.Join(lookupErr, l.Close())
		}
		err = errors.Join(err, os.Chown(path, 0, id.GID), os.Chmod(path, 0o660))
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// frontUser is whose processes may connect.
func (k *keeper) frontUser() (uid uint32, err error) {
	if !k.root {
		return uint32(os.Geteuid()), nil
	}
	id, err := privilege.Lookup(k.config.User)
	if err != nil {
		return 0, err
	}
	return uint32(id.UID), nil
}

// wireConnections bounds the front's connections: one a session, one to control
// it, and as many again for a front that has just ended and one that begins.
func wireConnections(c *config.Config) int { return 2 * (c.Limits.Connections + 1) }

// open opens the index, and takes the configuration into use.
func (k *keeper) open() (err error) {
	if k.index, err = index.New(indexOptions(k.config, k.events)); err != nil {
		return err
	}
	if err := k.use(k.config); err != nil {
		return errors.Join(err, k.index.Close())
	}
	return nil
}

// push tells the front what it needs to know, or, with an error, nothing.
func (k *keeper) push(c *config.Config, pair *certs.Pair, b *backend) error {
	data, err := settingsOf(c).encode()
	if err != nil {
		return err
	}
	state := wire.State{
		Settings: data,
		Plain:    b.Offer(pop3.Peer{}),
		Secure:   b.Offer(pop3.Peer{Secure: true}),
	}
	if pair != nil {
		state.Certificates = []tls.Certificate{pair.Current()}
	}
	if err := k.server.Push(state); err != nil {
		return err
	}
	k.apop = state.Plain.APOP
	return nil
}

// run serves until a signal.
func (k *keeper) run(l *net.UnixListener) error {
	failed := make(chan error, 1)
	go func() {
		if err := k.server.Serve(l); !errors.Is(err, wire.ErrServerClosed) {
			failed <- fmt.Errorf("the keeper's socket: %w", err)
		}
	}()
	look := time.NewTicker(certs.CheckInterval)
	defer look.Stop()
	k.log.Ready(version())
	k.notify.ready()
	next := make(chan func() (end bool))
	go func() {
		for {
			end, line := k.next()
			next <- func() bool { return k.do(end, line) }
			if end != "" {
				return // what comes then is for shutdown
			}
		}
	}()
	for {
		select {
		case err := <-failed:
			return err
		case <-look.C:
			k.refresh()
		case act := <-next:
			if act() {
				return k.shutdown()
			}
		}
	}
}

// do does what a signal or the supervisor asks for.
func (k *keeper) do(end string, line []byte) (ends bool) {
	if end != "" {
		k.notify.stopping()
		k.log.Stopping(end)
		return true
	}
	k.reload(line)
	return false
}

// shutdown ends the sessions that the front has left.
func (k *keeper) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), keeperPatience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- k.server.Shutdown(ctx) }()
	select {
	case err := <-done:
		return err
	case <-k.signals:
		return errHurry
	}
}

// keeperPatience is how long logins under way are waited for. Removals are
// waited for without a bound.
const keeperPatience = 2 * time.Second

// refresh tells the front when its certificate, or what it may offer, has
// changed by a change of a file.
func (k *keeper) refresh() {
	changed := k.pair != nil && k.pair.Refresh()
	if apop := k.backend.Offer(pop3.Peer{}).APOP; apop != k.apop {
		changed = true
	}
	if !changed {
		return
	}
	if err := k.push(k.config, k.pair, k.backend); err != nil {
		k.log.Fault(err)
	}
}

// detectTime bounds how long the tools of an MTA may take at the start. They take
// less than a tenth of a second, but the machine may be starting too.
const detectTime = 20 * time.Second

// detect finds out about the MTA, except in a trial, which has nothing to do with
// it.
func (k *keeper) detect() {
	if k.sentences != "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), detectTime)
	defer cancel()
	k.found, k.mute = mta.Detect(ctx)
}

// knowsPlace says whether it is known where the mail is, which an MTA that can't be asked leaves open. A
// guess might show empty mailboxes, and clients would take all mail for new later.
func (k *keeper) knowsPlace(c *config.Config) error {
	switch {
	case k.mute == nil:
		return nil
	case c.Mailbox == "":
		return unknownPlace(c, k.mute)
	}
	k.log.Fault(fmt.Errorf("find out about the MTA: %w", k.mute))
	return nil
}

// unknownPlace: an MTA that can't be asked is all that says where mail is.
func unknownPlace(c *config.Config, mute error) error {
	return config.Problems{c.Mishap("mailbox", fmt.Sprintf("the mail server can't be asked where it delivers: %v", mute),
		"correct what it complains of, or set mailbox in the configuration")}
}

// reload makes another configuration hold: what the supervisor asks for in a line,
// or the file. One that can't be used changes nothing.
func (k *keeper) reload(line []byte) {
	next, held, number, err := k.nextConfig(line)
	if err == nil {
		if k.found == nil || k.found.Name == "" { // what was found keeps itself current
			k.detect()
		}
		err = k.use(next)
	}
	k.answer(number, held, err)
	if err == nil {
		k.know()
	}
}

// nextConfig gives the configuration with what holds only from a start on as it
// was then.
func (k *keeper) nextConfig(line []byte) (next *config.Config, held []string, number int, err error) {
	if line == nil {
		if next, err = config.Read(k.file); err == nil {
			held = next.HoldOver(k.started)
		}
	} else {
		var s snapshot
		if s, err = parseSnapshot(line); err == nil {
			number = s.Number
			next, held, err = s.parse(s.Asked)
		}
	}
	if err == nil {
		err = next.Check(os.Geteuid())
	}
	return next, held, number, err
}

// use makes a configuration hold, or, with an error, leaves everything as it is.
func (k *keeper) use(next *config.Config) error {
	if err := k.knowsPlace(next); err != nil {
		return err
	}
	pair, err := k.loadPair(next)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), detectTime)
	defer cancel()
	accounts, err := newAccounts(ctx, next, k.found, &k.helpers, k.events.Accounts)
	if err != nil {
		return err
	}
	// Logins that begin before the end may be found right by what held until now.
	backend := newBackend(next, accounts, k.guard.Anew(), &k.sessions, k.index)
	if err := k.push(next, pair, backend); err != nil {
		return err
	}
	k.config, k.pair, k.backend = next, pair, backend
	k.helpers.retain(next)
	k.tellAccounts()
	k.guard.Set(guardOptions(next, accounts))
	k.server.Allow(wireConnections(next))
	k.server.AllowSilence(next.Limits.Idle + wire.LongestTransfer)
	k.sessions.Allow(next.Limits.SessionsPerUser, next.Limits.LoginDelay)
	k.server.SetBackend(backend)
	return nil
}

// tellAccounts logs who can log in, and where their mail is.
func (k *keeper) tellAccounts() {
	name := "none"
	if k.found != nil && k.found.Name != "" {
		name = k.found.Name
	}
	var sources []string
	for _, b := range k.backend.accounts.Chain {
		sources = append(sources, b.Name)
	}
	k.log.Found(name, k.backend.accounts.places.template(), sources)
	if k.backend.accounts.pam != nil && k.config.Mailbox == "" && name != "none" {
		if local := k.found.Local(); !local.Maildir {
			k.log.NoMaildirs(name, local.Setting, local.File)
		}
	}
}

// loadPair reads the certificate of a configuration, or the MTA's; nil is none.
func (k *keeper) loadPair(c *config.Config) (*certs.Pair, error) {
	certificate, key := certificateFiles(c, k.found)
	switch {
	case certificate != "":
		return certs.Load(certificate, key, k.events)
	case len(c.Listen.POP3S) > 0:
		return nil, config.Problems{noCertificate(c, k.found)}
	}
	return nil, nil
}

func noCertificate(c *config.Config, found *mta.MTA) *config.Problem {
	text, remedy := "there is no certificate, which connections to listen.pop3s need", "set certificate and key in the table [tls] of the configuration"
	if found != nil && found.Name != "" {
		text += ", and " + found.Name + " has none"
		remedy += ", or give one to " + found.Name
	}
	return c.Mishap("tls", text, remedy)
}

// certificateFiles are those of a configuration, or of the MTA; empty: there are
// none.
func certificateFiles(c *config.Config, found *mta.MTA) (certificate, key string) {
	if c.TLS.Certificate != "" || found == nil {
		return c.TLS.Certificate, c.TLS.Key
	}
	return found.Certificate()
}

func guardOptions(c *config.Config, a *accounts) auth.GuardOptions {
	return auth.GuardOptions{
		FailureDelay: c.Auth.FailureDelay,
		CacheTime:    c.Auth.CacheTime,
		Files:        a.files,
		Account:      a.name,
		Allow:        c.Auth.Allow,
		Deny:         c.Auth.Deny,
		UserNetworks: c.Auth.UserNetworks,
	}
}

// know has the mailboxes of all accounts that can be listed watched and counted
// before anybody logs in.
func (k *keeper) know() {
	k.unknow()
	ctx, cancel := context.WithCancel(context.Background())
	k.forget = cancel
	a := k.backend.accounts
	k.knowing.Go(func() { k.knowMailboxes(ctx, a) })
}

// unknow ends what know has begun.
func (k *keeper) unknow() {
	if k.forget != nil {
		k.forget()
	}
	k.knowing.Wait()
}

func (k *keeper) knowMailboxes(ctx context.Context, a *accounts) {
	know := func(account *auth.Account) {
		if ctx.Err() != nil {
			return
		}
		if path, owner, err := a.places.of(account); err == nil {
			k.index.Know(path, owner)
		}
	}
	a.each(know)
}

// keeperEvents is what the keeper tells of its sessions. It implements
// [wire.Events].
type keeperEvents struct {
	events
	log *maillog.Log
}

// Refused implements [wire.Events].
func (e keeperEvents) Refused(uid uint32, reason error) { e.log.FrontRefused(uid, reason) }

// Broken implements [wire.Events].
func (e keeperEvents) Broken(p pop3.Peer, user string, err error) { e.log.FrontBroken(p, user, err) }
