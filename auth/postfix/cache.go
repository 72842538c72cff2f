package postfix

import (
	"sync"
	"time"

	"sidepop/auth/internal/version"
)

const (
	// maxEntries and maxValue (in bytes) limit the cache, to about 10 MB in
	// ordinary use. A mailbox takes up to three entries, and as many again for
	// the forms of its address that are not in the tables.
	maxEntries = 10_000
	maxValue   = 4 << 10
)

type entryID struct {
	dict dictID
	key  string
}

// entry is what postmap said.
type entry struct {
	value   string
	found   bool
	err     error
	version version.Version // of the table's files before postmap ran
	until   time.Time
}

// cache holds answers. When it is full, anyone gives way: a client that asks for
// names that there are not cannot drive out all the others.
type cache struct {
	mu      sync.Mutex
	entries map[entryID]entry
}

func (c *cache) get(id entryID, v version.Version, now time.Time) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[id]
	if !ok {
		return entry{}, false
	}
	if e.version != v || !now.Before(e.until) {
		delete(c.entries, id)
		return entry{}, false
	}
	return e, true
}

func (c *cache) put(id entryID, e entry) {
	if len(e.value) > maxValue {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = make(map[entryID]entry)
	}
	if _, there := c.entries[id]; !there && len(c.entries) >= maxEntries {
		for other := range c.entries { // in random order
			delete(c.entries, other)
			break
		}
	}
	c.entries[id] = e
}
