package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

// The file has five buckets, none within another; numbers in keys are
// big-endian.
//
//	about      "format" -> the version
//	mailboxes  name -> cell: checksum, number, count and digest of entries, header
//	entries    number of the mailbox, key -> value
//	trash      number of a mailbox whose entries are to be removed ->
//	journal    number -> checksum, mailbox, record
//
// Mailboxes have numbers, which are not used twice, so that clearing one costs
// the same however many entries it has.
var (
	bucketAbout     = []byte("about")
	bucketMailboxes = []byte("mailboxes")
	bucketEntries   = []byte("entries")
	bucketTrash     = []byte("trash")
	bucketJournal   = []byte("journal")

	keyFormat = []byte("format")
)

// format is the version of all this. Another one is set aside.
const format = "sidepop index 2"

const (
	// fill is how full pages are left: keys mostly come in order, since names
	// of messages begin with the time, and little is inserted between.
	fill = 0.9

	// collectCount bounds the entries of dropped mailboxes that one
	// transaction removes, which keeps it near 10 ms.
	collectCount = 10_000

	numberSize = 8
	cellSize   = 4 + 3*8 // before the header
)

// errVersion says that a file is of an older or newer version.
var errVersion = errors.New("it is of another version of the format")

// broken is an error that says that the file cannot be used.
type broken struct{ reason error }

func (b broken) Error() string { return b.reason.Error() }
func (b broken) Unwrap() error { return b.reason }

func brokenf(format string, args ...any) error { return broken{fmt.Errorf(format, args...)} }

func isBroken(err error) bool { return errors.As(err, new(broken)) }

// guard calls f, which uses bbolt, and turns its panics and page faults into
// errors: bbolt trusts the file, which is mapped into memory. While *calling is
// true, f is in a function of the store's user, whose panics are his own; page
// faults there are in data of the file.
func guard(calling *bool, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if _, fault := p.(interface{ Addr() uintptr }); *calling && !fault {
			panic(p)
		}
		err = brokenf("damaged: %v", p)
	}()
	return f()
}

// buckets are those of one transaction.
type buckets struct{ mailboxes, entries, trash, journal *bolt.Bucket }

func openBuckets(tx *bolt.Tx) (buckets, error) {
	b := buckets{tx.Bucket(bucketMailboxes), tx.Bucket(bucketEntries), tx.Bucket(bucketTrash), tx.Bucket(bucketJournal)}
	if b.mailboxes == nil || b.entries == nil || b.trash == nil || b.journal == nil {
		return b, brokenf("damaged: a part of the file is missing")
	}
	return b, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(parts ...[]byte) uint32 {
	var sum uint32
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// digest is of one entry; a mailbox has the sum of all. The key's checksum is
// the higher half, so that moving bytes between key and value changes it.
func digest(key, value []byte) uint64 {
	k := crc32.Update(0, castagnoli, key)
	return uint64(k)<<32 | uint64(crc32.Update(k, castagnoli, value))
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// belongs says whether a key of the bucket of entries, nil at its end, is of
// the mailbox with this number.
func belongs(key, id []byte) bool { return len(key) >= numberSize && bytes.Equal(key[:numberSize], id) }

// cell is what the store knows of one mailbox.
type cell struct {
	id     uint64 // its number, from 1; 0: the store does not have the mailbox
	count  uint64 // of entries
	sum    uint64 // of their digests
	header []byte
	dirty  bool // not yet written
}

func (c *cell) encode(mailbox string) []byte {
	v := make([]byte, 4, cellSize+len(c.header))
	v = binary.BigEndian.AppendUint64(v, c.id)
	v = binary.BigEndian.AppendUint64(v, c.count)
	v = binary.BigEndian.AppendUint64(v, c.sum)
	v = append(v, c.header...)
	binary.BigEndian.PutUint32(v, checksum([]byte(mailbox), v[4:]))
	return v
}

// decode reads a cell; the header is part of v.
func (c *cell) decode(mailbox string, v []byte) error {
	if len(v) < cellSize || len(v) > cellSize+maxHeader ||
		checksum([]byte(mailbox), v[4:]) != binary.BigEndian.Uint32(v) {
		return brokenf("damaged: what it says of mailbox %q is not what was written", mailbox)
	}
	*c = cell{
		id:     binary.BigEndian.Uint64(v[4:]),
		count:  binary.BigEndian.Uint64(v[12:]),
		sum:    binary.BigEndian.Uint64(v[20:]),
		header: v[cellSize:],
	}
	return nil
}

// record is one record of the journal.
type record struct {
	mailbox string
	data    []byte
}

func (r *record) encode(id uint64) []byte {
	v := make([]byte, 4, 4+4+len(r.mailbox)+len(r.data))
	v = binary.BigEndian.AppendUint32(v, uint32(len(r.mailbox)))
	v = append(append(v, r.mailbox...), r.data...)
	binary.BigEndian.PutUint32(v, checksum(number(id), v[4:]))
	return v
}

// decodeRecord reads a record of the journal and copies it.
func decodeRecord(k, v []byte) (id uint64, r record, err error) {
	if len(k) != numberSize || len(v) < 8 || len(v) > 8+maxMailbox+maxRecord ||
		checksum(k, v[4:]) != binary.BigEndian.Uint32(v) {
		return 0, r, brokenf("damaged: a record of the journal is not what was written")
	}
	n := binary.BigEndian.Uint32(v[4:])
	v = v[8:]
	if uint64(n) > uint64(len(v)) {
		return 0, r, brokenf("damaged: a record of the journal is cut")
	}
	return binary.BigEndian.Uint64(k), record{string(v[:n]), bytes.Clone(v[n:])}, nil
}
