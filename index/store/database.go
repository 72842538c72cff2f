package store

import (
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// options are bbolt's. The list of free pages is written with each commit
// (NoFreelistSync is off): without it, each start and each failed commit would
// read the whole file. Each commit is synced, which the journal relies on. A map
// of free pages stays fast when a large mailbox leaves many behind.
func options() *bolt.Options {
	return &bolt.Options{
		Timeout:         lockTimeout,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: mapSize,
		NoStatistics:    true,
	}
}

// database is an open file.
type database struct {
	*bolt.DB
	file *os.File // as bbolt uses it
}

func openBolt(path string) (*database, error) {
	db := new(database)
	o := options()
	o.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		db.file, err = os.OpenFile(name, flag, mode)
		return db.file, err
	}
	err := guard(new(bool), func() (err error) {
		db.DB, err = bolt.Open(path, 0o600, o)
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s is locked: end the program that reads it: %w", path, ErrLocked)
	case err != nil:
		return nil, err
	}
	db.AllocSize = growSize
	return db, nil
}

// begin looks whether the file is cut or has lost its beginning. bbolt would
// panic then with a lock held that every transaction needs. What happens to
// these pages in the microseconds until it has begun is not caught.
func (db *database) begin() error {
	info, err := db.file.Stat()
	if err != nil {
		return err
	}
	c := checker{f: db.file}
	return c.metas(info.Size())
}

// update is [bolt.DB.Update].
func (db *database) update(f func(*bolt.Tx) error) error {
	if err := db.begin(); err != nil {
		return err
	}
	return db.Update(f)
}

// view is [bolt.DB.View].
func (db *database) view(f func(*bolt.Tx) error) error {
	if err := db.begin(); err != nil {
		return err
	}
	return db.View(f)
}
