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

	// clockGrain is the age below which a directory's modification time proves
	// nothing: another change may have got the same one. Linux stamps files by
	// a clock that ticks at least every 10 ms.
	clockGrain = 20 * time.Millisecond

	// namesChunk is how many names are read before they are visited: few, so
	// that they are still right, and about as many as one system call gives.
	namesChunk = 128
)

// openFlags keep an open from following a link, waiting for a FIFO's writer,
// becoming a terminal's session, or leaking into a child.
const openFlags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// dirs is the Maildir's directories, kept open, so that they stay the same
// ones whatever their paths are made to lead to.
type dirs struct {
	dir     string
	root    *os.File
	folders [folders]*os.File // nil where missing
}

// openDirs opens the Maildir at dir, which may be a symbolic link: that is the
// owner's or the operator's choice. Without a Maildir it gives nil.
func openDirs(dir string) (*dirs, error) {
	root, err := openDir(unix.AT_FDCWD, dir, dir, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); err == nil {
			return nil, fmt.Errorf("open Maildir %s: the symbolic link leads nowhere; is a file system not mounted?", dir)
		}
		return nil, nil
	}
	if errors.Is(err, unix.ENOTDIR) {
		if fi, serr := os.Stat(dir); serr == nil && fi.Mode().IsRegular() {
			return nil, fmt.Errorf("open Maildir %s: it is a file, perhaps an mbox, where a Maildir is needed; convert it", dir)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open Maildir: %w", err)
	}
	d := &dirs{dir: dir, root: root}
	for i, name := range folderNames {
		path := filepath.Join(dir, name)
		f, err := openDir(int(root.Fd()), name, path, unix.O_NOFOLLOW)
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
	}
	return d, nil
}

func openDir(at int, name, path string, flags int) (*os.File, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|flags, 0)
		return err
	})
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
//     old one goes. So when a modification time has changed meanwhile, or was
//     so recent that it could not show a change, both are read again.
//   - What every reading sees counts: a message is missed only when all of them
//     miss it.
func (d *dirs) read(ctx context.Context, visit func(place) (more bool)) error {
	for range maxReadings {
		start := time.Now()
		before, err := d.mtimes()
		if err != nil {
			return err
		}
		for f := range folders {
			if more, err := d.readFolder(ctx, f, visit); err != nil || !more {
				return err
			}
		}
		after, err := d.mtimes()
		if err != nil {
			return err
		}
		if before == after && settled(before, start) {
			return nil
		}
	}
	return nil
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

// mtimes gives the modification times of the folders, zero for a missing one.
func (d *dirs) mtimes() (times [folders]unix.Timespec, err error) {
	var st unix.Stat_t
	for i, f := range d.folders {
		if f == nil {
			continue
		}
		if err := retry(func() error { return unix.Fstat(int(f.Fd()), &st) }); err != nil {
			return times, &fs.PathError{Op: "fstat", Path: f.Name(), Err: err}
		}
		times[i] = st.Mtim
	}
	return times, nil
}

// settled says that the modification times are old enough, at the time now, for
// any later change to get another one. One in the future is no reason to wait:
// it stems from another clock and tells nothing.
func settled(times [folders]unix.Timespec, now time.Time) bool {
	for _, t := range times {
		if now.Sub(time.Unix(t.Unix())).Abs() < clockGrain {
			return false
		}
	}
	return true
}

// inode gives the inode number of whatever lies at p, a link included.
func (d *dirs) inode(p place) (uint64, error) {
	var st unix.Stat_t
	err := retry(func() error {
		return unix.Fstatat(d.fd(p.folder), p.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st.Ino, err
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
