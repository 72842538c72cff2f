package index

import (
	"context"
	"errors"
	"fmt"
)

// Message is what a listing says about one message.
type Message struct {
	UIDL   string // 1 to 70 characters of 0x21 to 0x7E, up to 255 from a list; unique within the mailbox
	Bytes  int64  // size on disk
	Octets int64  // size as the protocol sends it, by [Options.Measure]
}

// Mailbox is a Maildir as it was when it was opened, for one session: mail that
// arrives later is not in it, and messages keep their numbers, which start from
// 0. It is used by one goroutine at a time.
type Mailbox struct {
	m       *mailbox
	owner   *Owner
	list    []*entry
	renamed map[*entry]string
	version uint64
	odd     map[*entry]oddity
	octets  int64
	dirs    *dirs // opened when first needed; an idle session has none

	// moved has the names as they were at the latest search for a message that
	// was not at its place any more, in the order of compareKeys.
	moved []candidate
}

// Len is the number of messages.
func (s *Mailbox) Len() int { return len(s.list) }

// Octets is the size of all messages together.
func (s *Mailbox) Octets() int64 { return s.octets }

// Version is a number of the messages: as long as the process lives, whatever has
// the same one has the same messages in the same order, with the same octets and
// UIDLs. 0: there has never been a message.
func (s *Mailbox) Version() uint64 { return s.version }

// Message describes message i, from 0 to Len()-1.
func (s *Mailbox) Message(i int) Message {
	e := s.list[i]
	return Message{UIDL: s.UIDL(i), Bytes: e.bytes, Octets: e.octets()}
}

// UIDL and MessageOctets are those fields of Message(i) alone: listings of large
// mailboxes ask for one of them a hundred thousand times.
func (s *Mailbox) UIDL(i int) string {
	e := s.list[i]
	if len(s.renamed) > 0 {
		if other, ok := s.renamed[e]; ok {
			return other
		}
	}
	return e.claim()
}

// MessageOctets is described at [Mailbox.UIDL].
func (s *Mailbox) MessageOctets(i int) int64 { return s.list[i].octets() }

// Close gives up what the session holds. Open messages stay open.
func (s *Mailbox) Close() error {
	s.m.x.leave(s.m)
	if s.dirs == nil {
		return nil
	}
	return s.dirs.close()
}

// as runs f in a section.
func (s *Mailbox) as(f func() error) error { return s.m.x.as(s.owner, f) }

// errMissing says that a Maildir, or a folder of it, is not there: whether its
// messages are, nobody knows.
var errMissing = errors.New("the Maildir is not there any more, or a folder of it; is a file system not mounted?")

// open opens the directories, in a section.
func (s *Mailbox) open() error {
	if s.dirs != nil {
		return nil
	}
	d, err := s.m.x.openDirs(s.m.path)
	if err == nil && d == nil {
		err = errMissing
	}
	s.dirs = d
	return err
}

// OpenMessage opens message i, wherever other programs have moved it. The error
// wraps [ErrGone] when they have removed it, but not when the Maildir is missing.
func (s *Mailbox) OpenMessage(i int) (*File, error) {
	var one [1]*File
	_, err := s.OpenMessages(i, one[:])
	return one[0], err
}

// OpenMessages opens messages from first on, as many as files has room for and as
// there are, which costs less than one by one: clients fetch in order. It gives
// how many it has opened before one could not be, and an error only when that was
// the first.
func (s *Mailbox) OpenMessages(first int, files []*File) (n int, err error) {
	files = files[:min(len(files), len(s.list)-first)]
	opened := make([]File, len(files))
	err = s.as(func() error {
		for ; n < len(files); n++ {
			if err := s.openMessage(first+n, &opened[n]); err != nil {
				return err
			}
			files[n] = &opened[n]
		}
		return nil
	})
	for i, f := range files[:n] {
		if e := s.list[first+i]; f.size != e.bytes {
			s.m.x.repair(s.m, e, f.size)
		}
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

// openMessage opens one as f, in a section.
func (s *Mailbox) openMessage(i int, f *File) error {
	if err := s.open(); err != nil {
		return fmt.Errorf("open message %d: %w", i, err)
	}
	e := s.list[i]
	err := s.follow(context.Background(), e, func(p place) error {
		if err := s.dirs.open(p, f); err != nil {
			return err
		}
		if e.odd() && f.ino != s.odd[e].ino {
			f.Close()
			return errReplaced
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("open message %s: %w", s.path(e), err)
	}
	return nil
}

// Path is where message i was last seen.
func (s *Mailbox) Path(i int) string {
	p := s.m.place(s.list[i])
	return s.m.path + "/" + folderNames[p.folder] + "/" + p.name
}

func (s *Mailbox) path(e *entry) string { return s.dirs.path(s.m.place(e)) }

// follow calls op with the place of e and, as long as there is nothing, with
// the places where e may be instead. It fails with [ErrGone] when e is nowhere. A
// message that shares its unique name with another one is not searched for: it
// could be taken for the other. It fails otherwise when e is nowhere and the folder
// is missing where it was.
//
// The names read for a search are kept and asked first the next time. A message
// that they do not have is gone for good, since unique names do not come back;
// only one that has moved again since makes it read them again. So the number
// of searches follows the renames of others, not the number of messages missed.
func (s *Mailbox) follow(ctx context.Context, e *entry, op func(place) error) error {
	p := s.m.place(e)
	if s.dirs.folders[p.folder] == nil {
		err := s.followElsewhere(ctx, e, op)
		if err == ErrGone {
			err = errMissing
		}
		return err
	}
	if err := op(p); !isGone(err) {
		return err
	}
	return s.followElsewhere(ctx, e, op)
}

// followElsewhere is follow for a message that is not at its place.
func (s *Mailbox) followElsewhere(ctx context.Context, e *entry, op func(place) error) error {
	if e.odd() {
		return ErrGone
	}
	if s.moved != nil {
		hits := find(s.moved, e.key())
		if len(hits) == 0 {
			return ErrGone
		}
		for _, c := range hits {
			if err := op(c.place); !isGone(err) {
				s.m.setPlace(e, c.place)
				return err
			}
		}
	}
	return s.search(ctx, e, op)
}

// search reads the names anew. It calls op as soon as it comes upon e, since a
// program that renames without pause would have moved it by the end.
func (s *Mailbox) search(ctx context.Context, e *entry, op func(place) error) error {
	result := error(ErrGone)
	var names []place
	err := s.dirs.read(ctx, func(p place) bool {
		names = append(names, p)
		if result == ErrGone && uniqueName(p.name) == e.unique {
			if err := op(p); !isGone(err) {
				s.m.setPlace(e, p)
				result = err
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	s.moved = arrange(names)
	return result
}
