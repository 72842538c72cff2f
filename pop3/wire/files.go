package wire

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"sidepop/pop3/internal/nowait"
)

// Files is what a [pop3.Maildrop] of the keeper implements whose messages are
// files, so that the front gets descriptors of them. The messages of others are
// copied into memory, each when it is asked for.
type Files interface {
	// OpenFiles opens the messages from first on, at most len(dst), in order
	// and without gaps. It opens at least one, or gives the error of the first.
	// The descriptors become the caller's.
	OpenFiles(ctx context.Context, first int, dst []File) (n int, err error)
}

// File is a stored message.
type File struct {
	FD     int   // a regular file, opened for reading only; where it stands does not matter
	Bytes  int64 // as stored: so many are read, and more than there are is an error
	Octets int64 // as sent: see [pop3.Measure]
	AtHand bool  // closing it waits for nobody: no file server has to be told
}

// close gives up a descriptor of the keeper's, when the front has its own or gets none.
func (f File) close() {
	if f.AtHand && f.Bytes <= soonGone {
		_ = nowait.Close(f.FD)
		return
	}
	_ = unix.Close(f.FD)
}

// openFiles opens messages from first on: at least one, and at most len(dst).
func (x *session) openFiles(first int, dst []File) (n int, err error) {
	source, ok := x.drop.(Files)
	if !ok {
		dst[0], err = x.copyMessage(first)
		return 1, err
	}
	n, err = source.OpenFiles(x.server.base, first, dst)
	if err != nil {
		return 0, err
	}
	if n < 1 || n > len(dst) {
		return 0, fmt.Errorf("the backend opened %d of %d messages", n, len(dst))
	}
	for _, f := range dst[:n] {
		if err := readOnly(f); err != nil {
			for _, f := range dst[:n] {
				f.close()
			}
			return 0, fmt.Errorf("not handed over: %w", err)
		}
	}
	return n, nil
}

// readOnly refuses what would give the front more than a message's content.
func readOnly(f File) error {
	flags, err := nowait.Flags(f.FD)
	if err != nil {
		return fmt.Errorf("flags of a descriptor: %w", err)
	}
	mode, err := typeOf(f.FD)
	if err != nil {
		return fmt.Errorf("type of a descriptor: %w", err)
	}
	switch {
	case flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_PATH != 0:
		return errors.New("the descriptor is not for reading only")
	case mode != unix.S_IFREG:
		return errors.New("the descriptor is not of a regular file")
	case f.Bytes < 0 || f.Octets < 0 || f.Octets > maxOctets:
		return fmt.Errorf("a message of %d bytes and %d octets", f.Bytes, f.Octets)
	}
	return nil
}

// typeOf is S_IFREG, or what else a file is.
func typeOf(fd int) (mode uint32, err error) {
	if mode, err = nowait.Type(fd); err == nil {
		return mode, nil
	}
	var stat unix.Stat_t // on kernels, and behind filters, without statx
	err = unix.Fstat(fd, &stat)
	return stat.Mode & unix.S_IFMT, err
}

// copyMessage makes a file in memory of a message.
func (x *session) copyMessage(i int) (File, error) {
	m, octets, err := x.drop.Open(x.server.base, i)
	if err != nil {
		return File{}, err
	}
	defer m.Close()
	var readErr error
	fd, size, err := sealed("message", maxOctets, func(w io.Writer) (err error) {
		readErr, err = copyTo(w, m)
		return err
	})
	if err != nil {
		return File{}, err
	}
	if readErr != nil { // the front sends what there is, and finds it short
		x.server.Events.Failed(x.peer, x.user, "open", fmt.Errorf("message %d: %w", i+1, readErr))
		size++
	}
	return File{FD: fd, Bytes: size, Octets: octets, AtHand: true}, nil
}

// copyTo writes what r has.
func copyTo(w io.Writer, r io.Reader) (readErr, writeErr error) {
	b := newBuffer()
	defer b.free()
	for {
		n, readErr := r.Read(b.packet[:])
		if _, err := w.Write(b.packet[:n]); err != nil {
			return nil, err
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return nil, nil
		case readErr != nil:
			return readErr, nil
		}
	}
}

// sealed makes a file in memory of what write writes, which nobody can change
// any more: neither its content nor its size. The front gets it without being
// able to reopen it for reading only. What is longer than limit is errTooLarge.
func sealed(name string, limit int64, write func(io.Writer) error) (fd int, size int64, err error) {
	fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, 0, fmt.Errorf("memory for a %s: %w", name, err)
	}
	f := memoryFile{fd: fd, limit: limit}
	done := false
	defer func() { // if write panics, too
		if !done {
			_ = unix.Close(f.fd)
		}
	}()
	if err := write(&f); err != nil {
		return -1, f.size, err
	}
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, all); err != nil {
		return -1, f.size, fmt.Errorf("memory for a %s: seals: %w", name, err)
	}
	done = true
	return fd, f.size, nil
}

// memoryFile is a file in memory that is being written.
type memoryFile struct {
	fd    int
	size  int64 // what was to be written, with an error
	limit int64
}

var errTooLarge = errors.New("larger than there is room for")

func (f *memoryFile) Write(p []byte) (n int, err error) {
	if f.size += int64(len(p)); f.size > f.limit {
		return 0, errTooLarge
	}
	for n < len(p) {
		written, err := unix.Write(f.fd, p[n:])
		if err != nil && !errors.Is(err, unix.EINTR) {
			return n, fmt.Errorf("write to memory: %w", err)
		}
		n += max(written, 0)
	}
	return n, nil
}
