package index

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// mailbox is what is known of one Maildir, for all its sessions. It exists while
// it is in use; what has to outlive that is in the store.
type mailbox struct {
	x    *Index
	path string

	// busy holds a value while the mailbox is brought up to date, reading and
	// counting included: whoever put it there has what follows to itself. Lists
	// are never changed in place, so that sessions need no lock for theirs.
	busy     chan struct{}
	loaded   bool // the store has been asked
	stored   bool // the store has it
	user     string
	list     []*entry // in order of delivery
	served   []*entry // in the order of sessions; the same as list where order is orderDelivery
	order    order
	renamed  map[*entry]string // UIDLs of those that could not have the one they claim
	odd      map[*entry]oddity
	octets   int64
	retry    []place            // not readable, or perhaps not complete: that passes without a trace
	reported map[place]struct{} // what is skipped
	away     away               // what lists name beside
	proof    proof              // what the list is right for, if proven
	proven   bool               // false as well when the proof is too recent to tell a later change
	watched  [folders]stamp     // the directories whose watch has been added, zero: none
	epoch    uint64             // Index.epoch at the latest reading

	// places guards where the entries' files are. It is held for moments.
	places    sync.RWMutex
	relocated []*entry // where that has changed since the store was told

	// events guards what the watch has told and nobody has dealt with.
	events  sync.Mutex
	touched []place
	flooded bool // too much was touched to keep
	lost    bool // a watch ended
	queued  bool // for the workers

	refs     int       // sessions and others at work; guarded by Index.mu
	lastUsed time.Time // when refs became 0; guarded by Index.mu

	counting counting
}

// oddity is what has to be known of a message that shares its unique name with
// other files.
type oddity struct {
	ino   uint64
	links []place // further names of the same file
}

// maxTouched is how many touched names are kept one by one; reading all names
// costs less than more of them.
const maxTouched = 5000

// lock waits until nobody else is at work on the mailbox.
func (m *mailbox) lock(ctx context.Context) error {
	select {
	case m.busy <- struct{}{}:
		return nil
	default:
	}
	select {
	case m.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("open Maildir %s: given up waiting while it is being read: %w", m.path, context.Cause(ctx))
	}
}

func (m *mailbox) tryLock() bool {
	select {
	case m.busy <- struct{}{}:
		return true
	default:
		return false
	}
}

// unlock lets others at work. What was touched meanwhile is left to the workers.
func (m *mailbox) unlock() {
	<-m.busy
	m.events.Lock()
	more := len(m.touched) > 0 || m.lost
	m.events.Unlock()
	if more {
		m.x.enqueue(m)
	}
}

// refresh makes the list that of the Maildir as it is now. Whatever was complete
// before the call is in it; for a login, also what was not complete when it was
// looked at before. The caller holds the mailbox, by lock.
func (m *mailbox) refresh(ctx context.Context, user string, login bool) error {
	if !m.loaded {
		m.load()
		m.loaded = true
	}
	now := time.Now()
	p, err := proofAt(m.path)
	if err == nil && m.proven && p == m.proof && len(m.retry) == 0 && m.quiet() && (user == "" || user == m.user) {
		return nil
	}
	if user != "" {
		m.user = user
	}
	d, err := openDirs(m.path)
	if err != nil || d == nil {
		m.distrust()
		if err == nil {
			m.becomeEmpty()
		}
		return err
	}
	defer d.close()
	if p, err = d.proof(); err != nil {
		m.distrust()
		return readError(m.path, err)
	}
	m.proven = false
	u := &update{ctx: ctx, m: m, dirs: d, now: p, login: login}
	if touched, ok := m.synced(ctx, &p); ok {
		err = u.names(touched)
	} else if p, err = m.watchAnew(d); err == nil {
		u.now = p
		err = u.everything()
	}
	u.install()
	if err == nil && (p.lists != m.proof.lists || m.away.mayName(u.added)) {
		err = u.relist()
	}
	if err != nil {
		p.lists = m.proof.lists // they have not been applied
	}
	if err != nil || u.unsure {
		m.distrust()
	}
	m.proof, m.proven = p, err == nil && !u.unsure && p.settled(now)
	m.save(u)
	return err
}

// quiet says that the watch has told nothing that nobody has dealt with.
func (m *mailbox) quiet() bool {
	m.events.Lock()
	defer m.events.Unlock()
	return len(m.touched) == 0 && !m.lost
}

// distrust makes the next refresh read everything.
func (m *mailbox) distrust() {
	m.proven, m.watched = false, [folders]stamp{}
	m.events.Lock()
	defer m.events.Unlock()
	m.touched, m.flooded, m.lost = nil, false, false
}

// synced gives what was touched in the directories of the proof since the list
// was last right, if the watch can prove that this is all.
func (m *mailbox) synced(ctx context.Context, p *proof) (touched []place, ok bool) {
	x := m.x
	if x.watch == nil || m.epoch != x.epoch.Load() {
		return nil, false
	}
	for f := range folders {
		if p.dirs[f] == (stamp{}) || !p.dirs[f].is(m.watched[f]) {
			return nil, false
		}
	}
	if _, still := x.watchDirs(m.path); !still {
		return nil, false
	}
	return m.told(ctx)
}

// told gives what was touched, to the knowledge of the watch, up to now; not ok
// if it can't be all.
func (m *mailbox) told(ctx context.Context) (touched []place, ok bool) {
	x := m.x
	if x.watch.Sync(ctx) != nil || m.epoch != x.epoch.Load() {
		return nil, false
	}
	m.events.Lock()
	defer m.events.Unlock()
	if m.lost || m.flooded {
		return nil, false
	}
	return m.take(), true
}

// take gives what the watch has told, each name once. It is called with events
// held.
func (m *mailbox) take() []place {
	touched := m.touched
	m.touched, m.flooded = nil, false
	slices.SortFunc(touched, func(a, b place) int { return comparePlaces(&a, &b) })
	return slices.Compact(touched)
}

// watchAnew makes sure that the directories are watched, before everything in
// them is read, and takes their proof. What was told before is not needed then.
func (m *mailbox) watchAnew(d *dirs) (proof, error) {
	m.epoch = m.x.epoch.Load()
	m.events.Lock()
	m.lost = false
	m.take()
	m.events.Unlock()
	m.watched = [folders]stamp{}
	watching, _ := m.x.watchDirs(m.path)
	p, err := d.proof()
	if err != nil {
		return p, readError(m.path, err)
	}
	if watching {
		m.watched = p.dirs
	}
	return p, nil
}

// snapshot is a session's view of the mailbox. The caller holds it.
func (m *mailbox) snapshot() *Mailbox {
	return &Mailbox{m: m, list: m.served, renamed: m.renamed, odd: m.odd, octets: m.octets}
}

// place is where an entry's file is, as far as is known.
func (m *mailbox) place(e *entry) place {
	m.places.RLock()
	defer m.places.RUnlock()
	return e.place()
}

func (m *mailbox) setPlace(e *entry, p place) {
	m.places.Lock()
	defer m.places.Unlock()
	e.setPlace(p)
	if m.x.store != nil {
		m.relocated = append(m.relocated, e)
	}
}

func (m *mailbox) becomeEmpty() {
	if m.stored {
		m.x.drop(m.path)
	}
	m.setList(nil)
	m.proof, m.stored = proof{}, false
}

// setList replaces the entries by others, in order of delivery, with nothing
// known beyond them.
func (m *mailbox) setList(list []*entry) {
	m.list, m.served, m.order = list, list, orderDelivery
	m.renamed, m.odd, m.retry, m.reported = nil, nil, nil, nil
	m.away = away{}
	m.octets = 0
	for _, e := range list {
		m.octets += e.octets()
	}
}

// tell reports a file that is not served, once while the mailbox is in use.
func (m *mailbox) tell(p place, reason string) {
	if _, told := m.reported[p]; told || len(m.reported) >= maxReported {
		return
	}
	if m.reported == nil {
		m.reported = make(map[place]struct{})
	}
	m.reported[p] = struct{}{}
	m.x.o.Events.Skipped(m.path+"/"+folderNames[p.folder]+"/"+p.name, reason)
}

// maxReported bounds the files that are told of, and remembered, for each mailbox:
// their owner can make any number of them.
const maxReported = 100
