package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Pauses after a commit that failed: they double from the first to the last.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// writer is the state of the goroutine that writes. The others may read it when
// that goroutine has ended.
type writer struct {
	failure error         // of the latest commit
	told    string        // the failure that was told last, since commits fail
	pause   time.Duration // until the next attempt
	retry   time.Time
	garbage bool // entries of dropped mailboxes are left to remove
	doubt   bool // records may have reached the disk although their commit failed
	opened  bool // Open has read the journal
}

// run commits what waits until the store is closed.
func (s *Store) run() {
	defer close(s.stopped)
	for {
		t, wait := s.q.next(time.Now(), s.retry, s.o.Delay)
		if t == idle && wait < 0 && s.damaged.Load() != nil {
			t = commitAll
		}
		if t == idle && wait < 0 && s.garbage {
			wait = s.o.Delay
		}
		if t == idle {
			t = s.sleep(wait)
		}
		switch t {
		case stop:
			return
		case idle:
			continue
		}
		if !s.commit(t) && s.q.abandon() {
			return
		}
	}
}

// sleep waits until something is new, or it is time to commit. A negative wait
// has no end.
func (s *Store) sleep(wait time.Duration) task {
	var over <-chan time.Time
	if wait >= 0 {
		over = time.After(wait)
	}
	select {
	case <-s.q.wake:
		return idle
	case <-over:
		return commitAll
	}
}

// commit writes what waits, or a part, and answers those who wait for it. When
// that fails, it tries what begins in the journal by itself, which may fit on a
// disk that is full; the rest waits for the next attempt.
func (s *Store) commit(t task) (ok bool) {
	ops := s.q.take(t)
	err := s.write(ops)
	if err == nil {
		if t == commitAll {
			s.recovered()
		}
		s.succeed(ops, t == commitOnly)
		return true
	}
	begins, others := split(ops, opBegin)
	if len(others) > 0 && len(begins) > 0 && s.write(begins) == nil {
		s.succeed(begins, true)
		begins = nil
	}
	flushes, others := split(others, opFlush)
	s.q.putBack(others)
	s.q.settle(begins, true)
	s.q.settle(flushes, true)
	s.fail(err)
	for _, o := range append(begins, flushes...) {
		o.done <- err
	}
	return false
}

// recovered ends a time of failures, if it was one.
func (s *Store) recovered() {
	s.failure, s.retry, s.pause = nil, time.Time{}, 0
	if s.told != "" {
		s.told = ""
		s.note(Notice{Event: Recovered, Path: s.path()})
	}
}

// succeed ends operations that are on the disk. Others may be failing.
func (s *Store) succeed(ops []op, failing bool) {
	s.journal.commit(ops)
	s.q.settle(ops, failing)
	for i := range ops {
		if ops[i].done != nil {
			ops[i].done <- nil
		}
	}
}

// fail arranges the next attempt, and tells of a kind of failure once.
func (s *Store) fail(err error) {
	s.failure = err
	s.counts.failures.Add(1)
	s.pause = min(max(2*s.pause, firstPause), lastPause)
	s.retry = time.Now().Add(s.pause)
	if kind := failureKind(err); kind != s.told {
		s.told = kind
		s.note(Notice{Event: Failed, Path: s.path(), Err: err})
	}
}

// write commits operations in one transaction. A file that turns out to be
// damaged is replaced, and the operations go into the new one.
func (s *Store) write(ops []op) error {
	for replaced := false; ; replaced = true {
		db, err := s.ready()
		if err != nil {
			return err
		}
		if !s.garbage && !s.doubt && !slices.ContainsFunc(ops, func(o op) bool { return o.kind != opFlush }) {
			return nil
		}
		garbage, more := false, int64(0)
		err = guard(new(bool), func() (err error) {
			return db.update(func(tx *bolt.Tx) error {
				garbage, more, err = s.apply(tx, ops)
				return err
			})
		})
		if err == nil {
			s.garbage, s.doubt = garbage, false
			s.counts.commits.Add(1)
			s.counts.mailboxes.Add(more)
			return nil
		}
		s.doubt = true
		if isBroken(err) {
			s.damaged.Store(&damage{db, err}) // not to be used again: it may hang
			if !replaced {
				continue
			}
		}
		if errors.Is(err, berrors.ErrInvalidMapping) {
			// It could not be mapped larger and has no mapping left.
			s.db.Store(nil)
			err = errors.Join(err, db.Close())
		}
		return fmt.Errorf("write index store %s: %w", s.path(), err)
	}
}

// ready gives the database, after replacing one that was found damaged.
func (s *Store) ready() (*database, error) {
	db := s.db.Load()
	d := s.damaged.Load()
	if db != nil && (d == nil || d.db != db) {
		s.damaged.CompareAndSwap(d, nil) // of an earlier one
		return db, nil
	}
	var cause error
	if d != nil {
		cause = d.cause
	}
	// A panic may have left locks of bbolt's behind, so that Close hangs.
	if db != nil {
		s.db.Store(nil)
		go db.Close()
	}
	if err := s.attach(cause); err != nil {
		return nil, err
	}
	return s.db.Load(), nil
}
