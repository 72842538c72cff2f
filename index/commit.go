package index

import (
	"context"
	"fmt"
	"strings"

	"github.com/emersion/go-maildir"
	"golang.org/x/sys/unix"
)

// quotaFile is where Courier, exim and others keep the sum of what a Maildir
// holds (Maildir++): a line of limits, then lines "bytes count" to be added up.
const quotaFile = "maildirsize"

// Commit removes messages for good, wherever other programs have moved them, and
// marks others as seen. Messages that are gone already count as removed, unless the
// Maildir or their folder is missing: they may be back with it. It goes on after a
// failure: failed is how many of those to be removed remain, and err the first
// reason. When ctx ends, the messages not reached remain.
//
// What is to be removed is in the store's journal before the first message is,
// so that a crash leaves all of them or none, once [New] has finished the work.
//
// What is removed is also subtracted in the Maildir's maildirsize, if there is
// one. Failing to do that is no error, since whoever keeps that file computes
// it anew from time to time; nor is failing to mark a message.
func (s *Mailbox) Commit(ctx context.Context, remove, seen []int) (failed int, err error) {
	if !s.m.x.o.MarkSeen {
		seen = nil
	}
	if s.dirs == nil && len(remove) > 0 || len(seen) > 0 {
		err := s.as(func() error {
			if err := s.open(); err != nil {
				return err
			}
			for _, i := range seen {
				s.markSeen(ctx, s.list[i])
			}
			return nil
		})
		if err != nil && len(remove) > 0 {
			return len(remove), fmt.Errorf("remove messages of %s: %w", s.m.path, err)
		}
	}
	if len(remove) == 0 {
		return 0, nil
	}
	end, err := s.m.x.journal(s, remove)
	if err != nil {
		return len(remove), fmt.Errorf("remove messages of %s: journal: %w", s.m.path, err)
	}
	s.watchLess(len(remove))
	var gone []*entry
	err = s.as(func() error {
		gone, err = s.remove(ctx, remove)
		return err
	})
	end()
	s.m.forget(gone)
	return len(remove) - len(gone), err
}

// watchLess ends the mailbox's watch where so many messages are about to be
// removed that dealing with the events costs more than reading the names that are
// left, which the next login does, and then watches again.
func (s *Mailbox) watchLess(removals int) {
	if s.m.x.watch == nil || removals < fewRemovals || 2*removals < len(s.list) {
		return
	}
	// Noted here, since somebody else may begin the watch again before then.
	s.m.events.Lock()
	s.m.lost = true
	s.m.events.Unlock()
	for _, name := range folderNames {
		s.m.x.watch.Remove(s.m.path + "/" + name)
	}
}

// fewRemovals are not worth it to end a watch.
const fewRemovals = 200

// remove gives those that are gone afterwards, in a section.
func (s *Mailbox) remove(ctx context.Context, messages []int) (gone []*entry, err error) {
	var bytes, removed int64
	gone = make([]*entry, 0, len(messages))
	for _, i := range messages {
		e := s.list[i]
		ok, rerr := s.removeOne(ctx, e)
		if rerr != nil {
			if err == nil {
				err = fmt.Errorf("remove message %s: %w", s.path(e), rerr)
			}
			continue
		}
		gone = append(gone, e)
		if ok {
			bytes += e.bytes
			removed++
		}
	}
	if removed > 0 {
		s.dirs.subtract(bytes, removed)
	}
	return gone, err
}

// removeOne unlinks all names of e. It gives false without an error when e is
// gone.
func (s *Mailbox) removeOne(ctx context.Context, e *entry) (removed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	err = s.follow(ctx, e, func(p place) error { return s.unlink(e, p) })
	if err != nil && err != ErrGone {
		return false, err
	}
	removed = err == nil
	for _, p := range s.odd[e].links {
		switch err := s.unlink(e, p); {
		case err == nil:
			removed = true
		case !isGone(err):
			return removed, err
		}
	}
	return removed, nil
}

// unlink removes the file at p, of several with one unique name only when it is
// the one counted as e.
func (s *Mailbox) unlink(e *entry, p place) error {
	if e.odd() {
		is, err := s.dirs.look(p)
		if err != nil {
			return err
		}
		if is.ino != s.odd[e].ino {
			return errReplaced
		}
	}
	return s.dirs.unlink(p)
}

func (d *dirs) unlink(p place) error {
	return retry(func() error { return unix.Unlinkat(d.fd(p.folder), p.name, 0) })
}

// forget takes messages that were removed off the list: soon, if somebody is at
// work on the mailbox. Until then the next login finds out for itself.
func (m *mailbox) forget(gone []*entry) {
	if len(gone) == 0 {
		return
	}
	if !m.tryLock() {
		m.x.tasks.Go(func() {
			if m.lock(m.x.ctx) == nil {
				m.forgetNow(gone)
			}
		})
		return
	}
	m.forgetNow(gone)
}

// forgetNow does it for a caller that holds the mailbox, and lets go of it.
func (m *mailbox) forgetNow(gone []*entry) {
	defer m.unlock()
	u := &update{m: m, retry: m.retry}
	for _, e := range gone {
		for _, known := range same(m.list, e.key()) {
			if known.nth == e.nth {
				u.remove(known)
			}
		}
	}
	u.install()
	m.save(u)
}

// infoFlags begins the info part that holds flags (maildir(5)).
const infoFlags = ":2,"

// markSeen moves a message to cur, if it is in new, and sets its flag. Names
// with an info part of another kind are left alone.
func (s *Mailbox) markSeen(ctx context.Context, e *entry) {
	if e.odd() || ctx.Err() != nil {
		return
	}
	_ = s.follow(ctx, e, func(p place) error {
		name, ok := seenName(p, e)
		if !ok || s.dirs.folders[folderCur] == nil {
			return nil
		}
		err := retry(func() error {
			return unix.Renameat2(s.dirs.fd(p.folder), p.name, s.dirs.fd(folderCur), name, unix.RENAME_NOREPLACE)
		})
		if err == nil {
			s.m.setPlace(e, place{name, folderCur})
		}
		return err
	})
}

// seenName is what a message is called once it was seen, if that is another name.
func seenName(p place, e *entry) (string, bool) {
	at := strings.Index(p.name, e.unique) + len(e.unique)
	base, info := p.name[:at], p.name[at:]
	flags, ok := strings.CutPrefix(info, infoFlags)
	if info != "" && !ok {
		return "", false
	}
	seen := string(maildir.FlagSeen)
	if strings.Contains(flags, seen) {
		return p.name, false
	}
	i := 0 // flags are in the order of their codes
	for i < len(flags) && flags[i] < seen[0] {
		i++
	}
	return base + infoFlags + flags[:i] + seen + flags[i:], true
}

// subtract appends one line to the quota file, in one write, so that lines of
// several programs do not mix.
func (d *dirs) subtract(bytes, count int64) {
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := openBelow(int(d.root.Fd()), quotaFile, flags)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || regular(st.Mode) != nil {
		return
	}
	line := fmt.Appendf(nil, "%d %d\n", -bytes, -count)
	_ = retry(func() error {
		_, err := unix.Write(fd, line)
		return err
	})
}
