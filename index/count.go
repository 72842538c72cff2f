package index

import (
	"context"
	"errors"
	"fmt"
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
			if err := c.pause(); err != nil {
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

// counter opens and measures candidates. What it opens it reads outside of a
// section, where it may have to wait.
type counter struct {
	u      *update
	files  [openAtOnce]File
	opened [openAtOnce]bool
	reader reader
	slot   bool // it has one
}

// openAtOnce is how many small messages are opened in one section, which costs
// about as much as opening one.
const openAtOnce = 16

// maxMessage is how large a message may be: larger than any that can have been
// delivered. It bounds the time for which a file with a hole, which costs its owner
// nothing, keeps a processor busy.
const maxMessage = 64 << 30

var errTooLarge = fmt.Errorf("larger than %d bytes", int64(maxMessage))

func newCounter(u *update) *counter {
	c := &counter{u: u}
	c.reader = reader{ctx: u.ctx, pause: c.pause, left: piece, keep: u.m.x.o.XUIDL}
	return c
}

// pause takes a slot, or lets others have it if it is their turn.
func (c *counter) pause() (err error) {
	slots := c.u.m.x.slots
	urgent := c.u.login || c.u.m.wanted.Load() > 0
	if c.slot {
		err = slots.pause(c.u.ctx, urgent)
	} else {
		err = slots.take(c.u.ctx, urgent)
	}
	c.slot = err == nil
	c.reader.left = piece
	return err
}

// end gives the slot back.
func (c *counter) end() {
	if c.slot {
		c.u.m.x.slots.give()
		c.slot = false
	}
}

// some counts the first n candidates: as many as can be open at once, and no more
// after a large one, so that nothing else is open if that has to wait.
func (c *counter) some(cs []candidate, results []counted) (n int, err error) {
	err = c.u.m.as(func() error {
		for bytes := int64(0); n < min(len(cs), openAtOnce) && bytes < piece; n++ {
			ok, err := c.open(n, cs[n], &results[n])
			if err != nil {
				return err
			}
			if ok {
				bytes += c.files[n].size
			}
		}
		return nil
	})
	for i := range n {
		if !c.opened[i] {
			continue
		}
		if err == nil {
			err = c.measure(i, cs[i], &results[i])
		}
		c.files[i].Close()
		c.opened[i] = false
	}
	return n, err
}

// open opens a candidate as file i, in a section. Not ok: the result says why.
func (c *counter) open(i int, cand candidate, result *counted) (ok bool, err error) {
	f := &c.files[i]
	if err := c.u.dirs.open(cand.place, f); err != nil {
		if isShortage(err) {
			return false, fmt.Errorf("open message %s: %w", c.u.dirs.path(cand.place), err)
		}
		if err == unix.EACCES {
			if _, err := c.u.dirs.look(cand.place); err == unix.EACCES {
				return false, fmt.Errorf("read Maildir %s: no permission to search %s: it needs mode x",
					c.u.dirs.dir, folderNames[cand.folder])
			}
		}
		result.err = err
		return false, nil
	}
	if f.size > maxMessage {
		f.Close()
		result.err = errTooLarge
		return false, nil
	}
	c.opened[i] = true
	return true, nil
}

// measure counts what was opened as file i.
func (c *counter) measure(i int, cand candidate, result *counted) error {
	f := &c.files[i]
	c.reader.reset(f)
	octets, err := c.u.m.x.o.Measure(&c.reader)
	if c.u.ctx.Err() != nil {
		return context.Cause(c.u.ctx)
	}
	if err == nil {
		err = c.reader.err
	}
	if err != nil {
		result.err = err
		return nil
	}
	e := newEntry(cand, c.u.m.x.o.Scheme)
	if octets < f.size || octets-f.size > math.MaxUint32 {
		return fmt.Errorf("message %s: %d bytes were measured as %d octets", c.u.dirs.path(cand.place), f.size, octets)
	}
	e.bytes, e.bare = f.size, uint32(octets-f.size)
	if c.reader.keep {
		if id := headerUIDL(c.reader.header); id != "" {
			e.uidl, e.source = id, fromHeader
		}
	}
	result.entry, result.ino, result.mtime = e, f.ino, f.stat.Mtim.Nano()
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
	ownNames(found)
	for i := range found {
		if c.opened[i] {
			if err == nil {
				err = c.measure(i, found[i], &results[i])
			}
			c.files[i].Close()
			c.opened[i] = false
		}
		if err == nil {
			u.take(found[i:i+1], results[i:i+1])
		}
	}
	return stable, whole || len(missing) == 0, err
}

// reader is what Measure reads: the file until the context ends, with a pause
// after each piece. Where asked to, it keeps the beginning.
type reader struct {
	ctx    context.Context
	file   *File
	pause  func() error // sets left; nil: none
	left   int64        // bytes until the next pause, of this file and those that follow
	keep   bool
	header []byte
	err    error // why reading failed, whatever Measure makes of it
}

func (r *reader) reset(f *File) {
	r.file, r.header, r.err = f, r.header[:0], nil
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.left <= 0 && r.pause != nil {
		if err := r.pause(); err != nil {
			return 0, err
		}
	}
	n, err := r.file.Read(p)
	r.left -= int64(n)
	if r.keep {
		r.header = append(r.header, p[:min(n, maxHeader-len(r.header))]...)
	}
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
