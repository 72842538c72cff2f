package index

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// infoSeparator stands between the unique name and the info part (flags).
const infoSeparator = ':'

const (
	noNumber = math.MaxUint32     // sorts after every number
	tooLarge = math.MaxUint32 - 1 // and before it, those that need 64 bits
)

// folder is one of the two directories that hold messages.
type folder uint8

const (
	folderNew folder = iota // delivered, seen by no reader yet
	folderCur               // taken over by a reader, which may set flags
	folders                 // how many there are
)

var folderNames = [folders]string{"new", "cur"}

// place is where a file was seen.
type place struct {
	name   string
	folder folder
}

// nums is when a name says that its message was delivered.
type nums struct {
	sec  uint32 // the leading number: noNumber for none, tooLarge for one that is
	usec uint32
}

// key is what a file name tells about its message. It does not change when the
// message is moved or flagged.
type key struct {
	nums
	unique string
}

// candidate is a name that may turn out to be a message.
type candidate struct {
	key
	place
}

// uniqueName gives the part of a file name that identifies the message:
// everything before the first colon. Colons that the name begins with are
// passed over, so that it is empty for no name; the writers of Maildirs make
// no such names, and go-maildir takes them in the same way.
func uniqueName(name string) string {
	rest := strings.TrimLeft(name, string(infoSeparator))
	if rest == "" {
		return name
	}
	if i := strings.IndexByte(rest, infoSeparator); i >= 0 {
		return rest[:i]
	}
	return rest
}

// parseName reads a name of the usual form seconds.delivery.host, where the
// delivery part has the microseconds after an M: 1712345677.M123P45.mx1,
// 1712345677.V801I2fM123.mx1. Names of any other form have numbers too:
// noNumber for the seconds, 0 for the microseconds.
func parseName(name string) key {
	k := key{unique: uniqueName(name)}
	sec, digits := leadingNumber(k.unique)
	k.sec = uint32(min(sec, tooLarge))
	if digits == 0 {
		k.sec = noNumber
	}
	_, rest, _ := strings.Cut(k.unique, ".")
	delivery, _, _ := strings.Cut(rest, ".")
	for {
		i := strings.IndexByte(delivery, 'M')
		if i < 0 {
			return k
		}
		delivery = delivery[i+1:]
		if usec, digits := leadingNumber(delivery); digits > 0 {
			k.usec = uint32(min(usec, math.MaxUint32))
			return k
		}
	}
}

// leadingNumber reads the decimal digits that s begins with, as far as 64 bits
// hold the number.
func leadingNumber(s string) (n uint64, digits int) {
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		d := uint64(s[digits] - '0')
		if n > (math.MaxUint64-d)/10 {
			n = math.MaxUint64
		} else {
			n = n*10 + d
		}
		digits++
	}
	return n, digits
}

// compareKeys is the order of delivery: by seconds, names without any last, by
// microseconds, by the bytes of the unique name.
func compareKeys(a, b *key) int {
	if c := cmp.Compare(a.sec, b.sec); c != 0 {
		return c
	}
	if a.sec == tooLarge {
		an, _ := leadingNumber(a.unique)
		bn, _ := leadingNumber(b.unique)
		if c := cmp.Compare(an, bn); c != 0 {
			return c
		}
	}
	if c := cmp.Compare(a.usec, b.usec); c != 0 {
		return c
	}
	return strings.Compare(a.unique, b.unique)
}

// comparePlaces orders files of one unique name. A message in new has no info
// part and sorts first, before and after it is moved to cur and gets ":2,".
func comparePlaces(a, b *place) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return cmp.Compare(a.folder, b.folder)
}

// arrange makes candidates of names, in order of delivery. Files of the same
// unique name are neighbours, and a place named twice is in it once.
func arrange(names []place) []candidate {
	cs := make([]candidate, len(names))
	for i, p := range names {
		cs[i] = candidate{parseName(p.name), p}
	}
	slices.SortFunc(cs, func(a, b candidate) int {
		if c := compareKeys(&a.key, &b.key); c != 0 {
			return c
		}
		return comparePlaces(&a.place, &b.place)
	})
	return slices.CompactFunc(cs, func(a, b candidate) bool { return a.place == b.place })
}

// find gives the candidates with the key k, of an arranged list.
func find(cs []candidate, k key) []candidate {
	from, _ := slices.BinarySearchFunc(cs, &k, func(c candidate, k *key) int {
		return compareKeys(&c.key, k)
	})
	to := from
	for to < len(cs) && cs[to].unique == k.unique {
		to++
	}
	return cs[from:to]
}
