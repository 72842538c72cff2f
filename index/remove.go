package index

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// quotaFile is where Courier, exim and others keep the sum of what a Maildir
// holds (Maildir++): a line of limits, then lines "bytes count" to be added up.
const quotaFile = "maildirsize"

// Remove removes messages for good, wherever other programs have moved them.
// Those that are gone already count as removed. It goes on after a failure:
// failed is how many messages remain, and err the first reason. When ctx ends,
// the messages not reached remain.
//
// What is removed is also subtracted in the Maildir's maildirsize, if there is
// one. Failing to do that is no error, since whoever keeps that file computes
// it anew from time to time.
func (m *Mailbox) Remove(ctx context.Context, messages []int) (failed int, err error) {
	var bytes, removed int64
	for _, i := range messages {
		e := &m.entries[i]
		ok, rerr := m.remove(ctx, e)
		if rerr != nil {
			failed++
			if err == nil {
				err = fmt.Errorf("remove message %s: %w", m.dirs.path(e.place), rerr)
			}
		}
		if ok {
			bytes += e.bytes
			removed++
		}
	}
	if removed > 0 {
		m.dirs.subtract(bytes, removed)
	}
	return failed, err
}

// remove unlinks all names of e. It gives false without an error when e is gone.
func (m *Mailbox) remove(ctx context.Context, e *entry) (removed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	err = m.follow(ctx, e, func(p place) error { return m.unlink(e, p, e.shared) })
	if err != nil && err != ErrGone {
		return false, err
	}
	removed = err == nil
	for _, p := range m.links[e.ino] {
		switch err := m.unlink(e, p, true); {
		case err == nil:
			removed = true
		case !isGone(err):
			return removed, err
		}
	}
	return removed, nil
}

// unlink removes the file at p; if verify, only when it is the one counted as e.
func (m *Mailbox) unlink(e *entry, p place, verify bool) error {
	if verify {
		ino, err := m.dirs.inode(p)
		if err != nil {
			return err
		}
		if ino != e.ino {
			return errReplaced
		}
	}
	return retry(func() error { return unix.Unlinkat(m.dirs.fd(p.folder), p.name, 0) })
}

// subtract appends one line to the quota file, in one write, so that lines of
// several programs do not mix.
func (d *dirs) subtract(bytes, count int64) {
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(int(d.root.Fd()), quotaFile, flags, 0)
		return err
	})
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || regular(st.Mode) != nil {
		return
	}
	line := fmt.Appendf(nil, "%d %d\n", -bytes, -count)
	retry(func() error {
		_, err := unix.Write(fd, line)
		return err
	})
}
