package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// PrepareState makes the state folder, for the user with these ids, if it is
// not there, and finds out whether it is safe to use: what others can change in
// it would be taken for what sidepop has written. The error is [Problems].
func (c *Config) PrepareState(uid, gid int) error {
	if err := prepareState(c.Index.StateDir, uid, gid); err != nil {
		return Problems{c.Problem("index.state_dir", err.Error())}
	}
	return nil
}

func prepareState(dir string, uid, gid int) error {
	err := os.MkdirAll(filepath.Dir(dir), 0o755)
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	made := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s can't be made by user id %d (%s), expected a folder that it owns: make one, with mode 700", dir, os.Geteuid(), reason(err))
	}
	// By the descriptor: what is looked at is what is given away.
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("%s can't be opened by user id %d (%s), expected a folder of its own", dir, os.Geteuid(), reason(err))
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	owner := int(fi.Sys().(*syscall.Stat_t).Uid)
	if owner != uid && os.Geteuid() == 0 && (made || owner == 0 && isEmpty(f)) {
		if err := f.Chown(uid, gid); err != nil {
			return fmt.Errorf("%s can't be given to user id %d (%s), expected a file system with owners", dir, uid, reason(err))
		}
		owner = uid
	}
	switch {
	case owner != uid:
		return fmt.Errorf("%s belongs to user id %d, expected a folder of user id %d: chown -R %d %s, if nothing else uses it", dir, owner, uid, uid, dir)
	case fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s has mode %#o, expected a folder that only its owner can change: chmod 700 %s", dir, fi.Mode().Perm(), dir)
	}
	return nil
}

// isEmpty keeps root from giving away a folder that is something else's.
func isEmpty(dir *os.File) bool {
	names, _ := dir.Readdirnames(1)
	return len(names) == 0
}
