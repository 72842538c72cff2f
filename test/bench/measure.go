package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

// scale is how much is measured.
type scale struct {
	rounds int           // of each row
	slow   int           // rounds of rows that restart servers or fill mailboxes
	budget time.Duration // of work in each round
	warm   time.Duration // of work before the first

	clients  int // that log in at the same time
	idle     int // sessions that do nothing
	small    int // messages of 2 KB to retrieve
	mixed    int // messages of the mixed mailbox
	large    int // bytes of the large message
	removals int // messages removed at once
}

var (
	fullScale = scale{
		rounds: 5, slow: 3, budget: time.Second, warm: 300 * time.Millisecond,
		clients: 50, idle: 1000, small: 2000, mixed: 1000, large: 200_000_000, removals: 20_000,
	}
	// quickScale shows that everything works. Its figures are rough: a tick is
	// a tenth of what many of them measure.
	quickScale = scale{
		rounds: 2, slow: 1, budget: 100 * time.Millisecond, warm: 20 * time.Millisecond,
		clients: 10, idle: 50, small: 200, mixed: 100, large: 10_000_000, removals: 1000,
	}
)

const (
	// quiet is how long a server must have been at rest for work to count as
	// done: several ticks.
	quiet = 5 * tick

	// quietWritten is that for work that changes what a server stores: longer
	// than sidepop lets changes wait for its next commit.
	quietWritten = 1500 * time.Millisecond
)

// bench measures servers.
type bench struct {
	scale
	sizes []int // of the mailboxes that are polled
	roots *x509.CertPool
}

// spend measures what units of work cost a server, until it was at rest for some
// time.
func spend(s *server, rest time.Duration, work func() (units float64, err error)) (sample, error) {
	before, err := settledCPU(s.pid(), quiet)
	if err != nil {
		return sample{}, err
	}
	begin := time.Now()
	units, err := work()
	wall := time.Since(begin)
	if err != nil {
		return sample{}, err
	}
	after, err := settledCPU(s.pid(), rest)
	return sample{units: units, cpu: after - before, wall: wall}, err
}

// repeat does work over and over for a while, at least once, and gives how often.
func repeat(ctx context.Context, budget time.Duration, work func() error) (float64, error) {
	n := 0
	for begin := time.Now(); n == 0 || time.Since(begin) < budget; n++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := work(); err != nil {
			return 0, err
		}
	}
	return float64(n), nil
}

// secure is what a client needs for TLS, and nil without.
func (b *bench) secure(tls bool) *tls.Config {
	if !tls {
		return nil
	}
	return clientTLS(b.roots)
}

// connect logs in to a mailbox.
func (b *bench) connect(s *server, tls bool, number int, user string) (*client, error) {
	address := s.pop3
	if tls {
		address = s.pop3s
	}
	c, err := dial(address, number, b.secure(tls))
	if err != nil {
		return nil, err
	}
	if err := c.login(s.boxes[user]); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// session runs a session of one user from the connection to the end of QUIT.
func (b *bench) session(s *server, tls bool, number int, user string, steps ...func(*client) error) error {
	c, err := b.connect(s, tls, number, user)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.do(steps...); err != nil {
		return err
	}
	return c.quit()
}
