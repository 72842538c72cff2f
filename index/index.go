// Package index serves Maildirs: which messages there are, in which order,
// how large, under which unique-ids, and how they are removed. It knows no
// protocol.
//
// The format is the one of qmail's maildir(5), https://cr.yp.to/proto/maildir.html,
// with everything that other programs are seen to do to it.
//
// Invariants:
//   - The owner of a Maildir is hostile. Below the Maildir itself nothing is
//     opened but single path components, relative to a directory's descriptor
//     and without following symbolic links; nothing is read but regular files.
//   - Whatever is not served is reported and shuts out nothing else.
//   - The order of messages and every UIDL are pure functions of the Maildir's
//     content: file names, lists of a previous server and, where configured, a
//     header field. No clock, inode number or map order takes part.
//   - A message is its unique name, not its file name: other programs may set
//     flags or move it from new to cur at any time.
//   - All file system calls are made on the caller's goroutine, so a caller that
//     has given its thread the owner's identity keeps it throughout.
//   - Bytes are sizes on disk, octets sizes as the protocol sends them.
package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrGone says that another program has removed a message since [Open].
var ErrGone = errors.New("the message was removed by another program")

// Options says what [Open] cannot know from the Maildir.
type Options struct {
	// Measure reads r to its end and gives the message's size as the protocol
	// sends it. It must not keep r. Required.
	Measure func(r io.Reader) (octets int64, err error)

	// Scheme makes the UIDLs of messages that no list of a previous server names.
	Scheme Scheme

	// XUIDL takes the UIDL from a message's X-UIDL header field, where no list
	// has one that was saved. Whoever sends mail can choose that field.
	XUIDL bool

	// ListsBefore, unless zero, makes the lists of a previous server hold only
	// for messages whose names say that they were delivered before. A server
	// that still runs, as Dovecot for IMAP, lists new messages some time after
	// their delivery: without this bound their UIDLs would change then.
	ListsBefore time.Time

	// Skipped, unless nil, is told of everything that is not served or not
	// used. The path holds the owner's raw bytes: quote it in logs.
	Skipped func(path, reason string)
}

// listed says whether a list holds for a message.
func (o *Options) listed(k key) bool {
	return o.ListsBefore.IsZero() || k.sec < uint64(max(o.ListsBefore.Unix(), 0))
}

// Message is what a listing says about one message.
type Message struct {
	UIDL   string // 1 to 70 characters of 0x21 to 0x7E, unique within the mailbox
	Bytes  int64  // size on disk
	Octets int64  // size as the protocol sends it, by [Options.Measure]
}

// Mailbox is a Maildir as it was when it was opened: mail that arrives later is
// not in it, and messages keep their numbers, which start from 0. It is used by
// one goroutine at a time.
type Mailbox struct {
	dirs    *dirs // nil: the Maildir does not exist
	entries []entry
	octets  int64

	// links has, by inode number, the further names under the same unique name
	// of files that are served once. Nil unless there are any.
	links map[uint64][]place

	// moved has the names, as arrange gives them, that the latest search for a
	// message found that was not at its place any more.
	moved []candidate
}

// Open takes a snapshot of the Maildir at dir. It reads every message once, one
// after the other, and stops when ctx ends.
//
// A Maildir that does not exist is an empty mailbox, as before the first
// delivery; so is a missing new or cur. Everything else that keeps the Maildir
// from being read is an error: mail that is there must not seem to be gone.
func Open(ctx context.Context, dir string, o Options) (*Mailbox, error) {
	if o.Skipped == nil {
		o.Skipped = func(path, reason string) {}
	}
	d, err := openDirs(dir)
	if err != nil {
		return nil, err
	}
	m := &Mailbox{dirs: d}
	if d == nil {
		return m, nil
	}
	if err := m.load(ctx, o); err != nil {
		d.close()
		return nil, err
	}
	return m, nil
}

func (m *Mailbox) load(ctx context.Context, o Options) error {
	var names []place
	err := m.dirs.read(ctx, func(p place) bool {
		names = append(names, p)
		return true
	})
	if err != nil {
		return err
	}
	if err := count(ctx, m, arrange(names), o); err != nil {
		return err
	}
	order, err := applyLists(ctx, m.dirs, m.entries, o)
	if err != nil {
		return err
	}
	order.sort(m.entries)
	assignUIDLs(m.entries, o.Scheme)
	for i := range m.entries {
		m.octets += m.entries[i].octets
	}
	return nil
}

// Len is the number of messages.
func (m *Mailbox) Len() int { return len(m.entries) }

// Octets is the size of all messages together.
func (m *Mailbox) Octets() int64 { return m.octets }

// Message describes message i, from 0 to Len()-1.
func (m *Mailbox) Message(i int) Message {
	e := &m.entries[i]
	return Message{UIDL: e.uidl, Bytes: e.bytes, Octets: e.octets}
}

// OpenMessage opens message i, wherever other programs have moved it. The error
// wraps [ErrGone] when they have removed it.
func (m *Mailbox) OpenMessage(i int) (*File, error) {
	e := &m.entries[i]
	f := new(File)
	err := m.follow(context.Background(), e, func(p place) error {
		if err := m.dirs.open(p, f); err != nil {
			return err
		}
		if e.shared && f.ino != e.ino {
			f.Close()
			return errReplaced
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open message %s: %w", m.dirs.path(e.place), err)
	}
	return f, nil
}

// Close gives up the mailbox's descriptors. Open messages stay open.
func (m *Mailbox) Close() error {
	if m.dirs == nil {
		return nil
	}
	return m.dirs.close()
}

// follow calls op with the place of e and, as long as there is nothing, with
// the places where e may be instead. It fails with [ErrGone] when e is nowhere. A
// message that shares its unique name with another one is not searched for: it
// could be taken for the other.
//
// The names read for a search are kept and asked first the next time. A message
// that they do not have is gone for good, since unique names do not come back;
// only one that has moved again since makes it read them again. So the number
// of searches follows the renames of others, not the number of messages missed.
func (m *Mailbox) follow(ctx context.Context, e *entry, op func(place) error) error {
	err := op(e.place)
	if !isGone(err) {
		return err
	}
	if e.shared {
		return ErrGone
	}
	if m.moved != nil {
		hits := find(m.moved, e.key)
		if len(hits) == 0 {
			return ErrGone
		}
		for _, c := range hits {
			if err := op(c.place); !isGone(err) {
				e.place = c.place
				return err
			}
		}
	}
	return m.search(ctx, e, op)
}

// search reads the names anew. It calls op as soon as it comes upon e, since a
// program that renames without pause would have moved it by the end.
func (m *Mailbox) search(ctx context.Context, e *entry, op func(place) error) error {
	result := error(ErrGone)
	var names []place
	err := m.dirs.read(ctx, func(p place) bool {
		names = append(names, p)
		if result == ErrGone && uniqueName(p.name) == e.unique {
			if err := op(p); !isGone(err) {
				e.place, result = p, err
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	m.moved = arrange(names)
	return result
}
