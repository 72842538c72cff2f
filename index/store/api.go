package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
)

// Update queues a change; changes take place in the order of the calls. The
// store keeps the slices. It does not wait for the disk, unless far more than
// [Options].Count changes wait already.
//
// While commits fail, changes wait for a commit that succeeds. Where they become
// too many, their mailboxes are forgotten: see [Forgotten].
func (s *Store) Update(u Update) {
	if err := u.limits(); err != nil {
		s.note(Notice{Event: Refused, Path: s.path(), Mailbox: u.Mailbox, Err: err})
		if u = (Update{Mailbox: u.Mailbox, Drop: true}); u.limits() != nil {
			return
		}
	}
	// After Close nothing needs to be queued, and nobody waits for an answer.
	forgotten, _ := s.q.push(op{Update: u})
	if forgotten > 0 {
		s.note(Notice{Event: Forgotten, Path: s.path(), Count: forgotten})
	}
}

// limits says what of an update could never be stored.
func (u *Update) limits() error {
	if err := checkMailbox(u.Mailbox); err != nil || u.Drop {
		return err
	}
	if len(u.Header) > maxHeader {
		return fmt.Errorf("a header of %d bytes, more than %d", len(u.Header), maxHeader)
	}
	for _, e := range u.Put {
		if len(e.Key) > maxKey || len(e.Value) > maxValue {
			return fmt.Errorf("an entry of %d and %d bytes, more than %d and %d", len(e.Key), len(e.Value), maxKey, maxValue)
		}
	}
	return nil
}

func checkMailbox(name string) error {
	if name == "" || len(name) > maxMailbox {
		return fmt.Errorf("a mailbox name of %d bytes, not 1 to %d", len(name), maxMailbox)
	}
	return nil
}

// Pending says whether a change of the mailbox is not committed yet.
func (s *Store) Pending(mailbox string) bool {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	return s.q.waiting[mailbox] > 0
}

// Flush commits everything that was queued before. When it fails, the changes
// wait on.
func (s *Store) Flush() error { return s.await(op{kind: opFlush}) }

// Begin writes a record to the journal and returns when it is on the disk.
// Concurrent calls share one commit. The store keeps the slice.
//
// With an error the record counts as not written, and is removed if it was;
// only after a crash before that can it appear in [Store.Unfinished].
func (s *Store) Begin(mailbox string, data []byte) (id uint64, err error) {
	if err := checkMailbox(mailbox); err != nil {
		return 0, fmt.Errorf("begin a removal: %w", err)
	}
	if len(data) > maxRecord {
		return 0, fmt.Errorf("begin a removal: a record of %d bytes, more than %d", len(data), maxRecord)
	}
	id = s.journal.number()
	if err := s.await(op{kind: opBegin, id: id, record: record{mailbox, data}}); err != nil {
		return 0, fmt.Errorf("begin a removal: %w", err)
	}
	return id, nil
}

// await queues an operation and waits until it is done.
func (s *Store) await(o op) error {
	o.done = make(chan error, 1)
	if _, err := s.q.push(o); err != nil {
		return err
	}
	return <-o.done
}

// End removes a record from the journal. It is queued like an update, in order
// with these.
func (s *Store) End(id uint64) {
	// After Close the record stays, and is unfinished at the next start.
	_, _ = s.q.push(op{kind: opEnd, id: id})
}

// Unfinished calls f with the records that are in the journal, in the order of
// their ids. Right after [Open] these are of removals that a crash interrupted:
// finish them and call [Store.End].
func (s *Store) Unfinished(f func(id uint64, mailbox string, data []byte) error) error {
	for _, id := range s.journal.ids() {
		if r, ok := s.journal.get(id); ok {
			if err := f(id, r.mailbox, r.data); err != nil {
				return err
			}
		}
	}
	return nil
}

// journal has what the file's journal has, in case that the file breaks.
type journal struct {
	mu      sync.Mutex
	last    uint64 // the highest id ever given
	records map[uint64]record
}

func (j *journal) number() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	return j.last
}

func (j *journal) add(id uint64, r record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.records == nil {
		j.records = make(map[uint64]record)
	}
	j.last = max(j.last, id)
	j.records[id] = r
}

// commit follows operations that were committed.
func (j *journal) commit(ops []op) {
	for i := range ops {
		switch o := &ops[i]; o.kind {
		case opBegin:
			j.add(o.id, o.record)
		case opEnd:
			j.mu.Lock()
			delete(j.records, o.id)
			j.mu.Unlock()
		}
	}
}

func (j *journal) get(id uint64) (record, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, ok := j.records[id]
	return r, ok
}

func (j *journal) ids() []uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	ids := make([]uint64, 0, len(j.records))
	for id := range j.records {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// failureKind tells kinds of failures apart: by the system's error where there
// is one, since texts may differ each time.
func failureKind(err error) string {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e.Error()
	}
	return err.Error()
}
