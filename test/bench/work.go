package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// logins has many clients log in, ask for STAT and leave.
func (b *bench) logins(tls bool) measurement {
	return func(ctx context.Context, s *server, budget time.Duration) (sample, error) {
		return spend(s, quiet, func() (float64, error) {
			var sessions atomic.Int64
			errs := make([]error, b.clients)
			var clients sync.WaitGroup
			for i := range b.clients {
				clients.Go(func() {
					n, err := repeat(ctx, budget, func() error {
						return b.session(s, tls, i, manyUser(i), (*client).stat)
					})
					sessions.Add(int64(n))
					errs[i] = err
				})
			}
			clients.Wait()
			return float64(sessions.Load()), errors.Join(errs...)
		})
	}
}

// poll is what a mail program does that leaves mail on the server, and finds
// nothing new.
func (b *bench) poll(s *server, messages int) error {
	c, err := dial(s.pop3, 0, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.capabilities(); err != nil {
		return err
	}
	if err := c.login(s.boxes[pollUser(messages)]); err != nil {
		return err
	}
	return c.do((*client).stat, (*client).uidl, (*client).list, (*client).quit)
}

func (b *bench) polls(messages int) measurement {
	return func(ctx context.Context, s *server, budget time.Duration) (sample, error) {
		return spend(s, quiet, func() (float64, error) {
			return repeat(ctx, budget, func() error { return b.poll(s, messages) })
		})
	}
}

// statOnly asks a mailbox for nothing but STAT.
func (b *bench) statOnly(messages int) measurement {
	return func(ctx context.Context, s *server, budget time.Duration) (sample, error) {
		return spend(s, quiet, func() (float64, error) {
			return repeat(ctx, budget, func() error {
				return b.session(s, false, 0, pollUser(messages), (*client).stat)
			})
		})
	}
}

// noticeTime is what a server has, from a delivery to a poll, to take notice.
const noticeTime = 20 * time.Millisecond

// deliveries has one message delivered before each poll; what a server does at
// the delivery counts.
func (b *bench) deliveries(messages int) measurement {
	const most, messagesInAll = 50, 1_000_000 // bounds that keep a round short
	n := max(2, min(most, messagesInAll/messages, int(b.budget/noticeTime)))
	return func(ctx context.Context, s *server, _ time.Duration) (sample, error) {
		return spend(s, quietWritten, func() (float64, error) {
			for range n {
				if err := ctx.Err(); err != nil {
					return 0, err
				}
				if err := s.boxes[pollUser(messages)].deliver(smallSize); err != nil {
					return 0, err
				}
				time.Sleep(noticeTime)
				if err := b.poll(s, messages); err != nil {
					return 0, err
				}
			}
			return float64(n), nil
		})
	}
}

// afterRestart is the first poll after a restart, with the server's caches or
// without.
func (b *bench) afterRestart(messages int, forget bool) measurement {
	return func(ctx context.Context, s *server, _ time.Duration) (sample, error) {
		if err := s.restart(ctx, forget); err != nil {
			return sample{}, err
		}
		return spend(s, quietWritten, func() (float64, error) { return 1, b.poll(s, messages) })
	}
}

// retrieval fetches all messages of a mailbox in one session, again and again.
// QUIT counts, the login doesn't. Units tells how many units a pass is.
func (b *bench) retrieval(user string, tls bool, atATime int, units func(*mailbox) float64) measurement {
	return func(ctx context.Context, s *server, budget time.Duration) (sample, error) {
		c, err := b.connect(s, tls, 0, user)
		if err != nil {
			return sample{}, err
		}
		defer c.Close()
		if err := c.do((*client).stat, (*client).list); err != nil {
			return sample{}, err
		}
		return spend(s, quiet, func() (float64, error) {
			n, err := repeat(ctx, budget, func() error { return c.retrieve(atATime) })
			if err != nil {
				return 0, err
			}
			return n * units(c.box), c.quit()
		})
	}
}

func countMessages(m *mailbox) float64  { return float64(m.messages) }
func countMegabytes(m *mailbox) float64 { return float64(m.sent) / 1e6 }

// removal fills a mailbox, and removes everything in one session. Only DELE and
// QUIT count.
func (b *bench) removal() measurement {
	return func(ctx context.Context, s *server, budget time.Duration) (sample, error) {
		m := s.boxes[removeUser]
		for range b.removals {
			if err := errors.Join(ctx.Err(), m.deliver(smallSize)); err != nil {
				return sample{}, err
			}
		}
		c, err := b.connect(s, false, 0, removeUser)
		if err != nil {
			return sample{}, err
		}
		defer c.Close()
		if err := c.do((*client).stat, (*client).uidl, (*client).list); err != nil {
			return sample{}, err
		}
		if _, err := settledCPU(s.pid(), quietWritten); err != nil { // with the deliveries
			return sample{}, err
		}
		result, err := spend(s, quietWritten, func() (float64, error) {
			return float64(m.messages), c.do((*client).remove, (*client).quit)
		})
		return result, errors.Join(err, m.empty())
	}
}

// idleTime is what a server has to come to rest after the last login.
const idleTime = time.Second

// idleSessions opens sessions that do nothing, at a server just started.
func (b *bench) idleSessions(tls bool) measurement {
	return func(ctx context.Context, s *server, _ time.Duration) (result sample, err error) {
		if err := s.restart(ctx, false); err != nil {
			return sample{}, err
		}
		time.Sleep(idleTime)
		before, err := treeMemory(s.pid())
		if err != nil {
			return sample{}, err
		}
		sessions := make([]*client, 0, b.idle)
		defer func() {
			for _, c := range sessions {
				c.Close()
			}
		}()
		for i := range b.idle {
			if err := ctx.Err(); err != nil {
				return sample{}, err
			}
			c, err := b.connect(s, tls, i, manyUser(i))
			if err != nil {
				return sample{}, fmt.Errorf("session %d: %w", i+1, err)
			}
			sessions = append(sessions, c)
			if err := c.stat(); err != nil {
				return sample{}, err
			}
		}
		time.Sleep(idleTime)
		after, err := treeMemory(s.pid())
		if err != nil {
			return sample{}, err
		}
		for i, c := range sessions {
			if err := c.quit(); err != nil {
				return sample{}, fmt.Errorf("session %d: %w", i+1, err)
			}
		}
		return sample{units: float64(b.idle), memory: after - before}, nil
	}
}
