package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
)

// The parts of bbolt's file format that are checked before it is used, in the
// machine's byte order (bbolt, internal/common: meta.go, page.go, bucket.go,
// inode.go). Every page begins with its number, 8 bytes; flags, 2; count of
// elements, 2; number of further pages that belong to it, 4. Elements follow:
//
//	meta page: magic, version, page size, flags, 4 bytes each; root bucket, 16;
//	    free list, pages, transaction, checksum, 8 each
//	branch page: position from the element on and size of key, 4 each; page, 8
//	leaf page: flags, position, size of key, size of value, 4 each
//	free list: page numbers, 8 each, the first of them their count where the
//	    count of elements is 0xFFFF
//
// A bucket is a leaf element with flag 1, whose value begins with the number of
// its root page, or 0 where the page itself follows, and a counter, 8 each.
const (
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSize    = 64

	pageHeader  = 16
	elementSize = 16
	bucketSize  = 16

	flagBranch = 0x01
	flagLeaf   = 0x02
	flagFree   = 0x10
	flagBucket = 0x01 // of a leaf element

	manyFree = 0xFFFF // the count of a free list that has its own count

	leastPage = 1 << 10
	mostPage  = 64 << 10
	firstPage = 2 // the first after the two meta pages
)

var native = binary.NativeEndian

// layout is what a file consists of.
type layout struct {
	pageSize          int64
	root, list, pages uint64 // page numbers; pages is one more than the highest
	tx                uint64
	free              uint64 // pages
}

func (l *layout) size() int64 { return int64(l.pages) * l.pageSize }
func (l *layout) live() int64 { return int64(l.pages-l.free) * l.pageSize }

// checkFile checks the structure of a file as far as bbolt could not survive
// damage to it. No file, and an empty one, are right. Leaves are not read, which
// leaves one page in fifty or so: what is wrong in a leaf is noticed when it is
// used, by a checksum, a page fault or a panic. In a branch it could make bbolt
// go round in circles, and in the list of free pages take any amount of memory
// or overwrite pages in use.
func checkFile(path string) (layout, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return layout{}, nil
	}
	if err != nil {
		return layout{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return layout{}, err
	}
	if !info.Mode().IsRegular() {
		return layout{}, fmt.Errorf("%s is not a regular file: remove it", path)
	}
	c := checker{f: f}
	return c.layout, c.check(info.Size())
}

// checker checks one file.
type checker struct {
	layout
	f    io.ReaderAt
	used []uint64 // a bit for each page that was seen
}

func (c *checker) check(size int64) error {
	if err := c.metas(size); err != nil {
		return err
	}
	c.used = make([]uint64, c.pages/64+1)
	if err := c.freeList(); err != nil {
		return err
	}
	leaves, err := c.tree(c.root)
	if err != nil {
		return err
	}
	for _, id := range leaves {
		b, err := c.page(id, flagLeaf)
		if err != nil {
			return err
		}
		for i := range int(native.Uint16(b[10:])) {
			root, err := rootOf(b, i)
			if err == nil && root != 0 {
				_, err = c.tree(root)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// metas finds the newer of the two meta pages that are right, as bbolt does.
// The second is at the page size, which only they tell.
func (c *checker) metas(size int64) error {
	found := c.meta(0)
	for at := int64(leastPage); at <= mostPage; at *= 2 {
		if !found || at == c.pageSize {
			found = c.meta(at) || found
		}
	}
	if !found {
		return brokenf("damaged: it does not begin as it should")
	}
	if c.pages > uint64(size/c.pageSize) {
		return brokenf("damaged: it is cut, at %d bytes of %d pages of %d", size, c.pages, c.pageSize)
	}
	return nil
}

// meta takes the meta page at an offset, if it is right and newer.
func (c *checker) meta(at int64) bool {
	b := make([]byte, pageHeader+metaSize)
	if _, err := c.f.ReadAt(b, at); err != nil {
		return false
	}
	b = b[pageHeader:]
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	m := layout{
		pageSize: int64(native.Uint32(b[8:])),
		root:     native.Uint64(b[16:]),
		list:     native.Uint64(b[32:]),
		pages:    native.Uint64(b[40:]),
		tx:       native.Uint64(b[48:]),
	}
	if native.Uint32(b) != metaMagic || native.Uint32(b[4:]) != metaVersion ||
		native.Uint64(b[metaSize-8:]) != sum.Sum64() ||
		m.pageSize < leastPage || m.pageSize > mostPage || at != 0 && at != m.pageSize {
		return false
	}
	if c.pageSize == 0 || m.tx > c.tx {
		c.layout = m
	}
	return true
}

// use marks a page. Each may be used once.
func (c *checker) use(id uint64) error {
	if id < firstPage || id >= c.pages {
		return brokenf("damaged: page %d of %d", id, c.pages)
	}
	if c.used[id/64]&(1<<(id%64)) != 0 {
		return brokenf("damaged: page %d is used twice", id)
	}
	c.used[id/64] |= 1 << (id % 64)
	return nil
}

// page reads a page of one of the kinds given, with those that belong to it.
func (c *checker) page(id uint64, kinds uint16) ([]byte, error) {
	b := make([]byte, c.pageSize)
	if err := c.read(b, id); err != nil {
		return nil, err
	}
	kind := native.Uint16(b[8:])
	if native.Uint64(b) != id || kind == 0 || kind&^kinds != 0 || kind&(kind-1) != 0 {
		return nil, brokenf("damaged: page %d is not of the kind expected", id)
	}
	if further := uint64(native.Uint32(b[12:])); further > 0 {
		if further >= c.pages-id {
			return nil, brokenf("damaged: page %d is too long", id)
		}
		b = make([]byte, int64(further+1)*c.pageSize)
		if err := c.read(b, id); err != nil {
			return nil, err
		}
	}
	if n := int(native.Uint16(b[10:])); kind != flagFree && n > (len(b)-pageHeader)/elementSize {
		return nil, brokenf("damaged: page %d has too many elements", id)
	}
	return b, nil
}

func (c *checker) read(b []byte, id uint64) error {
	if _, err := c.f.ReadAt(b, int64(id)*c.pageSize); err != nil {
		return brokenf("read page %d: %w", id, err)
	}
	return nil
}

// freeList marks the free pages.
func (c *checker) freeList() error {
	if err := c.use(c.list); err != nil {
		return err
	}
	b, err := c.page(c.list, flagFree)
	if err != nil {
		return err
	}
	for id := c.list + 1; id < c.list+uint64(len(b))/uint64(c.pageSize); id++ {
		if err := c.use(id); err != nil {
			return err
		}
	}
	n := uint64(native.Uint16(b[10:]))
	b = b[pageHeader:]
	if n == manyFree {
		n, b = native.Uint64(b), b[8:]
	}
	if n > uint64(len(b)/8) {
		return brokenf("damaged: a list of %d free pages does not fit", n)
	}
	c.free = n
	last := uint64(0)
	for ; n > 0; n, b = n-1, b[8:] {
		id := native.Uint64(b)
		if id <= last {
			return brokenf("damaged: the list of free pages is out of order")
		}
		if err := c.use(id); err != nil {
			return err
		}
		last = id
	}
	return nil
}

// tree marks the first pages of a tree's nodes, level by level, and gives the
// leaves. They are all on the last level, so that one of them tells what the
// others are.
func (c *checker) tree(root uint64) (leaves []uint64, err error) {
	if err := c.use(root); err != nil {
		return nil, err
	}
	level := []uint64{root}
	for {
		kinds := uint16(flagBranch | flagLeaf)
		var next []uint64
		for _, id := range level {
			b, err := c.page(id, kinds)
			if err != nil {
				return nil, err
			}
			if native.Uint16(b[8:]) == flagLeaf {
				return level, nil
			}
			kinds = flagBranch
			if next, err = c.children(b, next); err != nil {
				return nil, err
			}
		}
		level = next
	}
}

// children marks and appends the pages that a branch page leads to.
func (c *checker) children(b []byte, to []uint64) ([]uint64, error) {
	n := int(native.Uint16(b[10:]))
	if n == 0 {
		return nil, brokenf("damaged: branch page %d has no elements", native.Uint64(b))
	}
	for i := range n {
		e := b[pageHeader+i*elementSize:]
		if uint64(native.Uint32(e))+uint64(native.Uint32(e[4:])) > uint64(len(e)) {
			return nil, brokenf("damaged: a key beyond page %d", native.Uint64(b))
		}
		id := native.Uint64(e[8:])
		if err := c.use(id); err != nil {
			return nil, err
		}
		to = append(to, id)
	}
	return to, nil
}

// rootOf gives the root page of the bucket that is element i of a leaf page, 0
// where there is none. There must be a bucket.
func rootOf(page []byte, i int) (uint64, error) {
	e := page[pageHeader+i*elementSize:]
	from := uint64(native.Uint32(e[4:])) + uint64(native.Uint32(e[8:]))
	size := uint64(native.Uint32(e[12:]))
	if native.Uint32(e) != flagBucket || from+size > uint64(len(e)) || size < bucketSize {
		return 0, brokenf("damaged: a part of the file has no beginning")
	}
	return native.Uint64(e[from:]), nil
}
