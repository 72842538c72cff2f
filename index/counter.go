package index

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// counter opens and measures candidates. What it opens it reads outside of a
// section, where it may have to wait.
type counter struct {
	u      *update
	files  [openAtOnce]File
	opened [openAtOnce]bool
	reader reader
	slot   bool      // it has one
	turn   time.Time // when it came to have it, or to go on
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
	c.reader.left, c.turn = piece, time.Now()
	return err
}

// pauseInTurn is pause if the turn is over. Otherwise each few small messages would
// wait for a piece of everybody else's large ones.
func (c *counter) pauseInTurn() error {
	if c.slot && c.reader.left > 0 && time.Since(c.turn) < turnTime {
		return nil
	}
	return c.pause()
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
	return n, c.measureOpened(cs[:n], results, err)
}

// measureOpened counts those candidates that were opened, and closes all. It counts
// none after an error, which it gives back.
func (c *counter) measureOpened(cs []candidate, results []counted, err error) error {
	for i := range cs {
		if !c.opened[i] {
			continue
		}
		if err == nil {
			err = c.measure(i, cs[i], &results[i])
		}
		c.files[i].Close()
		c.opened[i] = false
	}
	return err
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
	result.entry, result.ino, result.mtime = e, f.ino, f.mtime.Nano()
	return nil
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
