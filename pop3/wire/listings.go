package wire

import (
	linked "container/list"
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// Versioned is what a [pop3.Maildrop] of the keeper implements so that its
// listings are handed over whole, made once for all sessions.
type Versioned interface {
	// Version is a number of what the maildrop lists: as long as the process
	// lives, two maildrops of one user that give the same number have the same
	// messages in the same order, with the same sizes and UIDLs. 0: nothing is
	// known of that.
	Version() uint64
}

// listings keeps listings as they are sent to clients, each in a file in memory.
// A session holds those that it has handed over until it ends: what the front
// has open counts, too.
type listings struct {
	limit   int64         // octets of all
	writing chan struct{} // holds a value for each that is being written

	mu     sync.Mutex
	closed bool
	octets int64 // of those that are there
	held   int64 // of those that sessions hold
	byKey  map[listingKey]*listing
	order  linked.List // of *listing, the latest used first
	timer  *time.Timer // runs while there are any
}

// listingKey is what makes two listings the same. With the user in it no mistake
// about versions shows one account's messages to another one.
type listingKey struct {
	user    string
	version uint64
	what    pop3.Listing
}

// listing is there, or being written, or has no room.
type listing struct {
	key     listingKey
	writing sync.Mutex // held by the session that writes it

	// What follows is guarded by listings.mu, but does not change while the
	// listing is there and held.
	fd    int             // -1: it is not there
	size  int64           // octets; 0: not known yet
	holds int             // by sessions
	used  time.Time       // when it was last held
	at    *linked.Element // of listings.order
}

func (l *listings) setUp(limit int64) {
	l.limit = limit
	l.writing = make(chan struct{}, runtime.GOMAXPROCS(0))
	l.byKey = make(map[listingKey]*listing)
}

// hold gives a listing, and has it written if it is not there. Sessions that
// want the same one wait for each other. Nil: there is no room for it. Else the
// caller gives it back with release.
func (l *listings) hold(ctx context.Context, key listingKey, write func(io.Writer) error) (held *listing, err error) {
	e := l.find(key)
	if e == nil {
		return nil, nil
	}
	defer func() {
		if held == nil {
			l.release(e)
		}
	}()
	e.writing.Lock()
	defer e.writing.Unlock()
	there, room := l.look(e)
	switch {
	case there:
		return e, nil
	case !room: // as somebody else has just found out
		return nil, nil
	}
	select {
	case l.writing <- struct{}{}:
		defer func() { <-l.writing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	fd, size, err := sealed("listing", l.limit/largest, write)
	if err != nil && !errors.Is(err, errTooLarge) {
		return nil, err
	}
	if !l.put(e, fd, size) {
		return nil, nil
	}
	return e, nil
}

// find gives the entry of a key with one hold more. Nil: there is no room.
func (l *listings) find(key listingKey) *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byKey[key]
	switch {
	case l.closed:
		return nil
	case e != nil && e.fd < 0 && !l.fits(e.size):
		return nil
	case e == nil && len(l.byKey) >= maxListings && !l.dropOldest():
		return nil
	case e == nil:
		e = &listing{key: key, fd: -1}
		e.at = l.order.PushFront(e)
		l.byKey[key] = e
		if l.timer == nil {
			l.timer = time.AfterFunc(listingWait, l.expire)
		}
	}
	l.order.MoveToFront(e.at)
	l.take(e)
	return e
}

// take adds a hold of an entry.
func (l *listings) take(e *listing) {
	if e.holds++; e.holds == 1 && e.fd >= 0 {
		l.held += e.size
	}
}

// ready gives a listing that is there, as hold does, and nil where it would have
// to be written.
func (l *listings) ready(key listingKey) *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byKey[key]
	if l.closed || e == nil || e.fd < 0 {
		return nil
	}
	l.order.MoveToFront(e.at)
	l.take(e)
	return e
}

// fits says whether there is room for size more octets, once all that is not
// held is dropped.
func (l *listings) fits(size int64) bool { return size <= l.limit/largest && l.held+size <= l.limit }

func (l *listings) look(e *listing) (there, room bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return e.fd >= 0, l.fits(e.size)
}

// put adds the file of an entry that is held. False: there is no room. The file
// is closed then; if size is too large there is none.
func (l *listings) put(e *listing, fd int, size int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.size = size
	if l.closed || !l.fits(size) {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return false
	}
	e.fd = fd
	l.octets += size
	l.held += size
	for l.octets > l.limit && l.dropOldest() {
	}
	return true
}

func (l *listings) release(e *listing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.used = time.Now()
	if e.holds--; e.holds > 0 {
		return
	}
	if e.fd >= 0 {
		l.held -= e.size
	}
	if l.closed {
		l.drop(e)
	}
}

// dropOldest drops the entry that was not used for the longest time, of those
// that are not held, and says whether there was one.
func (l *listings) dropOldest() bool {
	for at := l.order.Back(); at != nil; at = at.Prev() {
		if e := at.Value.(*listing); e.holds == 0 {
			l.drop(e)
			return true
		}
	}
	return false
}

func (l *listings) drop(e *listing) {
	l.order.Remove(e.at)
	delete(l.byKey, e.key)
	if e.fd >= 0 {
		_ = unix.Close(e.fd)
		l.octets -= e.size
	}
}

// expire drops what was not used for some time, and comes back if anything is left.
func (l *listings) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropUnused(time.Now().Add(-listingWait))
	if l.timer = nil; l.order.Len() > 0 {
		l.timer = time.AfterFunc(listingWait, l.expire)
	}
}

// dropUnused drops what nobody holds, nor has held since then.
func (l *listings) dropUnused(since time.Time) {
	for at := l.order.Back(); at != nil; {
		e := at.Value.(*listing)
		at = at.Prev()
		if e.holds == 0 && !e.used.After(since) {
			l.drop(e)
		}
	}
}

// close drops everything, what is held when it is given back.
func (l *listings) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.dropUnused(time.Now())
	if l.timer != nil {
		l.timer.Stop()
	}
}
