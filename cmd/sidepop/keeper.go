package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/control"
	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/cmd/sidepop/internal/metrics"
	"sidepop/cmd/sidepop/internal/mta"
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
	figures  *metrics.Keeper

	refusal string // of the configuration that was read last; empty: it holds

	knowing sync.WaitGroup // see know
	forget  context.CancelFunc

	certificates *certs.Store
	backend      *backend
	salts        *auth.Salts
	offers       [2]pop3.Offer // of the last push, as [wire.State] has them
	authorities  []byte        // of the last push with some
}

// runKeeper opens its sockets, gives up what it does not need, and serves.
func runKeeper(r *role) error {
	k := &keeper{role: r, started: r.config, figures: newFigures()}
	k.figures.Reloaded(time.Now(), nil)
	r.events = counting{r.events, k.figures}
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
	k.server.Figures = k.figuresFor
	k.guard, k.helpers.events = auth.NewGuard(auth.GuardOptions{}), countingPAM{maillog.Helper{Log: r.log}, k.figures}
	k.helpers.figures = k.figures
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
	k.figures.Reloaded(time.Now(), err)
	if err != nil {
		k.refusal = err.Error()
		k.log.ConfigRefused(err)
		return
	}
	k.refusal = ""
	if len(held) > 0 {
		k.log.NeedsRestart(held)
	}
	k.log.ConfigLoaded()
}

// wireConnections bounds the front's connections: one a session, one to control
// it, and as many again for a front that has just ended and one that begins.
func wireConnections(c *config.Config) int { return 2 * (c.Limits.Connections + 1) }

// open opens the index, and takes the configuration into use.
func (k *keeper) open() (err error) {
	if k.salts, err = openSalts(k.config.Index.StateDir); err != nil {
		return err
	}
	if k.index, err = index.New(indexOptions(k.config, k.events)); err != nil {
		return err
	}
	if err := k.use(k.config); err != nil {
		return errors.Join(err, k.index.Close())
	}
	k.figures.Look(metrics.Looks{Index: k.index.Stats, Guard: k.guard.Stats})
	return nil
}

// push tells the front what it needs to know, or, with an error, nothing.
func (k *keeper) push(c *config.Config, certificates *certs.Store, b *backend) error {
	told := settingsOf(c)
	if c.TLS.ClientCA != "" {
		// While they can't be read, the front goes by those before, and nobody logs in.
		if now, err := b.accounts.certificates.Authorities(); err == nil {
			k.authorities = now
		}
		told.ClientCA, told.TLS.AskClients = k.authorities, true
	}
	data, err := told.encode()
	if err != nil {
		return err
	}
	offers := b.offers()
	state := wire.State{
		Settings: data,
		Plain:    offers[0],
		Secure:   offers[1],

		Certificates: certificates.Current(),
		OldSchemes:   c.TLS.Profile == config.ProfileLegacy,
	}
	if err := k.server.Push(state); err != nil {
		return err
	}
	k.offers = [...]pop3.Offer{state.Plain, state.Secure}
	k.figures.SetCertificates(state.Certificates)
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
	look := time.NewTicker(certs.LookInterval)
	defer look.Stop()
	pulse := time.NewTicker(k.notify.pulse())
	defer pulse.Stop()
	k.log.Ready(version())
	k.notify.ready()
	k.live()
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
		case <-k.certificates.Changed():
			k.refresh()
		case <-pulse.C:
			k.live()
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
		k.notify.stopping(roleEnd)
		k.log.Stopping(end)
		return true
	}
	k.notify.reloading()
	k.reload(line)
	k.notify.ready()
	k.live()
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

// newAuthorities says whether those who sign clients' certificates are others than the
// front was told.
func (k *keeper) newAuthorities() bool {
	if k.config.TLS.ClientCA == "" {
		return false
	}
	now, err := k.backend.accounts.certificates.Authorities()
	return err == nil && !bytes.Equal(now, k.authorities)
}

// refresh tells the front when its certificates, those who sign clients', or what it
// may offer, have changed by a change of a file.
func (k *keeper) refresh() {
	changed := k.certificates.Refresh()
	if !reflect.DeepEqual(k.backend.offers(), k.offers) || k.newAuthorities() {
		changed = true
	}
	if !changed {
		return
	}
	if err := k.push(k.config, k.certificates, k.backend); err != nil {
		k.log.Fault(err)
	}
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
