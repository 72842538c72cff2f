package index

import (
	"sync/atomic"
	"time"
)

// tellEvery is how often a long count is told of.
const tellEvery = time.Second

// counting is how far the count of a mailbox is.
type counting struct {
	done, total atomic.Int64 // total is 0 while nothing is counted
	told        atomic.Int64 // when it was told of, in nanoseconds since 1970
}

// beginCounting begins the count of so many messages. The result ends it.
func (m *mailbox) beginCounting(total int) (end func()) {
	c := &m.counting
	c.done.Store(0)
	c.total.Store(int64(total))
	c.told.Store(time.Now().UnixNano())
	return func() { c.total.Store(0) }
}

// haveCounted notes that so many messages more are counted, and tells of it from
// time to time.
func (m *mailbox) haveCounted(n int) {
	c := &m.counting
	done := c.done.Add(int64(n))
	last, now := c.told.Load(), time.Now().UnixNano()
	if now-last >= int64(tellEvery) && c.told.CompareAndSwap(last, now) {
		m.x.o.Events.Counting(m.path, int(done), int(c.total.Load()))
	}
}
