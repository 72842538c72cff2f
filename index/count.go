package index

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"
)

// entry is a message of a mailbox.
type entry struct {
	candidate
	bytes, octets int64
	uidl          string
	source        source
	rank          rank
	ino           uint64
	nth           int  // how many files of the same unique name come before
	shared        bool // there are several files of this unique name
}

// counter opens and measures candidates.
type counter struct {
	m      *Mailbox
	o      Options
	file   File
	reader reader

	// missing has the messages of which no name was right any more.
	missing map[string]key
}

// count makes entries of those candidates that are messages, in their order.
func count(ctx context.Context, m *Mailbox, cs []candidate, o Options) error {
	c := &counter{m: m, o: o, missing: make(map[string]key)}
	c.reader = reader{ctx: ctx, file: &c.file, keep: o.XUIDL}
	m.entries = make([]entry, 0, len(cs))
	for len(cs) > 0 {
		n := 1
		for n < len(cs) && cs[n].unique == cs[0].unique {
			n++
		}
		if err := c.group(cs[:n]); err != nil {
			return err
		}
		cs = cs[n:]
	}
	return c.search(ctx)
}

// search adds those missing messages that lie elsewhere by now, all in one go.
func (c *counter) search(ctx context.Context) error {
	if len(c.missing) == 0 {
		return nil
	}
	var failed error
	err := c.m.dirs.read(ctx, func(p place) bool {
		k, ok := c.missing[uniqueName(p.name)]
		if !ok {
			return true
		}
		err := c.m.dirs.open(p, &c.file)
		if isGone(err) {
			return true
		}
		delete(c.missing, k.unique)
		failed = c.add(entry{candidate: candidate{k, p}}, err)
		return failed == nil && len(c.missing) > 0
	})
	slices.SortStableFunc(c.m.entries, func(a, b entry) int { return compareKeys(&a.key, &b.key) })
	return cmp.Or(failed, err)
}

// group adds what was seen with one unique name. Where that is several names,
// it is most often one message that was being renamed, sometimes one with two
// links, rarely several messages.
func (c *counter) group(cs []candidate) error {
	first := len(c.m.entries)
	found := false
	var seen map[uint64]bool // by inode number
	if len(cs) > 1 {
		seen = make(map[uint64]bool, len(cs))
	}
	for _, cand := range cs {
		err := c.m.dirs.open(cand.place, &c.file)
		if isGone(err) {
			continue
		}
		found = true
		if err == nil && seen != nil {
			if seen[c.file.ino] {
				c.file.Close()
				c.m.addLink(c.file.ino, cand.place)
				continue
			}
			seen[c.file.ino] = true
		}
		if err := c.add(entry{candidate: cand}, err); err != nil {
			return err
		}
	}
	if !found {
		c.missing[cs[0].unique] = cs[0].key
	}
	if same := c.m.entries[first:]; len(same) > 1 {
		for i := range same {
			same[i].nth, same[i].shared = i, true
		}
	}
	return nil
}

// addLink notes a further name of a file.
func (m *Mailbox) addLink(ino uint64, link place) {
	if m.links == nil {
		m.links = make(map[uint64][]place)
	}
	m.links[ino] = append(m.links[ino], link)
}

// add measures e, which c.file has open unless err says why not, and appends
// it. It fails only where going on would hide messages that are there.
func (c *counter) add(e entry, err error) error {
	path := func() string { return c.m.dirs.path(e.place) }
	if err != nil {
		if isShortage(err) {
			return fmt.Errorf("open message %s: %w", path(), err)
		}
		if err == unix.EACCES {
			if _, err := c.m.dirs.inode(e.place); err == unix.EACCES {
				return fmt.Errorf("read Maildir %s: no permission to search %s: it needs mode x",
					c.m.dirs.dir, folderNames[e.folder])
			}
		}
		c.o.Skipped(path(), err.Error())
		return nil
	}
	defer c.file.Close()
	c.reader.reset()
	octets, err := c.o.Measure(&c.reader)
	if err := c.reader.ctx.Err(); err != nil {
		return err
	}
	if err == nil {
		err = c.reader.err
	}
	if err != nil {
		c.o.Skipped(path(), err.Error())
		return nil
	}
	e.bytes, e.octets, e.ino = c.file.size, octets, c.file.ino
	if c.reader.keep {
		if id := headerUIDL(c.reader.header); id != "" {
			e.uidl, e.source = id, fromHeader
		}
	}
	c.m.entries = append(c.m.entries, e)
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
