package store

import (
	"encoding/binary"
	"errors"

	bolt "go.etcd.io/bbolt"
)

// batch is one transaction that writes.
type batch struct {
	buckets
	cells map[string]*cell
	key   []byte // of an entry; reused
	more  int64  // how many mailboxes more there are after it
}

// apply carries out operations. It says whether garbage is left, and how many
// mailboxes more there are.
func (s *Store) apply(tx *bolt.Tx, ops []op) (garbage bool, more int64, err error) {
	b := &batch{cells: make(map[string]*cell)}
	if b.buckets, err = openBuckets(tx); err != nil {
		return false, 0, err
	}
	b.entries.FillPercent = fill
	if s.doubt {
		if err := b.removeUnknown(&s.journal); err != nil {
			return false, 0, err
		}
	}
	garbage, err = b.run(ops)
	return garbage, b.more, err
}

// removeUnknown removes records from the file's journal whose commit failed.
func (b *batch) removeUnknown(j *journal) error {
	var unknown [][]byte
	err := b.journal.ForEach(func(k, _ []byte) error {
		if len(k) != numberSize {
			return brokenf("damaged: a record of the journal has no number")
		}
		if _, ok := j.get(binary.BigEndian.Uint64(k)); !ok {
			unknown = append(unknown, k)
		}
		return nil
	})
	for _, k := range unknown {
		err = errors.Join(err, b.journal.Delete(k))
	}
	return err
}

// run carries out operations. It says whether garbage is left.
func (b *batch) run(ops []op) (garbage bool, err error) {
	for i := range ops {
		o := &ops[i]
		switch o.kind {
		case opUpdate:
			err = b.update(&o.Update)
		case opBegin:
			err = b.journal.Put(number(o.id), o.record.encode(o.id))
		case opEnd:
			err = b.journal.Delete(number(o.id))
		}
		if err != nil {
			return false, err
		}
	}
	for name, c := range b.cells {
		if !c.dirty {
			continue
		}
		if b.mailboxes.Get([]byte(name)) != nil {
			b.more--
		}
		if c.id != 0 {
			b.more++
			err = b.mailboxes.Put([]byte(name), c.encode(name))
		} else {
			err = b.mailboxes.Delete([]byte(name))
		}
		if err != nil {
			return false, err
		}
	}
	return b.collect()
}

// cell gives what the store has of a mailbox; its id is 0 if that is nothing.
func (b *batch) cell(mailbox string) (*cell, error) {
	if c := b.cells[mailbox]; c != nil {
		return c, nil
	}
	c := new(cell)
	if v := b.mailboxes.Get([]byte(mailbox)); v != nil {
		if err := c.decode(mailbox, v); err != nil {
			return nil, err
		}
	}
	b.cells[mailbox] = c
	return c, nil
}

func (b *batch) update(u *Update) error {
	c, err := b.cell(u.Mailbox)
	if err != nil {
		return err
	}
	if u.Drop || u.Clear {
		if c.id != 0 {
			if err := b.trash.Put(number(c.id), nil); err != nil {
				return err
			}
		}
		*c = cell{dirty: true}
	}
	if u.Drop || !u.Clear && c.id == 0 {
		return nil
	}
	if c.id == 0 {
		if c.id, err = b.entries.NextSequence(); err != nil {
			return err
		}
	}
	c.dirty = true
	for _, k := range u.Delete {
		if err := b.set(c, k, nil); err != nil {
			return err
		}
	}
	for _, e := range u.Put {
		v := e.Value
		if v == nil {
			v = []byte{}
		}
		if err := b.set(c, e.Key, v); err != nil {
			return err
		}
	}
	if u.Header != nil {
		c.header = u.Header
	}
	return nil
}

// set gives a key of a mailbox a value, or removes it if value is nil.
func (b *batch) set(c *cell, key, value []byte) error {
	b.key = append(append(b.key[:0], number(c.id)...), key...)
	old := b.entries.Get(b.key)
	if old != nil {
		c.count--
		c.sum -= digest(b.key, old)
	}
	if value != nil {
		c.count++
		c.sum += digest(b.key, value)
		return b.entries.Put(b.key, value)
	}
	if old == nil {
		return nil
	}
	return b.entries.Delete(b.key)
}

// collect removes entries of mailboxes that were dropped, a bounded number in
// one transaction. It says whether some are left.
func (b *batch) collect() (more bool, err error) {
	left := collectCount
	for {
		id, _ := b.trash.Cursor().First()
		if id == nil {
			return false, nil
		}
		var keys [][]byte
		c := b.entries.Cursor()
		for k, _ := c.Seek(id); belongs(k, id) && len(keys) < left; k, _ = c.Next() {
			keys = append(keys, k)
		}
		for _, k := range keys {
			if err := b.entries.Delete(k); err != nil {
				return false, err
			}
		}
		if left -= len(keys); left == 0 {
			return true, nil
		}
		if err := b.trash.Delete(id); err != nil {
			return false, err
		}
	}
}
