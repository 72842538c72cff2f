package store

import (
	"errors"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// compact rewrites the file without its free pages. If that fails, the file
// stays as it is.
func (s *Store) compact() {
	to := filepath.Join(s.dir, compactName)
	err := guard(new(bool), func() error { return copyLive(to, s.path()) })
	if err == nil {
		err = os.Rename(to, s.path())
	}
	if err != nil {
		s.note(Notice{Event: CompactFailed, Path: s.path(), Err: errors.Join(err, removeFile(to))})
		return
	}
	s.note(Notice{Event: Compacted, Path: s.path()})
}

// copyLive writes what one file has to another, and syncs it once, at the end.
func copyLive(to, from string) error {
	src, err := openBolt(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := openBolt(to)
	if err != nil {
		return err
	}
	dst.NoSync, dst.NoGrowSync = true, true
	err = bolt.Compact(dst.DB, src.DB, compactStep)
	if err == nil {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}
