package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
)

// Owner is the user that the files of a Maildir belong to. Whatever is done with
// them is done with that user's rights, by [Options.As].
type Owner struct {
	UID, GID uint32
	Groups   []uint32 // supplementary ones
}

// ErrOwner says that a Maildir is in use as another user's: who reads it must not
// depend on who came first.
var ErrOwner = errors.New("a Maildir has one owner")

// ProcessOwner is the user that this process runs as: the owner of everything
// where [Options].As is nil.
func ProcessOwner() Owner {
	o := Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	groups, _ := os.Getgroups() // without them fewer files can be read, at worst
	for _, g := range groups {
		o.Groups = append(o.Groups, uint32(g))
	}
	return o
}

// ordered is the owner with groups that can be compared.
func (o Owner) ordered() *Owner {
	o.Groups = slices.Clone(o.Groups)
	slices.Sort(o.Groups)
	o.Groups = slices.Compact(o.Groups)
	return &o
}

func (o *Owner) equal(p *Owner) bool {
	return o.UID == p.UID && o.GID == p.GID && slices.Equal(o.Groups, p.Groups)
}

// as runs f in a section: with the rights of an owner, on the calling goroutine.
// All system calls on a Maildir are in one, and no others: with these rights the
// state folder can't be reached, and must not be. Sections are not nested. No
// lock of a mailbox, no disk but the owner's and no client is waited for in one,
// since it keeps a thread. Events are told outside.
func (x *Index) as(o *Owner, f func() error) error {
	if x.o.As == nil {
		return f()
	}
	return x.o.As(*o, f)
}

func (m *mailbox) as(f func() error) error { return m.x.as(m.owner, f) }

// openDirs opens a Maildir. It is called in a section.
func (x *Index) openDirs(path string) (*dirs, error) {
	return openDirs(path, x.o.As != nil, &x.haste)
}

// proofAt takes the proof of a Maildir. It is called in a section.
func (x *Index) proofAt(path string) (proof, error) { return proofAt(path, x.o.As != nil) }

// claim gives the mailbox of a path for a session of its owner, with no removal
// left unfinished, if that can be. It has to be left. The owner's groups are
// ordered. It fails when there are sessions of another user.
func (x *Index) claim(path, user string, owner *Owner) (*mailbox, error) {
	m := x.use(path)
	x.mu.Lock()
	if m.sessions > 0 && m.claimed.UID != owner.UID {
		is := m.claimed.UID
		x.mu.Unlock()
		x.release(m)
		who := "the caller"
		if user != "" {
			who = fmt.Sprintf("account %q", user)
		}
		return nil, fmt.Errorf("open Maildir %s: %w: it is served as user id %d, and %s has user id %d", path, ErrOwner, is, who, owner.UID)
	}
	m.sessions++
	m.claimed = owner
	left := len(x.unfinished[path]) > 0
	x.mu.Unlock()
	if left {
		x.finishRemovalsOf(path)
	}
	return m, nil
}

// leave ends a session's claim.
func (x *Index) leave(m *mailbox) {
	x.mu.Lock()
	m.sessions--
	x.mu.Unlock()
	x.release(m)
}

// belongTo makes an owner, whose groups are ordered, the mailbox's. Another
// user's mailbox is not taken over as it is: what he could read decided what is
// in it. Who may not read it takes nothing over. The caller holds the mailbox.
func (m *mailbox) belongTo(o *Owner) error {
	m.ready()
	if m.owner != nil && m.owner.equal(o) {
		return nil
	}
	if m.owner != nil && m.owner.UID != o.UID {
		err := m.x.as(o, func() error {
			d, err := m.x.openDirs(m.path)
			if d != nil {
				d.close()
			}
			return err
		})
		if err != nil {
			return err
		}
		m.becomeEmpty()
	}
	m.distrust() // other groups may read more
	m.owner = o
	return nil
}

// Owner gives whose a mailbox is that the index knows.
func (x *Index) Owner(path string) (o Owner, ok bool) {
	x.mu.Lock()
	m := x.mailboxes[path]
	if m != nil && m.claimed != nil {
		defer x.mu.Unlock()
		return *m.claimed, true
	}
	x.mu.Unlock()
	if x.store == nil {
		return o, false
	}
	b, err := x.store.Header(path)
	if err != nil || b == nil {
		return o, false
	}
	h, err := decodeHeader(b)
	if err != nil {
		return o, false
	}
	return *h.owner, true
}

func appendOwner(b []byte, o *Owner) []byte {
	for _, n := range []uint32{o.UID, o.GID, uint32(len(o.Groups))} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, g := range o.Groups {
		b = binary.AppendUvarint(b, uint64(g))
	}
	return b
}

func (d *decoder) owner() *Owner {
	id := func() uint32 {
		n := d.number()
		d.bad = d.bad || n > math.MaxUint32
		return uint32(n)
	}
	o := &Owner{UID: id(), GID: id()}
	for n := d.number(); n > 0 && !d.bad; n-- {
		o.Groups = append(o.Groups, id())
	}
	return o
}
