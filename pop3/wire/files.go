package wire

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
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
				_ = unix.Close(f.FD)
			}
			return 0, fmt.Errorf("not handed over: %w", err)
		}
	}
	return n, nil
}

// readOnly refuses what would give the front more than a message's content.
func readOnly(f File) error {
	flags, err := unix.FcntlInt(uintptr(f.FD), unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("flags of a descriptor: %w", err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(f.FD, &stat); err != nil {
		return fmt.Errorf("type of a descriptor: %w", err)
	}
	switch {
	case flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_PATH != 0:
		return errors.New("the descriptor is not for reading only")
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("the descriptor is not of a regular file")
	case f.Bytes < 0 || f.Octets < 0 || f.Octets > maxOctets:
		return fmt.Errorf("a message of %d bytes and %d octets", f.Bytes, f.Octets)
	}
	return nil
}

// copyMessage makes a file in memory of a message.
func (x *session) copyMessage(i int) (File, error) {
	m, octets, err := x.drop.Open(x.server.base, i)
	if err != nil {
		return File{}, err
	}
	defer m.Close()
	fd, err := unix.MemfdCreate("message", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return File{}, fmt.Errorf("memory for a message: %w", err)
	}
	size, readErr, err := copyTo(fd, m)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		_ = unix.Close(fd)
		return File{}, fmt.Errorf("memory for a message: %w", err)
	}
	if readErr != nil { // the front sends what there is, and finds it short
		x.server.Events.Failed(x.peer, x.user, "open", fmt.Errorf("message %d: %w", i+1, readErr))
		size++
	}
	return File{FD: fd, Bytes: size, Octets: octets}, nil
}

// copyTo writes what r has to a descriptor.
func copyTo(fd int, r io.Reader) (size int64, readErr, writeErr error) {
	b := newBuffer()
	defer b.free()
	for {
		n, readErr := r.Read(b.packet[:])
		for p := b.packet[:n]; len(p) > 0; {
			written, err := unix.Write(fd, p)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return size, nil, err
			}
			written = max(written, 0)
			size += int64(written)
			p = p[written:]
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return size, nil, nil
		case readErr != nil:
			return size, readErr, nil
		}
	}
}
