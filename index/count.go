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

// together is how many messages are counted in one go by one processor: it
// takes some milliseconds, and then another mailbox may have the processor.
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
	var next sync.Mutex
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
				if err := some.measureSome(cs[start:end], results[start:end]); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// measureSome counts candidates one after the other, on a processor of its own.
func (u *update) measureSome(cs []candidate, results []counted) error {
	if len(cs) == 0 {
		return nil
	}
	x := u.m.x
	if u.bulk { // a few messages need not wait for a processor
		select {
		case x.processors <- struct{}{}:
			defer func() { <-x.processors }()
		case <-u.ctx.Done():
			return context.Cause(u.ctx)
		}
	}
	ownNames(cs)
	c := counter{u: u}
	c.reader = reader{ctx: u.ctx, file: &c.file, keep: x.o.XUIDL}
	err := u.m.as(func() error {
		for i := range cs {
			if err := c.one(cs[i], &results[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if u.bulk {
		u.m.saveCounted(cs, results)
		u.m.haveCounted(len(cs))
	}
	return nil
}

// counter opens and measures candidates.
type counter struct {
	u      *update
	file   File
	reader reader
}

// one counts one candidate.
func (c *counter) one(cand candidate, result *counted) error {
	path := func() string { return c.u.dirs.path(cand.place) }
	if err := c.u.dirs.open(cand.place, &c.file); err != nil {
		if isShortage(err) {
			return fmt.Errorf("open message %s: %w", path(), err)
		}
		if err == unix.EACCES {
			if _, err := c.u.dirs.look(cand.place); err == unix.EACCES {
				return fmt.Errorf("read Maildir %s: no permission to search %s: it needs mode x",
					c.u.dirs.dir, folderNames[cand.folder])
			}
		}
		result.err = err
		return nil
	}
	defer c.file.Close()
	c.reader.reset()
	octets, err := c.u.m.x.o.Measure(&c.reader)
	if err := c.u.ctx.Err(); err != nil {
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
	if octets < c.file.size || octets-c.file.size > math.MaxUint32 {
		return fmt.Errorf("message %s: %d bytes were measured as %d octets", path(), c.file.size, octets)
	}
	e.bytes, e.bare = c.file.size, uint32(octets-c.file.size)
	if c.reader.keep {
		if id := headerUIDL(c.reader.header); id != "" {
			e.uidl, e.source = id, fromHeader
		}
	}
	result.entry, result.ino, result.mtime = e, c.file.ino, c.file.stat.Mtim.Nano()
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
func (u *update) search(missing map[string]key) error {
	c := counter{u: u}
	c.reader = reader{ctx: u.ctx, file: &c.file, keep: u.m.x.o.XUIDL}
	var stable bool
	var failed error
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
		var r counted
		cs := []candidate{{k, p}}
		ownNames(cs)
		if failed = c.one(cs[0], &r); failed == nil && u.take(cs, []counted{r}) {
			delete(missing, k.unique)
		}
		return failed == nil && len(missing) > 0
	}
	err := u.m.as(func() (err error) {
		if stable, err = u.dirs.readUpTo(u.ctx, maxSearch, visit); failed != nil {
			err = failed
		}
		return err
	})
	if err != nil {
		return err
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

// reader is what Measure reads: the file until the context ends. Where asked
// to, it keeps the beginning.
type reader struct {
	ctx    context.Context
	file   *File
	keep   bool
	header []byte
	err    error // why reading failed, whatever Measure makes of it
}

func (r *reader) reset() {
	r.header, r.err = r.header[:0], nil
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.file.Read(p)
	if r.keep {
		r.header = append(r.header, p[:min(n, maxHeader-len(r.header))]...)
	}
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
