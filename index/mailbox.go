package index

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
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
	loaded   bool   // the store has been asked
	stored   bool   // the store has it
	owner    *Owner // nil: nobody has told
	user     string
	list     []*entry // in order of delivery
	served   []*entry // in the order of sessions, set by serve; the same as list where order is orderDelivery
	order    order
	renamed  map[*entry]string // UIDLs of those that could not have the one they claim
	version  uint64            // of served and renamed
	entries  atomic.Int64      // how many served has, for Stats
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
	sessions int       // guarded by Index.mu
	claimed  *Owner    // by the latest session; guarded by Index.mu
	lastUsed time.Time // when refs became 0; guarded by Index.mu

	counting counting
	wanted   atomic.Int32 // how many wait for busy
	halfway  bool         // the latest refresh was given up: the workers go on
	news     []skipped    // to be told at the end of a refresh, outside of any section
}

// skipped is something that is not served, or not used.
type skipped struct{ path, reason string }

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
	m.wanted.Add(1)
	defer m.wanted.Add(-1)
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

// unlock lets others at work. What was touched meanwhile is left to the workers, and
// so is what was given up.
func (m *mailbox) unlock() {
	more := m.halfway
	<-m.busy
	m.events.Lock()
	more = more || len(m.touched) > 0 || m.lost
	m.events.Unlock()
	if more {
		m.x.enqueue(m)
	}
}

// snapshot is a session's view of the mailbox. The caller holds it.
func (m *mailbox) snapshot() *Mailbox {
	return &Mailbox{m: m, owner: m.owner, list: m.served, renamed: m.renamed, version: m.version, odd: m.odd, octets: m.octets}
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

// serve makes others of the lists that sessions get from now on.
func (m *mailbox) serve(served []*entry, renamed map[*entry]string) {
	m.served, m.renamed, m.version = served, renamed, versions.Add(1)
	m.entries.Store(int64(len(served)))
}

// versions is the number of the latest lists of any mailbox. None is used again.
var versions atomic.Uint64

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
	m.list, m.order = list, orderDelivery
	m.serve(list, nil)
	m.odd, m.retry, m.reported = nil, nil, nil
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
	m.skip(m.path+"/"+folderNames[p.folder]+"/"+p.name, reason)
}

// skip has something told that is not served, or not used.
func (m *mailbox) skip(path, reason string) { m.news = append(m.news, skipped{path, reason}) }

func (m *mailbox) tellNews() {
	for _, s := range m.news {
		m.x.o.Events.Skipped(s.path, s.reason)
	}
	m.news = nil
}

// maxReported bounds the files that are told of, and remembered, for each mailbox:
// their owner can make any number of them.
const maxReported = 100
