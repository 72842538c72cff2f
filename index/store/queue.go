package store

import (
	"slices"
	"sync"
	"time"
)

// opKind is what the writer is to do.
type opKind uint8

const (
	opUpdate opKind = iota // change a mailbox
	opBegin                // add a record to the journal
	opEnd                  // remove one
	opFlush                // say when everything before is committed
)

// op waits for the writer.
type op struct {
	kind opKind
	Update
	id     uint64 // of a journal record
	record record
	done   chan error // of opBegin and opFlush
}

// weight is what an operation adds to the count of changes. Forgetting costs
// nothing, or it could not make room.
func (o *op) weight() int {
	if o.kind != opUpdate || o.Drop {
		return 0
	}
	return 1 + len(o.Put) + len(o.Delete)
}

// task is what the writer does next.
type task uint8

const (
	idle       task = iota // wait
	commitAll              // commit everything
	commitOnly             // commit only what begins in the journal, since the rest has just failed
	stop                   // end: the store is closed and nothing is left
)

// queue holds, in order, what waits for the writer.
type queue struct {
	count int           // so many changes make a commit
	wake  chan struct{} // tells the writer that something is new

	mu      sync.Mutex
	room    sync.Cond // changes has become smaller, or the disk fails
	ops     []op
	since   time.Time        // the first of ops was added
	kinds   [opFlush + 1]int // how many of each kind are in ops
	changes int              // weight of ops and of what is being committed
	waiting map[string]int   // updates of a mailbox in ops or being committed
	failing bool             // the latest commit failed
	forgot  bool             // mailboxes were forgotten since commits fail
	closed  bool
}

func newQueue(count int) *queue {
	q := &queue{count: count, wake: make(chan struct{}, 1), waiting: make(map[string]int)}
	q.room.L = &q.mu
	return q
}

// push adds an operation. An update that finds far too many changes waits
// until there is room; while the disk fails, mailboxes are forgotten instead,
// and the first time push says how many. It fails when the store is closed.
func (q *queue) push(o op) (forgotten int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := o.weight()
	for w > 0 && q.changes >= backlog*q.count && !q.closed {
		if q.failing {
			if n := q.forget(); !q.forgot {
				forgotten, q.forgot = n, true
			}
			break
		}
		q.room.Wait()
	}
	if q.closed {
		return forgotten, ErrClosed
	}
	if len(q.ops) == 0 {
		q.since = time.Now()
		defer q.signal()
	}
	q.ops = append(q.ops, o)
	q.kinds[o.kind]++
	q.changes += w
	if o.kind == opUpdate {
		q.waiting[o.Mailbox]++
	}
	if o.done != nil || q.changes >= q.count {
		q.signal()
	}
	return forgotten, nil
}

// signal wakes the writer, or lets it go on without waiting the next time.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// forget puts one Drop in the place of all the updates of each mailbox.
func (q *queue) forget() (mailboxes int) {
	seen := make(map[string]bool)
	q.ops = slices.DeleteFunc(q.ops, func(o op) bool {
		if o.kind != opUpdate {
			return false
		}
		q.kinds[o.kind]--
		q.settled(&o)
		seen[o.Mailbox] = true
		return true
	})
	for m := range seen {
		q.ops = append(q.ops, op{Update: Update{Mailbox: m, Drop: true}})
		q.kinds[opUpdate]++
		q.waiting[m]++
	}
	return len(seen)
}

// settled takes an operation out of the counts of what is not committed yet.
func (q *queue) settled(o *op) {
	q.changes -= o.weight()
	if o.kind != opUpdate {
		return
	}
	if q.waiting[o.Mailbox]--; q.waiting[o.Mailbox] == 0 {
		delete(q.waiting, o.Mailbox)
	}
}

// next says what to do at the time now, or how long to wait; negative is until
// woken. retry, unless zero, is when a commit that failed is tried again.
func (q *queue) next(now, retry time.Time, delay time.Duration) (task, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed && len(q.ops) == 0:
		return stop, 0
	case q.closed || q.kinds[opFlush] > 0:
		return commitAll, 0
	case now.Before(retry) && q.kinds[opBegin] > 0:
		return commitOnly, 0
	case now.Before(retry):
		return idle, retry.Sub(now)
	case len(q.ops) == 0:
		return idle, -1
	case q.kinds[opBegin] > 0 || q.changes >= q.count:
		return commitAll, 0
	}
	if wait := q.since.Add(delay).Sub(now); wait > 0 {
		return idle, wait
	}
	return commitAll, 0
}

// take gives what waits, which counts as waiting until settle or putBack.
func (q *queue) take(t task) []op {
	q.mu.Lock()
	defer q.mu.Unlock()
	var taken []op
	if t == commitAll {
		taken, q.ops = q.ops, nil
	} else {
		taken, q.ops = split(q.ops, opBegin)
	}
	for i := range taken {
		q.kinds[taken[i].kind]--
	}
	return taken
}

// settle ends operations that were taken, after a commit that succeeded or, for
// those that somebody waits for, failed.
func (q *queue) settle(ops []op, failing bool) {
	q.mu.Lock()
	for i := range ops {
		q.settled(&ops[i])
	}
	q.failing = failing
	q.forgot = q.forgot && failing
	q.mu.Unlock()
	q.room.Broadcast()
}

// putBack returns operations that were taken to the front of the queue.
func (q *queue) putBack(ops []op) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range ops {
		q.kinds[ops[i].kind]++
	}
	q.ops = append(ops, q.ops...)
}

// abandon gives up what waits, if the store is closed.
func (q *queue) abandon() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		return false
	}
	for _, o := range q.ops {
		if o.done != nil {
			o.done <- ErrClosed
		}
	}
	q.ops = nil
	return true
}

// open fails when the store is closed.
func (q *queue) open() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	return nil
}

// close lets nothing more in. It is true the first time.
func (q *queue) close() bool {
	q.mu.Lock()
	first := !q.closed
	q.closed = true
	q.mu.Unlock()
	q.room.Broadcast()
	q.signal()
	return first
}

// split separates operations of one kind from the others, in order.
func split(ops []op, k opKind) (of, others []op) {
	for _, o := range ops {
		if o.kind == k {
			of = append(of, o)
		} else {
			others = append(others, o)
		}
	}
	return of, others
}
