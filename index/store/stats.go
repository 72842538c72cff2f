package store

import (
	"os"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
)

// Stats is what a store has counted.
type Stats struct {
	Mailboxes int64  // that are committed
	Bytes     int64  // of the file, free pages included; 0 where there is none
	Commits   uint64 // since Open
	Failures  uint64 // of commits since Open; each is tried again
	Waiting   int    // changes that are not committed yet
}

// counts is what Stats is made of.
type counts struct {
	mailboxes         atomic.Int64
	commits, failures atomic.Uint64
}

// Stats costs the same however much is stored. It may be called at any time, after
// Close too.
func (s *Store) Stats() Stats {
	st := Stats{Mailboxes: s.counts.mailboxes.Load(), Commits: s.counts.commits.Load(), Failures: s.counts.failures.Load()}
	if info, err := os.Stat(s.path()); err == nil {
		st.Bytes = info.Size()
	}
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	st.Waiting = s.q.changes
	return st
}

// countMailboxes counts those of a file that is opened, by the heads of its pages.
func (c *counts) countMailboxes(tx *bolt.Tx) {
	c.mailboxes.Store(0)
	if b := tx.Bucket(bucketMailboxes); b != nil {
		c.mailboxes.Store(int64(b.Stats().KeyN))
	}
}
