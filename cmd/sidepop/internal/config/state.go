package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Modes of the folders that sidepop makes. The front looks into that of the
// keeper's socket.
const (
	stateMode   = 0o700
	runtimeMode = 0o755
)

// PrepareState makes the state folder if it is not there, and finds out whether
// it is safe to use: what others can change in it would be taken for what sidepop
// has written. The error is [Problems].
func (c *Config) PrepareState() error {
	if err := prepare(c.Index.StateDir, stateMode, os.Geteuid()); err != nil {
		return Problems{c.Problem("index.state_dir", err.Error())}
	}
	return nil
}

// PrepareRuntime is PrepareState for the folder of the keeper's socket, which is
// the root directory of the front: nothing else may be in it. The front may look
// into it.
func (c *Config) PrepareRuntime() error { return c.prepareRuntime(os.Geteuid()) }

// PrepareFront is PrepareRuntime for a front: without root's rights it takes a folder
// of root's, which the keeper or a service manager has made, as well as one of its
// own.
func (c *Config) PrepareFront() error { return c.prepareRuntime(os.Geteuid(), 0) }

func (c *Config) prepareRuntime(owners ...int) error {
	err := prepare(c.Runtime, runtimeMode, owners...)
	if err == nil {
		err = onlySocket(c.Runtime)
	}
	if err != nil {
		return Problems{c.Problem("runtime_dir", err.Error())}
	}
	return nil
}

// Prepare is PrepareState and PrepareRuntime.
func (c *Config) Prepare() error {
	var all Problems
	for _, err := range []error{c.PrepareState(), c.PrepareRuntime()} {
		var ps Problems
		if errors.As(err, &ps) {
			all = append(all, ps...)
		}
	}
	return all.asError()
}

// prepare makes a folder of this process's user, which others can't change. One that
// is there may be any of the owners'.
func prepare(dir string, mode fs.FileMode, owners ...int) error {
	err := os.MkdirAll(filepath.Dir(dir), 0o755)
	if err == nil {
		err = os.Mkdir(dir, mode)
	}
	if err == nil {
		err = os.Chmod(dir, mode) // whatever the umask is
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s can't be made by user id %d (%s), expected a folder that it owns: make one, with mode %o", dir, os.Geteuid(), reason(err), mode)
	}
	return safe(dir, mode, owners...)
}

// CheckFolders is Prepare for folders that are there: it makes none.
func (c *Config) CheckFolders() error {
	var all Problems
	folder := func(key, dir string, check func() error) {
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err := check(); err != nil {
			all = append(all, c.Problem(key, err.Error()))
		}
	}
	folder("index.state_dir", c.Index.StateDir, func() error { return safe(c.Index.StateDir, stateMode, os.Geteuid()) })
	folder("runtime_dir", c.Runtime, func() error {
		if err := safe(c.Runtime, runtimeMode, os.Geteuid()); err != nil {
			return err
		}
		return onlySocket(c.Runtime)
	})
	return all.asError()
}

// safe finds out whether a folder is one of the owners', of which the first is this
// process's user, and others can't change it.
func safe(dir string, mode fs.FileMode, owners ...int) error {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("%s can't be opened by user id %d (%s), expected a folder of its own", dir, os.Geteuid(), reason(err))
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	uid, owner := os.Geteuid(), int(fi.Sys().(*syscall.Stat_t).Uid)
	switch {
	case !slices.Contains(owners, owner):
		return fmt.Errorf("%s belongs to user id %d, expected a folder of user id %d: chown -R %d %s, if nothing else uses it", dir, owner, uid, uid, dir)
	case fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s has mode %#o, expected a folder that only its owner can change: chmod %o %s", dir, fi.Mode().Perm(), mode, dir)
	case uid == 0 && fi.Mode().Perm()&mode&0o001 != mode&0o001:
		return fmt.Errorf("%s has mode %#o, expected a folder that the front's user can look into: chmod %o %s", dir, fi.Mode().Perm(), mode, dir)
	}
	return nil
}

// onlySocket finds out whether a folder has nothing but what is the keeper's.
func onlySocket(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != KeeperSocket || e.Type() != fs.ModeSocket {
			return fmt.Errorf("%s has %q in it, expected a folder with nothing but the keeper's socket: it is all that the front can see", dir, e.Name())
		}
	}
	return nil
}
