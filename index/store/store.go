// Package store is the durable side of an index of mailboxes: one file, a B+tree
// of go.etcd.io/bbolt, with a header and entries for each mailbox, and a journal
// of removals. Mailboxes are names of any bytes; headers, keys, values and
// records are opaque.
//
// Invariants:
//   - What is read is a state that the mailbox had: header and entries are
//     committed together, and a digest over them is checked at each [Store.Load].
//     A mailbox that fails it is never served; the whole file is set aside.
//   - The mailboxes are a cache: in doubt one is forgotten. A change to a
//     mailbox that the store does not have is ignored unless it brings the whole
//     mailbox ([Update].Clear), so a forgotten one cannot come back in part.
//   - The journal is no cache: a record is on the disk when [Store.Begin]
//     returns, stays until [Store.End], and moves along when a broken file is
//     replaced while the store is open.
//   - One goroutine writes. Only Begin, Flush and Close wait for the disk.
//   - Damage to the file does not end the process: its structure is checked
//     before use, and page faults and panics while it is used count as damage.
package store

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultDelay is what a crash may cost: entries that are counted again.
	defaultDelay = time.Second

	// defaultCount makes a commit of some 100 ms on a slow disk.
	defaultCount = 5000

	// backlog is how many times Count may wait before Update waits too, or,
	// while the disk fails, mailboxes are forgotten: some 20 MB of memory.
	backlog = 16

	// Limits of what is stored. They are far above what Maildirs need (names
	// of 255 bytes, paths of 4,096) and far below what bbolt takes, so a longer
	// one in the file is damage.
	maxMailbox = 16 << 10
	maxKey     = 4 << 10
	maxValue   = 64 << 10
	maxHeader  = 1 << 20
	maxRecord  = 256 << 20
)

var (
	// ErrClosed says that the store is used after [Store.Close].
	ErrClosed = errors.New("the index store is closed")

	// ErrLocked says that another process uses the store.
	ErrLocked = errors.New("in use by another process")
)

// Options says how a store behaves. The zero value is fit for use.
type Options struct {
	// Delay bounds how long a change waits to be committed together with
	// others; 1 s where it is not positive.
	Delay time.Duration

	// Count bounds how many changes of entries wait: that many make a commit
	// at once; 5,000 where it is not positive.
	Count int

	// Note, unless nil, is told of what an operator should know. It is called
	// from any method or by the goroutine that commits, one call at a time. It
	// must return soon and must not call the store.
	Note func(Notice)
}

// Event is what a [Notice] is about.
type Event uint8

const (
	SetAside      Event = iota + 1 // the file was unusable, for the reason Err: it is now at Path, and a new one is begun
	Failed                         // commits fail with Err and are tried again; told once for each kind of error
	Recovered                      // commits succeed again
	Forgotten                      // of so many mailboxes too much waited while commits failed: they will be dropped
	Refused                        // a change of Mailbox is beyond a limit, which Err names: the mailbox is dropped
	Compacted                      // at Open, the file was most of it free, and was rewritten
	CompactFailed                  // at Open, rewriting the file failed with Err; the store uses it as it is
)

// Notice tells of one event.
type Notice struct {
	Event   Event
	Path    string // the file concerned
	Mailbox string // any bytes: quote it in logs
	Count   int    // of mailboxes
	Err     error
}

// Entry is one key of a mailbox, at most 4 KiB, and its value, at most 64 KiB.
type Entry struct{ Key, Value []byte }

// Update is a change of one mailbox, which happens wholly or not at all: first
// Drop or Clear, then Delete, then Put and Header.
type Update struct {
	Mailbox string // 1 byte to 16 KiB
	Header  []byte // unless nil, the new header; at most 1 MiB
	Put     []Entry
	Delete  [][]byte

	// Clear removes the header and all entries first, and makes the mailbox if
	// the store does not have it. Without Clear, nothing happens then.
	Clear bool

	// Drop forgets the mailbox. Everything else in the update is ignored.
	Drop bool
}

// Store is an open store. Its methods may be called from many goroutines.
type Store struct {
	dir  string
	o    Options
	lock *os.File
	q    *queue

	// db is nil while there is no usable file. It is set by the writer alone.
	db atomic.Pointer[database]

	// damaged is set by whoever finds damage; the writer replaces the file.
	damaged atomic.Pointer[damage]

	journal journal
	counts  counts
	noting  sync.Mutex // held while a notice is told
	stopped chan struct{}

	writer
}

// damage is what was found wrong with a file.
type damage struct {
	db    *database
	cause error
}

// Open opens the store in the directory dir, which must exist and should be
// accessible to its owner alone, and makes it where there is none. A file that
// cannot be used, as it is damaged or of another version, is set aside.
//
// The error wraps [ErrLocked] when another process has the store open.
func Open(dir string, o Options) (*Store, error) {
	if o.Delay <= 0 {
		o.Delay = defaultDelay
	}
	if o.Count <= 0 {
		o.Count = defaultCount
	}
	if o.Note == nil {
		o.Note = func(Notice) {}
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open index store %s: %w", dir, err)
	}
	s := &Store{dir: dir, o: o, lock: lock, q: newQueue(o.Count), stopped: make(chan struct{})}
	if err := s.attach(nil); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open index store %s: %w", dir, err)
	}
	s.opened = true
	go s.run()
	return s, nil
}

// Close commits what waits and closes the store. With an error, some of it is
// not committed, and the store is closed all the same. What is called later
// does nothing, and fails with [ErrClosed] where it can fail.
func (s *Store) Close() error {
	if !s.q.close() {
		return ErrClosed
	}
	<-s.stopped
	err := s.failure
	if db := s.db.Swap(nil); db != nil {
		err = errors.Join(err, db.Close())
	}
	if err := errors.Join(err, s.lock.Close()); err != nil {
		return fmt.Errorf("close index store %s: %w", s.dir, err)
	}
	return nil
}
