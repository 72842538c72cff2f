package index

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Info is what an operator sees of a mailbox.
type Info struct {
	Path     string
	User     string // of the latest login; empty before the first
	Messages int
	Octets   int64
	Current  bool // the latest look at the Maildir holds, or did when it was out of use
	InUse    bool // in memory
	Watched  bool
	Done     int // of Total messages that are being counted; Total is 0 otherwise
	Total    int
}

// List gives all mailboxes that the index knows, by path. It does not look at
// the Maildirs.
func (x *Index) List() ([]Info, error) {
	all := make(map[string]Info)
	if x.store != nil {
		err := x.store.Mailboxes(func(path string, b []byte) error {
			i := Info{Path: path}
			if h, err := decodeHeader(b); err == nil {
				i.User, i.Messages, i.Octets, i.Current = h.user, h.messages, h.octets, h.proven
			}
			all[path] = i
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	x.mu.Lock()
	inUse := slices.Collect(maps.Values(x.mailboxes))
	x.mu.Unlock()
	for _, m := range inUse {
		i, known := all[m.path]
		i.Path, i.InUse = m.path, true
		if i.Total = int(m.counting.total.Load()); i.Total > 0 {
			i.Done, known = int(m.counting.done.Load()), true
		}
		if m.tryLock() {
			if known = m.proof != (proof{}); known { // else there is no Maildir
				i.User, i.Messages, i.Octets, i.Current = m.user, len(m.list), m.octets, m.proven
				i.Watched = m.watched != [folders]stamp{}
			}
			m.unlock()
		}
		if known {
			all[m.path] = i
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b Info) int { return strings.Compare(a.Path, b.Path) }), nil
}

// InUse gives how many mailboxes are in memory, and how many folders are watched,
// two for each mailbox. It answers at once, unless the index hangs.
func (x *Index) InUse() (mailboxes, folders int) {
	if x.watch != nil {
		folders = x.watch.Len()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.mailboxes), folders
}

// Difference is something that the index said of a mailbox and is not true.
type Difference struct {
	Name string // of the file
	What string
}

// ErrChanging says that a Maildir changed so much that it could not be verified.
var ErrChanging = errors.New("the Maildir changes all the time: try again when less mail arrives")

// verifyTries is how often a verification begins again because of a change.
const verifyTries = 3

// Verify compares what a login would see with what reading all of the Maildir
// gives, contents included, and repairs what differs. progress is told how far
// it is.
func (x *Index) Verify(ctx context.Context, path string, owner Owner, progress func(done, total int)) ([]Difference, error) {
	o := owner.ordered()
	m, err := x.claim(path, "", o)
	if err != nil {
		return nil, err
	}
	defer x.leave(m)
	for range verifyTries {
		// Read first and without the mailbox: logins go on meanwhile.
		fresh := x.shadow(progress).newMailbox(path)
		fresh.owner = o
		if err := fresh.refresh(ctx, "", true); err != nil {
			return nil, err
		}
		if fresh.proof != (proof{}) && !fresh.proven || !fresh.unchanged(fresh.proof) {
			time.Sleep(clockGrain) // so that the next proof can tell a later change
			continue
		}
		differences, same, err := m.compare(ctx, fresh)
		if err != nil || same {
			return differences, err
		}
	}
	return nil, ErrChanging
}

// unchanged says that the directories are as they were when the proof was taken,
// and so were when they were read since.
func (m *mailbox) unchanged(was proof) bool {
	for range 2 { // a clock that was set back is not waited for
		var p proof
		err := m.as(func() (err error) {
			p, err = m.x.proofAt(m.path)
			return err
		})
		if err != nil || p != was {
			return false
		}
		if p.settled(time.Now()) {
			break
		}
		time.Sleep(clockGrain)
	}
	return true
}

// compare says in what a mailbox differs from a fresh one, and mends it, if both
// are of the same state of the Maildir.
func (m *mailbox) compare(ctx context.Context, fresh *mailbox) (differences []Difference, same bool, err error) {
	if err := m.lock(ctx); err != nil {
		return nil, false, err
	}
	defer m.unlock()
	if err := m.belongTo(fresh.owner); err != nil {
		return nil, false, err
	}
	if err := m.refresh(ctx, "", true); err != nil || !m.unchanged(fresh.proof) {
		return nil, false, err
	}
	if differences = m.differences(fresh); len(differences) > 0 {
		m.replace(fresh)
		for _, d := range differences {
			m.x.o.Events.Repaired(m.path+": "+d.Name, d.What)
		}
	}
	return differences, true, nil
}

// Rebuild forgets what is known of a mailbox and counts it anew.
func (x *Index) Rebuild(ctx context.Context, path string, owner Owner, progress func(done, total int)) (messages int, err error) {
	o := owner.ordered()
	m, err := x.claim(path, "", o)
	if err != nil {
		return 0, err
	}
	defer x.leave(m)
	fresh := x.shadow(progress).newMailbox(path)
	fresh.owner = o
	if err := fresh.refresh(ctx, "", true); err != nil {
		return 0, err
	}
	if err := m.lock(ctx); err != nil {
		return 0, err
	}
	defer m.unlock()
	if err := m.belongTo(o); err != nil {
		return 0, err
	}
	if fresh.proof == (proof{}) {
		m.becomeEmpty()
		return 0, nil
	}
	m.replace(fresh)
	return len(m.list), nil
}

// shadow is an index that knows nothing and remembers nothing.
func (x *Index) shadow(progress func(done, total int)) *Index {
	s := &Index{o: x.o, slots: x.slots, ctx: x.ctx, mailboxes: make(map[string]*mailbox)}
	s.o.Events = progressOnly{progress: progress}
	return s
}

type progressOnly struct {
	silent
	progress func(done, total int)
}

func (p progressOnly) Counting(_ string, done, total int) { p.progress(done, total) }

// replace takes the lists of another mailbox of the same path.
func (m *mailbox) replace(fresh *mailbox) {
	user := m.user
	m.setList(fresh.list)
	m.serve(fresh.served, fresh.renamed)
	m.order, m.odd = fresh.order, fresh.odd
	m.retry, m.away = fresh.retry, fresh.away
	m.proof = fresh.proof
	m.distrust() // what the watch has told meanwhile went into the old list
	m.user = user
	m.stored = false
	m.save(&update{m: m})
}

// differences says in what the mailbox is not as a fresh one.
func (m *mailbox) differences(fresh *mailbox) (all []Difference) {
	note := func(e *entry, format string, args ...any) {
		all = append(all, Difference{e.place().name, fmt.Sprintf(format, args...)})
	}
	uidl := func(m *mailbox, e *entry) string {
		if other, ok := m.renamed[e]; ok {
			return other
		}
		return e.claim()
	}
	was, is := m.list, fresh.list
	for len(was) > 0 || len(is) > 0 {
		c := 0
		switch {
		case len(was) == 0:
			c = 1
		case len(is) == 0:
			c = -1
		default:
			c = compareEntries(was[0], is[0])
		}
		switch {
		case c < 0:
			note(was[0], "in the index, but not in the Maildir")
			was = was[1:]
			continue
		case c > 0:
			note(is[0], "in the Maildir, but not in the index")
			is = is[1:]
			continue
		}
		a, b := was[0], is[0]
		if a.bytes != b.bytes || a.bare != b.bare {
			note(b, "%d bytes and %d octets in the index, %d and %d in the Maildir", a.bytes, a.octets(), b.bytes, b.octets())
		}
		if au, bu := uidl(m, a), uidl(fresh, b); au != bu {
			note(b, "UIDL %s in the index, should be %s", au, bu)
		}
		was, is = was[1:], is[1:]
	}
	if len(all) == 0 && !slices.EqualFunc(m.served, fresh.served, func(a, b *entry) bool { return a.unique == b.unique && a.nth == b.nth }) {
		all = append(all, Difference{"", "the order of messages in the index is another one"})
	}
	return all
}

// repair forgets what is known of a message whose file has another size now, so
// that it is counted again.
func (x *Index) repair(m *mailbox, e *entry, size int64) {
	p := m.place(e)
	x.o.Events.Repaired(m.path+"/"+folderNames[p.folder]+"/"+p.name,
		fmt.Sprintf("it had %d bytes when it was counted, and has %d now", e.bytes, size))
	x.tasks.Go(func() {
		m.forget([]*entry{e})
		m.events.Lock()
		m.touched = append(m.touched, p)
		m.events.Unlock()
	})
}
