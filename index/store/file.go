package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// LockFile is locked by the process that has a store open, and has its id.
const LockFile = "index.lock"

const (
	fileName    = "index.db"
	compactName = fileName + ".compact"
	brokenName  = fileName + ".broken-"
	brokenTime  = "20060102T150405.000000000Z" // sorts by time

	// keptBroken bounds the space of files set aside: enough to look into a
	// fault that comes back.
	keptBroken = 3

	// mapSize is address space, not memory. A file that fits, with 3 million
	// entries, is never mapped anew, for which commits would wait for readers.
	mapSize = 256 << 20

	// growSize is how much a file grows at a time, at the price of a sync.
	growSize = 1 << 20

	// lockTimeout is for a reader such as a backup: programs that use the
	// store are kept out by a lock of its own, without a wait.
	lockTimeout = time.Second

	// Compaction at Open pays for a file that is large and most of it free,
	// and must not hold up the start: what is copied is bounded.
	compactFrom = 32 << 20  // bytes of the file
	compactLive = 256 << 20 // bytes in use
	compactStep = 8 << 20   // bytes a transaction
)

func (s *Store) path() string { return filepath.Join(s.dir, fileName) }

// note tells the user of a notice, one at a time.
func (s *Store) note(n Notice) {
	s.noting.Lock()
	defer s.noting.Unlock()
	s.o.Note(n)
}

// lockDir takes the lock that keeps other processes from the store. Its file
// has the process id. It is apart from the store's, which gets replaced.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, LockFile), os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the directory does not exist: make it, with mode 0700: %w", err)
	case err != nil:
		return nil, fmt.Errorf("the directory must be writable for the user of this process: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if err != unix.EWOULDBLOCK {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		var pid int
		if _, err := fmt.Fscan(f, &pid); err != nil {
			return nil, fmt.Errorf("another sidepop has it open; stop that one or use another directory: %w", ErrLocked)
		}
		return nil, fmt.Errorf("another sidepop, process %d, has it open; stop that one or use another directory: %w", pid, ErrLocked)
	}
	// A process id that cannot be written, for a full disk, is only missed in
	// the message above.
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return f, nil
}

// attach opens the file, after setting aside one that cannot be used. A cause
// says that this is known of the file already.
func (s *Store) attach(cause error) error {
	if cause == nil {
		err := s.openFile()
		if !isBroken(err) {
			return err
		}
		cause = err
	}
	if err := s.setAside(cause); err != nil {
		return err
	}
	s.damaged.Store(nil)
	return s.openFile()
}

// openFile opens the file, or makes it, and reads and completes its journal.
func (s *Store) openFile() error {
	if err := removeFile(filepath.Join(s.dir, compactName)); err != nil {
		return err
	}
	l, err := checkFile(s.path())
	if err != nil {
		return err
	}
	if l.size() >= compactFrom && l.free > l.pages/2 && l.live() <= compactLive {
		s.compact()
	}
	db, err := openBolt(s.path())
	if err != nil {
		return err
	}
	switch err := guard(new(bool), func() error { return s.prepare(db) }); {
	case isBroken(err):
		go db.Close() // hangs if a panic has left bbolt's locks behind
		return err
	case err != nil:
		return errors.Join(err, db.Close())
	}
	// A file just made must not vanish in a crash, nor the journal with it.
	if err := syncDir(s.dir); err != nil {
		return errors.Join(err, db.Close())
	}
	s.db.Store(db)
	return nil
}

// prepare makes the parts of a new file, or checks the version of an old one.
// At Open it reads the journal: records beside a damaged one come to memory too,
// and so to a new file. Later, memory knows better which records hold.
func (s *Store) prepare(db *database) error {
	known := make(map[uint64]bool)
	isNew := false
	var damaged error
	err := db.view(func(tx *bolt.Tx) error {
		s.counts.countMailboxes(tx)
		about := tx.Bucket(bucketAbout)
		if k, _ := tx.Cursor().First(); about == nil && k == nil {
			isNew = true
			return nil
		}
		if about == nil || string(about.Get(keyFormat)) != format {
			return broken{errVersion}
		}
		b, err := openBuckets(tx)
		if err != nil {
			return err
		}
		return b.journal.ForEach(func(k, v []byte) error {
			id, r, err := decodeRecord(k, v)
			if err != nil {
				damaged = err
				return nil
			}
			known[id] = true
			if !s.opened {
				s.journal.add(id, r)
			}
			return nil
		})
	})
	if err := errors.Join(err, damaged); err != nil {
		return err
	}
	return s.complete(db, isNew, known)
}

// complete writes what prepare found missing.
func (s *Store) complete(db *database, isNew bool, known map[uint64]bool) error {
	ids := slices.DeleteFunc(s.journal.ids(), func(id uint64) bool { return known[id] })
	if !isNew && len(ids) == 0 {
		return nil
	}
	return db.update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketAbout, bucketMailboxes, bucketEntries, bucketTrash, bucketJournal} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		j := tx.Bucket(bucketJournal)
		for _, id := range ids {
			if r, ok := s.journal.get(id); ok {
				if err := j.Put(number(id), r.encode(id)); err != nil {
					return err
				}
			}
		}
		return tx.Bucket(bucketAbout).Put(keyFormat, []byte(format))
	})
}

// setAside renames the file, and removes the oldest of those that were.
func (s *Store) setAside(cause error) error {
	to := filepath.Join(s.dir, brokenName+time.Now().UTC().Format(brokenTime))
	if err := os.Rename(s.path(), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set aside the index, which cannot be used (%w); remove it: %w", cause, err)
	}
	s.note(Notice{Event: SetAside, Path: to, Err: cause})
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var old []string // in the order of names
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), brokenName) {
			old = append(old, e.Name())
		}
	}
	for _, name := range old[:max(len(old)-keptBroken, 0)] {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			return fmt.Errorf("remove an index that was set aside: %w", err)
		}
	}
	return nil
}

// removeFile removes a file that need not exist.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
