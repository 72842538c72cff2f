package store

import (
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Load reads the committed state of a mailbox: it calls header once, then entry
// for each entry in the order of keys. Slices are valid until the call returns,
// and must not be written to. An error of either function ends Load and is
// returned.
//
// Whether everything fits together is known only at the end: unless found is
// true and err nil, what the functions got is to be thrown away. Damage to the
// file counts as not found. The functions must not call the store.
func (s *Store) Load(mailbox string, header func([]byte) error, entry func(key, value []byte) error) (found bool, err error) {
	err = s.view(func(b buckets, calling *bool) error {
		c, err := b.lookup(mailbox)
		if c == nil || err != nil {
			return err
		}
		*calling = true
		if err := header(c.header); err != nil {
			return err
		}
		*calling = false
		if err := b.each(c, calling, entry); err != nil {
			return err
		}
		found = true
		return nil
	})
	return found && err == nil, err
}

// Header gives a copy of the committed header of a mailbox; nil if the store
// does not have the mailbox.
func (s *Store) Header(mailbox string) (header []byte, err error) {
	err = s.view(func(b buckets, _ *bool) error {
		c, err := b.lookup(mailbox)
		if c != nil && err == nil {
			header = append([]byte{}, c.header...)
		}
		return err
	})
	return header, err
}

// Mailboxes calls f for each mailbox, in the order of names, under the same
// rules as [Store.Load]. Where the file is damaged it stops early without an
// error, as there are no mailboxes any more.
func (s *Store) Mailboxes(f func(mailbox string, header []byte) error) error {
	return s.view(func(b buckets, calling *bool) error {
		c := b.mailboxes.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if len(k) > maxMailbox {
				return brokenf("damaged: a mailbox name of %d bytes", len(k))
			}
			name := string(k)
			var one cell
			if err := one.decode(name, v); err != nil {
				return err
			}
			*calling = true
			if err := f(name, one.header); err != nil {
				return err
			}
			*calling = false
		}
		return nil
	})
}

// view calls f within a transaction that reads. Where there is no file, or it
// is found damaged, f is not called or not to the end, which is no error.
func (s *Store) view(f func(b buckets, calling *bool) error) error {
	db := s.db.Load()
	if d := s.damaged.Load(); db == nil || d != nil && d.db == db {
		return s.q.open()
	}
	calling := new(bool)
	err := guard(calling, func() error {
		return db.view(func(tx *bolt.Tx) error {
			b, err := openBuckets(tx)
			if err != nil {
				return err
			}
			return f(b, calling)
		})
	})
	switch {
	case err == nil || *calling:
		return err
	case isBroken(err):
		s.damaged.Store(&damage{db, err})
		s.q.signal()
		return nil
	case errors.Is(err, berrors.ErrDatabaseNotOpen), errors.Is(err, os.ErrClosed), errors.Is(err, berrors.ErrInvalidMapping):
		return s.q.open()
	}
	return fmt.Errorf("read index store %s: %w", s.path(), err)
}

// lookup gives what the store has of a mailbox, or nil.
func (b *buckets) lookup(mailbox string) (*cell, error) {
	v := b.mailboxes.Get([]byte(mailbox))
	if v == nil {
		return nil, nil
	}
	c := new(cell)
	return c, c.decode(mailbox, v)
}

// each calls f with the entries of a mailbox, and checks that they are those
// that were written.
func (b *buckets) each(c *cell, calling *bool, f func(key, value []byte) error) error {
	var count, sum uint64
	id := number(c.id)
	cursor := b.entries.Cursor()
	for k, v := cursor.Seek(id); belongs(k, id); k, v = cursor.Next() {
		if len(k) > numberSize+maxKey || len(v) > maxValue {
			return brokenf("damaged: an entry of %d and %d bytes", len(k), len(v))
		}
		count++
		sum += digest(k, v)
		*calling = true
		if err := f(k[numberSize:], v); err != nil {
			return err
		}
		*calling = false
	}
	if count != c.count || sum != c.sum {
		return brokenf("damaged: the %d entries of a mailbox are not the %d that were written", count, c.count)
	}
	return nil
}
