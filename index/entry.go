package index

import (
	"cmp"
	"slices"
	"strings"
)

// entry is a message that has been counted. Nothing of it changes but where its
// file is, so sessions keep entries of a list that is no longer the current one.
// A hundred thousand of them are in memory at once: it is kept to 80 bytes.
type entry struct {
	unique string // immutable, like all but the place
	uidl   string // as source claims it; "" is the unique name
	info   string // of the place: what follows the unique name
	bytes  int64
	bare   uint32 // octets that the protocol adds to the bytes
	nums
	rank   rank
	nth    uint8 // 0: the only file of its unique name; else which of them, from 1
	source source
	colons uint8 // of the place: how many the name begins with
	folder folder
}

// newEntry makes an entry of a candidate after ownNames.
func newEntry(c candidate, scheme Scheme) *entry {
	e := &entry{unique: c.unique, nums: c.nums, uidl: scheme.claim(c.unique), source: fromName}
	e.setPlace(c.place)
	return e
}

// ownNames parts the unique names of candidates from the file names that were
// read. Entries keep them: in one piece, so that a listing finds them one after
// the other in memory, whatever else was allocated between them. A piece stays
// as long as one of its names is in use, so they should not be many.
func ownNames(cs []candidate) {
	n := 0
	for i := range cs {
		n += len(cs[i].unique)
	}
	var piece strings.Builder
	piece.Grow(n)
	for i := range cs {
		piece.WriteString(cs[i].unique)
	}
	names := piece.String()
	for i := range cs {
		n := len(cs[i].unique)
		cs[i].unique, names = names[:n], names[n:]
	}
}

// setPlace and place are called with mailbox.places held.
func (e *entry) setPlace(p place) {
	at := strings.Index(p.name, e.unique)
	e.colons, e.info, e.folder = uint8(at), shared(p.name[at+len(e.unique):]), p.folder
}

// shared is a copy of an info part, for the usual ones always the same.
func shared(info string) string {
	switch info {
	case "":
		return ""
	case ":2,":
		return ":2,"
	case ":2,S":
		return ":2,S"
	case ":2,RS":
		return ":2,RS"
	}
	return strings.Clone(info)
}

func (e *entry) place() place {
	if e.info == "" && e.colons == 0 {
		return place{e.unique, e.folder}
	}
	return place{strings.Repeat(":", int(e.colons)) + e.unique + e.info, e.folder}
}

func (e *entry) octets() int64 { return e.bytes + int64(e.bare) }

// odd says that other files have the same unique name.
func (e *entry) odd() bool { return e.nth > 0 }

// claim is the UIDL that the entry has, unless another one has it.
func (e *entry) claim() string {
	if e.uidl != "" {
		return e.uidl
	}
	return e.unique
}

// special says that the entry's claim may be another one's too. A name of the
// form of a hash may be forged to be one.
func (e *entry) special() bool {
	return e.odd() || e.source != fromName || e.uidl != "" || len(e.unique) == hashDigits
}

func (e *entry) key() key { return key{e.nums, e.unique} }

// compareEntries is the order of delivery, and that of files of one unique name.
func compareEntries(a, b *entry) int {
	ak, bk := a.key(), b.key()
	return cmp.Or(compareKeys(&ak, &bk), cmp.Compare(a.nth, b.nth))
}

// same gives those entries of a list in order of delivery that have the key k.
func same(list []*entry, k key) []*entry {
	from, to := span(list, k)
	return list[from:to]
}

// span is where they are.
func span(list []*entry, k key) (from, to int) {
	from, _ = slices.BinarySearchFunc(list, &k, func(e *entry, k *key) int {
		ek := e.key()
		return compareKeys(&ek, k)
	})
	for to = from; to < len(list) && list[to].unique == k.unique; {
		to++
	}
	return from, to
}

// merge makes a new list of an ordered one, without those that removed names
// and with those of added, which need no order.
func merge(list []*entry, removed map[*entry]bool, added []*entry, compare func(a, b *entry) int) []*entry {
	slices.SortFunc(added, compare)
	merged := make([]*entry, 0, max(len(list)+len(added)-len(removed), 0))
	if len(removed) == 0 && len(added) > 0 {
		// Mail usually arrives at the end: most of the list is copied whole.
		at, _ := slices.BinarySearchFunc(list, added[0], compare)
		merged, list = append(merged, list[:at]...), list[at:]
	}
	for _, e := range list {
		for len(added) > 0 && compare(added[0], e) < 0 {
			merged, added = append(merged, added[0]), added[1:]
		}
		if !removed[e] {
			merged = append(merged, e)
		}
	}
	return append(merged, added...)
}
