package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sidepop/auth"
	"sidepop/auth/helper"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/control"
	"sidepop/cmd/sidepop/internal/metrics"
	"sidepop/index/store"
	"sidepop/pop3"
	"sidepop/pop3/wire"
)

func metricsCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "Print the figures of a server that runs",
		Long: `Print the figures of the server that runs, as Prometheus takes them: the same that
listen.metrics serves. For node_exporter, let a timer write them into a file in the
folder of its textfile collector.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			text, err := askMetrics(ctx, file)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		}),
	}
	cmd.Flags().StringVar(&file, "config", config.DefaultFile, "the configuration `file`")
	return cmd
}

func askMetrics(ctx context.Context, file string) ([]byte, error) {
	c, err := config.Read(file)
	if err != nil {
		return nil, err
	}
	client, err := control.Dial(c.Index.StateDir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: run this as root, or as the user that sidepop runs as", err)
	case err != nil:
		return nil, err
	}
	defer client.Close()
	return client.Metrics(ctx)
}

// newFigures makes what the keeper counts in.
func newFigures() *metrics.Keeper {
	names := []string{"USER", "APOP"}
	for i := range mechanisms {
		names = append(names, mechanisms[i].name)
	}
	return metrics.NewKeeper(version(), names)
}

// Metrics implements [control.Sessions].
func (k *keeper) Metrics(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, countsTime)
	defer cancel()
	if c, err := k.server.Counts(ctx); err == nil {
		return k.figures.Write(&c)
	}
	return k.figures.Write(nil)
}

// figuresFor gives the figures of both roles to the front, which told its own.
func (k *keeper) figuresFor(front wire.Counts) []byte {
	text, err := k.figures.Write(&front)
	if err != nil {
		k.log.Fault(fmt.Errorf("metrics: %w", err))
	}
	return text
}

// counting is events of a keeper that are counted, too.
type counting struct {
	events
	figures *metrics.Keeper
}

func (e counting) LoginFailed(p pop3.Peer, mechanism, user string, err error) {
	e.figures.LoginFailed(mechanism, err)
	e.events.LoginFailed(p, mechanism, user, err)
}

func (e counting) Repaired(path, what string) {
	e.figures.Repaired()
	e.events.Repaired(path, what)
}

func (e counting) NotWatched(maildir string, err error) {
	e.figures.NotWatched(err)
	e.events.NotWatched(maildir, err)
}

func (e counting) Lagging() {
	e.figures.Overflowed()
	e.events.Lagging()
}

func (e counting) Recovered(maildir string, messages int, err error) {
	e.figures.Recovered(err)
	e.events.Recovered(maildir, messages, err)
}

func (e counting) Store(n store.Notice) {
	e.figures.Stored(n)
	e.events.Store(n)
}

// countingPAM is the same for the PAM helper.
type countingPAM struct {
	pamEvents
	figures *metrics.Keeper
}

func (e countingPAM) Died(err error) {
	e.figures.PAMDied(false)
	e.pamEvents.Died(err)
}

func (e countingPAM) Unavailable(err error) {
	e.figures.PAMDied(true)
	e.pamEvents.Unavailable(err)
}

func (e countingPAM) Available() {
	e.figures.PAMWorks()
	e.pamEvents.Available()
}

// askedPAM is a pool whose requests are counted.
type askedPAM struct {
	auth.PAMPool
	figures *metrics.Keeper
}

func (p askedPAM) Authenticate(ctx context.Context, l *helper.Login) (helper.Answer, error) {
	defer p.figures.AskingPAM()()
	return p.PAMPool.Authenticate(ctx, l)
}

func (p askedPAM) Admit(ctx context.Context, l *helper.Login) (helper.Answer, error) {
	defer p.figures.AskingPAM()()
	return p.PAMPool.Admit(ctx, l)
}

func (p askedPAM) Lookup(ctx context.Context, user string) (helper.Answer, error) {
	defer p.figures.AskingPAM()()
	return p.PAMPool.Lookup(ctx, user)
}

// timed is a backend whose logins that are right are counted, with the time that they
// took. Those that fail are events.
type timed struct {
	pop3.Backend
	figures *metrics.Keeper
}

func (b timed) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	begin := time.Now()
	m, err := b.Backend.Password(ctx, p, user, password)
	return b.ended(m, err, "USER", time.Since(begin))
}

func (b timed) APOP(ctx context.Context, p pop3.Peer, user, timestamp, digest string) (pop3.Maildrop, error) {
	begin := time.Now()
	m, err := b.Backend.APOP(ctx, p, user, timestamp, digest)
	return b.ended(m, err, "APOP", time.Since(begin))
}

func (b timed) SASL(ctx context.Context, p pop3.Peer, mechanism string) (pop3.Exchange, error) {
	begin := time.Now()
	x, err := b.Backend.SASL(ctx, p, mechanism)
	if err != nil {
		return nil, err
	}
	return &timedExchange{Exchange: x, backend: b, mechanism: mechanism, took: time.Since(begin)}, nil
}

func (b timed) ended(m pop3.Maildrop, err error, mechanism string, took time.Duration) (pop3.Maildrop, error) {
	if err == nil && m != nil {
		b.figures.LoggedIn(mechanism, took)
	}
	return m, err
}

// timedExchange takes the time of its steps; what the client takes between them is
// not the server's.
type timedExchange struct {
	pop3.Exchange
	backend   timed
	mechanism string
	took      time.Duration
}

func (x *timedExchange) Step(ctx context.Context, response []byte) (challenge []byte, m pop3.Maildrop, err error) {
	begin := time.Now()
	challenge, m, err = x.Exchange.Step(ctx, response)
	x.took += time.Since(begin)
	m, err = x.backend.ended(m, err, x.mechanism, x.took)
	return challenge, m, err
}
