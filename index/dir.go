package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxReadings bounds how often the names are read when the directories
	// keep changing. Reading is fast, so more than two means that a program is
	// at work on the whole mailbox; what was seen in any reading counts.
	maxReadings = 4

	// namesChunk is how many names are read before they are visited: few, so
	// that they are still right, and about as many as one system call gives.
	namesChunk = 128
)

// openFlags keep an open from waiting for a FIFO's writer and from becoming a
// terminal's session.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY

// dirs is the Maildir's directories, kept open, so that they stay the same
// ones whatever their paths are made to lead to.
type dirs struct {
	dir     string
	root    *os.File
	folders [folders]*os.File // nil where missing
	local   [folders]bool     // see isLocal
	haste   *haste
}

// openDirs opens the Maildir at dir, an absolute path; see openMaildir for
// symbolic links in it. Without a Maildir it gives nil.
func openDirs(dir string, asOwner bool, h *haste) (*dirs, error) {
	fd, err := openMaildir(dir, asOwner, unix.O_RDONLY)
	if err == unix.ENOENT && asOwner && dangling(dir) {
		err = errDangling
	}
	if err == unix.ENOENT {
		return nil, nil
	}
	if err == unix.ENOTDIR {
		if fi, serr := os.Stat(dir); serr == nil && fi.Mode().IsRegular() {
			return nil, fmt.Errorf("open Maildir %s: %w", dir, ErrFile)
		}
	}
	if err == errDangling {
		return nil, fmt.Errorf("open Maildir %s: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open Maildir: %w", &fs.PathError{Op: "open", Path: dir, Err: err})
	}
	root := os.NewFile(uintptr(fd), dir)
	d := &dirs{dir: dir, root: root, haste: h}
	for i, name := range folderNames {
		path := filepath.Join(dir, name)
		f, err := openFolder(root, name, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			d.close()
			if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
				return nil, fmt.Errorf("open Maildir: %s must be a directory itself, no symbolic link and no file", path)
			}
			return nil, fmt.Errorf("open Maildir: %w", err)
		}
		d.folders[i] = f
		d.local[i] = isLocal(int(f.Fd()))
	}
	return d, nil
}

func openFolder(root *os.File, name, path string) (*os.File, error) {
	fd, err := openBelow(int(root.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (d *dirs) close() error {
	err := d.root.Close()
	for _, f := range d.folders {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// fd is the descriptor of a folder. A folder without one has no places.
func (d *dirs) fd(f folder) int { return int(d.folders[f].Fd()) }

func (d *dirs) path(p place) string {
	return d.dir + "/" + folderNames[p.folder] + "/" + p.name
}

// read calls visit with the places in new and cur, hidden names left out, until
// visit gives false. No message that is in the Maildir all the time is passed
// over, although other programs rename messages meanwhile; one message may be
// visited under several names and more than once, and some names may be gone by
// now. Three things make it so:
//
//   - new is read before cur. A message that is moved from new to cur is either
//     still seen in new or already there when the reading of cur begins.
//   - A rename within a directory removes one entry and adds another, and
//     readdir(3) promises neither of them: it may be past the new one when the
//     old one goes. So when a change time is another one meanwhile, or was
//     so recent that it could not show a change, both are read again.
//   - What every reading sees counts: a message is missed only when all of them
//     miss it.
func (d *dirs) read(ctx context.Context, visit func(place) (more bool)) error {
	_, err := d.readUpTo(ctx, maxReadings, visit)
	return err
}

// readUpTo is read with another bound. It says whether the last reading was
// complete, with nothing changed meanwhile.
func (d *dirs) readUpTo(ctx context.Context, readings int, visit func(place) (more bool)) (stable bool, err error) {
	for range readings {
		start := time.Now()
		before, err := d.proof()
		if err != nil {
			return false, err
		}
		for f := range folders {
			if more, err := d.readFolder(ctx, f, visit); err != nil || !more {
				return false, err
			}
		}
		after, err := d.proof()
		if err != nil {
			return false, err
		}
		if before.dirs == after.dirs && before.settled(start) {
			return true, nil
		}
	}
	return false, nil
}

func (d *dirs) readFolder(ctx context.Context, f folder, visit func(place) bool) (more bool, err error) {
	dir := d.folders[f]
	if dir == nil {
		return true, nil
	}
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		names, err := dir.Readdirnames(namesChunk)
		for _, name := range names {
			if name[0] != '.' && !visit(place{name, f}) {
				return false, nil
			}
		}
		switch {
		case err == io.EOF, errors.Is(err, fs.ErrNotExist): // the latter when dir itself was removed
			return true, nil
		case err != nil:
			return false, fmt.Errorf("list Maildir: %w", err)
		}
	}
}

// waitForRenames returns when every rename whose effect could be seen before the
// call has told the watch of it: reading a directory waits for those at work
// in it.
func (d *dirs) waitForRenames() {
	for _, f := range d.folders {
		if f != nil {
			if _, err := f.Seek(0, io.SeekStart); err == nil {
				_, _ = f.Readdirnames(1)
			}
		}
	}
}

// look tells what lies at p, a link itself.
func (d *dirs) look(p place) (stamp, error) {
	var st unix.Stat_t
	err := statAt(d.fd(p.folder), p.name, &st)
	return stampOf(&st), err
}

// retry repeats a system call that a signal has interrupted, as file systems
// over a network or in user space let happen.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// isGone says that the file looked for is not there any more. ESTALE is how
// network file systems notice it late.
func isGone(err error) bool {
	return err == unix.ENOENT || err == unix.ESTALE || err == errReplaced
}

// isShortage says that the machine, not the file, is the cause of an error.
func isShortage(err error) bool {
	return err == unix.EMFILE || err == unix.ENFILE || err == unix.ENOMEM
}
