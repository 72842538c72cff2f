package index

import "sidepop/index/store"

// Stats is what an index has counted.
type Stats struct {
	Store   store.Stats // zero without a state folder
	Active  int         // mailboxes in memory: see Options.Keep
	Entries int64       // messages of these
	Watched int         // directories; a mailbox has two
	Rescans uint64      // times that all names of a Maildir were read, since New
}

// Stats looks at no Maildir, and waits for none. It costs some nanoseconds for each
// mailbox in memory.
func (x *Index) Stats() Stats {
	s := Stats{Rescans: x.rescans.Load()}
	if x.store != nil {
		s.Store = x.store.Stats()
	}
	if x.watch != nil {
		s.Watched = x.watch.Len()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s.Active = len(x.mailboxes)
	for _, m := range x.mailboxes {
		s.Entries += m.entries.Load()
	}
	return s
}
