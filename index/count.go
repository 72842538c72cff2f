package index

import (
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// together is how many messages are counted in one go by one goroutine, and saved
// at once.
const together = 64

// counted is what came of a candidate.
type counted struct {
	entry *entry // nil: see err
	ino   uint64
	mtime int64
	err   error // gone, or why it is skipped
}

// count opens and measures candidates and adds those that are messages. It
// fails only where going on would hide messages that are there; what has been
// counted by then is added.
func (u *update) count(cs []candidate) error {
	missing := u.lost
	if missing == nil {
		missing = make(map[string]key)
	}
	results := make([]counted, len(cs))
	err := u.measure(cs, results)
	i := 0
	_ = groups(cs, func(g []candidate) error {
		if u.take(g, results[i:i+len(g)]) {
			delete(missing, g[0].unique)
		} else {
			missing[g[0].unique] = g[0].key
		}
		i += len(g)
		return nil
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	return u.search(missing)
}

// measure counts candidates, many of them on all processors. Results that are
// not there, after an error, are zero.
func (u *update) measure(cs []candidate, results []counted) error {
	if len(cs) <= together {
		return u.measureSome(cs, results)
	}
	workers := min(runtime.GOMAXPROCS(0), (len(cs)+together-1)/together)
	u.bulk = true
	u.m.beginSaving()
	defer u.m.beginCounting(len(cs))()
	ctx, cancel := context.WithCancelCause(u.ctx)
	defer cancel(nil)
	some := *u
	some.ctx = ctx
	var next sync.Mutex // guards what follows
	var over error
	from := 0
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for {
				next.Lock()
				start, end := from, min(from+together, len(cs))
				from = end
				next.Unlock()
				if start == end {
					return
				}
				err := some.measureSome(cs[start:end], results[start:end])
				if err == errTurn { // the others finish what they are at
					next.Lock()
					from, over = len(cs), err
					next.Unlock()
				} else if err != nil {
					cancel(err)
				}
				if err != nil {
					return
				}
			}
		})
	}
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return over
}

// measureSome counts candidates one after the other. A few messages need not wait
// for a processor, unless they turn out to be large.
func (u *update) measureSome(cs []candidate, results []counted) error {
	if len(cs) == 0 {
		return nil
	}
	ownNames(cs)
	c := newCounter(u)
	defer c.end()
	if u.bulk {
		defer func() {
			u.m.saveCounted(cs, results)
			u.m.haveCounted(len(cs))
		}()
	}
	for from := 0; from < len(cs); {
		if u.bulk {
			if err := c.pauseInTurn(); err != nil {
				return err
			}
		}
		n, err := c.some(cs[from:], results[from:])
		if err != nil {
			return err
		}
		from += n
		if !u.login && (u.m.wanted.Load() > 0 || u.m.x.turnIsOver(u.begun)) {
			return errTurn
		}
	}
	return nil
}

// take adds what was counted of the names of one unique name. It gives false
// when all of them were gone.
func (u *update) take(g []candidate, results []counted) (found bool) {
	var entries []*entry
	byInode := make(map[uint64]*entry, 1)
	links := make(map[*entry][]place)
	inodes := make(map[*entry]uint64)
	for i, r := range results {
		switch {
		case r.entry != nil:
			found = true
			if first := byInode[r.ino]; first != nil {
				links[first] = append(links[first], g[i].place)
				continue
			}
			byInode[r.ino], inodes[r.entry] = r.entry, r.ino
			u.lookAgain(g[i].place, r.mtime)
			entries = append(entries, r.entry)
		case r.err != nil && !isGone(r.err):
			found = true
			u.skip(g[i].place, r.err)
		case r.err == nil:
			found = true // not counted, after an error
		}
	}
	for i, e := range entries {
		if len(entries) > 1 || len(links[e]) > 0 {
			e.nth = uint8(min(i+1, math.MaxUint8)) // more of them share a substitute's number, not the UIDL
			u.oddities()[e] = oddity{inodes[e], links[e]}
		}
		u.added = append(u.added, e)
		if !u.bulk || e.odd() {
			u.unsaved = append(u.unsaved, e)
		}
	}
	return found
}

// skip reports a file that is not served, once. One that could become readable
// without a change of its directory is tried again at the next login.
func (u *update) skip(p place, err error) {
	passing := errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EIO) || errors.Is(err, io.ErrUnexpectedEOF)
	if passing && len(u.retry) < maxRetry {
		u.retry = append(u.retry, p)
	}
	u.m.tell(p, err.Error())
}

// maxRetry bounds the files that are looked at again at each login: their owner
// could make any number of them unreadable, and much mail may come at once.
const maxRetry = 10_000

// maxSearch is how often the names are read for messages that other programs
// rename all the time. It ends sooner when all are found, or nothing changes.
const maxSearch = 32

// search finds those missing messages that lie elsewhere by now, and removes
// those that do not. One that was known stays, though, while the directories
// change so fast that it may have been passed over: a message too many is
// harmless, one too few is not.
//
// What is found has to be opened at once, and to be measured outside of the
// section: small ones are kept open until there are enough, and then, as after a
// large one, the search begins again for the rest.
func (u *update) search(missing map[string]key) error {
	c := newCounter(u)
	defer c.end()
	for {
		stable, whole, err := u.searchOnce(c, missing)
		if err != nil {
			return err
		}
		if !whole {
			continue
		}
		for _, k := range missing {
			if stable {
				u.remove(same(u.m.list, k)...)
			} else {
				u.unsure = true
			}
		}
		return nil
	}
}

// searchOnce searches until as much is found as can be open at once, which is not
// missing any more then. Otherwise the search was whole.
func (u *update) searchOnce(c *counter, missing map[string]key) (stable, whole bool, err error) {
	var found []candidate
	var results [openAtOnce]counted
	var bytes int64
	var failed error
	whole = true
	visit := func(p place) bool {
		k, ok := missing[uniqueName(p.name)]
		if !ok {
			return true
		}
		if known := same(u.m.list, k); len(known) == 1 && !known[0].odd() {
			delete(missing, k.unique)
			delete(u.removed, known[0])
			u.moveTo(known[0], p)
			return len(missing) > 0
		}
		n := len(found)
		if ok, failed = c.open(n, candidate{k, p}, &results[n]); ok {
			bytes += c.files[n].size
		}
		if failed != nil || isGone(results[n].err) {
			results[n] = counted{}
			return failed == nil
		}
		found = append(found, candidate{k, p})
		delete(missing, k.unique)
		whole = len(found) < openAtOnce && bytes < piece
		return whole && len(missing) > 0
	}
	err = u.m.as(func() (err error) {
		if stable, err = u.dirs.readUpTo(u.ctx, maxSearch, visit); failed != nil {
			err = failed
		}
		return err
	})
	err = c.takeOpened(found, results[:], err)
	return stable, whole || len(missing) == 0, err
}

// takeOpened counts what was opened, and adds it, unless there is an error.
func (c *counter) takeOpened(cs []candidate, results []counted, err error) error {
	ownNames(cs)
	err = c.measureOpened(cs, results, err)
	if err != nil {
		return err
	}
	for i := range cs {
		c.u.take(cs[i:i+1], results[i:i+1])
	}
	return nil
}
