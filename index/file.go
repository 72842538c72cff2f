package index

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// notRegular says what a file is instead.
type notRegular string

func (n notRegular) Error() string { return string(n) }

const (
	errSymlink notRegular = "a symbolic link"
	errSpecial notRegular = "a socket or a device"
	errFolder  notRegular = "a directory"
	errFIFO    notRegular = "a FIFO"
)

// errReplaced says that another file lies where a message was.
var errReplaced = errors.New("replaced by another file")

// File is a stored message, open for reading. It reads exactly the bytes that
// the message had when it was opened: what is appended later is not read, and a
// file cut short fails with [io.ErrUnexpectedEOF]. It is used by one goroutine
// at a time and must be closed.
type File struct {
	fd     int
	size   int64 // bytes when opened
	left   int64 // bytes not read yet
	ino    uint64
	mtime  unix.Timespec
	atHand bool // see AtHand
}

// open opens the regular file at p as f.
func (d *dirs) open(p place, f *File) error {
	h := d.haste
	if !d.local[p.folder] {
		h = nil
	}
	return f.open(d.fd(p.folder), p.name, h)
}

// open opens the regular file name in the directory at, which is on a local file system
// if haste is given. Errors are unix.Errno or say what is there instead.
func (f *File) open(at int, name string, h *haste) error {
	fd, err := -1, error(unix.EAGAIN)
	if h != nil {
		if begun := time.Now(); h.allows(begun) {
			fd, err = openCached(at, name)
			h.took(time.Since(begun), err)
		}
	}
	f.atHand = err == nil
	if !f.atHand {
		fd, err = openBelow(at, name, openFlags)
	}
	switch err {
	case nil:
	case unix.ELOOP:
		return errSymlink
	case unix.ENXIO, unix.ENODEV:
		return errSpecial
	default:
		return err
	}
	var st unix.Stat_t
	if f.atHand {
		err = statCached(fd, &st)
	} else {
		err = retry(func() error { return unix.Fstat(fd, &st) })
	}
	if err == nil {
		err = regular(st.Mode)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	f.fd, f.size, f.left, f.ino, f.mtime = fd, st.Size, st.Size, st.Ino, st.Mtim
	return nil
}

// regular says what a file is that is not a regular one.
func regular(mode uint32) error {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		return errFolder
	case unix.S_IFIFO:
		return errFIFO
	}
	return errSpecial
}

// Size is the number of bytes that the file had when it was opened.
func (f *File) Size() int64 { return f.size }

// AtHand says that the file is on a local file system and its name was in memory: to
// close it waits for nobody.
func (f *File) AtHand() bool { return f.atHand }

// Read implements [io.Reader].
func (f *File) Read(p []byte) (int, error) {
	if f.fd < 0 {
		return 0, os.ErrClosed
	}
	if f.left <= 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > f.left {
		p = p[:f.left]
	}
	var n int
	err := retry(func() (err error) {
		n, err = unix.Read(f.fd, p)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read message: %w", err)
	}
	if n == 0 && len(p) > 0 {
		return 0, io.ErrUnexpectedEOF
	}
	f.left -= int64(n)
	return n, nil
}

// Detach gives up the descriptor, to be closed by whoever gets it. The message is
// its first Size bytes: what follows was appended later. What was read before is
// not read again. The File counts as closed.
func (f *File) Detach() (fd int) {
	fd = f.fd
	f.fd = -1
	return fd
}

// Close implements [io.Closer].
func (f *File) Close() error {
	if f.fd < 0 {
		return os.ErrClosed
	}
	fd := f.fd
	f.fd = -1
	return unix.Close(fd)
}
