package index

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxList is the largest list that is read, in bytes. A line is about 100
	// bytes, so this is enough for 600,000 messages.
	maxList = 64 << 20

	// maxListLine is the longest line of a list, in bytes: a file name of 255
	// bytes several times over.
	maxListLine = 4096
)

// listed is what a list says about a message.
type listed struct {
	unique   string // empty: nothing
	uidl     string
	rank     rank
	computed bool // from numbers, not saved: Dovecot asks for an X-UIDL field before
}

// rank is a message's place in Dovecot's order.
type rank struct {
	pop3 uint32 // the order saved for POP3, 0 for none
	uid  uint32 // the IMAP UID, 0 for a message that is not listed
}

// order is one in which messages are served.
type order uint8

const (
	orderDelivery order = iota // compareKeys
	orderDovecot               // by rank, then by delivery
	orderCourier               // by the number that starts the name, then its bytes
)

// errHeader says that a list cannot be read by its header.
var errHeader = errors.New("the header is malformed or of an unknown version: the whole list is not used")

// listParser reads a list and hands each line to use. It gives errHeader
// before the first one, and otherwise only reading can fail.
type listParser func(lines *lineReader, use func(listed)) error

// listFormat is a list that some server keeps in a Maildir's root.
type listFormat struct {
	file  string
	parse listParser
	order order
}

// listFormats are the lists that sidepop takes UIDLs from; at the same time the
// first one here wins.
var listFormats = [lists]listFormat{
	{file: "dovecot-uidlist", parse: parseDovecot, order: orderDovecot},
	{file: "courierpop3dsizelist", parse: parseCourier, order: orderCourier},
}

// lists is how many there are.
const lists = 2

// unapplied stands for lists that have to be applied although they are unchanged:
// messages that they may name were added without.
var unapplied = [lists]stamp{{dev: math.MaxUint64}}

// openList is a list found in a Maildir.
type openList struct {
	listFormat
	file *File
}

// relist applies the newest usable list of a previous server to all messages.
func (u *update) relist() error {
	m := u.m
	if m.x.o.XUIDL && slices.ContainsFunc(m.list, func(e *entry) bool { return e.source == fromList }) {
		return u.afresh() // the header fields that the list overruled are not known any more
	}
	want := make([]listed, len(m.list))
	order, names, err := u.readLists(func(k key, l listed) bool {
		from, to := span(m.list, k)
		for i := from; i < to; i++ {
			want[i] = l // of several lines for one name the last one holds, as in Dovecot
		}
		return from < to
	})
	if err != nil {
		return err
	}
	m.away, m.order = names, order
	list := make([]*entry, len(m.list))
	for i, e := range m.list {
		list[i] = u.relisted(e, want[i])
	}
	served := list
	if order != orderDelivery {
		served = slices.Clone(list)
		slices.SortFunc(served, order.compare)
	}
	m.list = list
	m.serve(served, assignUIDLs(served))
	u.recast = true
	return nil
}

// afresh counts everything again, and applies the lists to it.
func (u *update) afresh() error {
	u.m.setList(nil)
	u.m.stored = false
	*u = update{ctx: u.ctx, m: u.m, dirs: u.dirs, now: u.now, login: u.login}
	err := u.everything()
	u.install()
	if err != nil {
		return err
	}
	return u.relist()
}

// relisted is an entry with what a list says of it, or none; the same one when
// that changes nothing.
func (u *update) relisted(e *entry, l listed) *entry {
	m := u.m
	uidl, from := e.uidl, e.source
	switch {
	case l.unique != "" && !(l.computed && e.source == fromHeader):
		uidl, from = hashUIDL(l.unique), fromList
		if validUIDL(l.uidl, maxListed) {
			uidl = l.uidl
		}
	case e.source == fromList:
		uidl, from = m.x.o.Scheme.claim(e.unique), fromName
	}
	if uidl == e.uidl && from == e.source && l.rank == e.rank {
		return e
	}
	m.places.RLock()
	changed := *e
	m.places.RUnlock()
	changed.uidl, changed.source, changed.rank = uidl, from, l.rank
	if e.odd() {
		odd := u.oddities()
		odd[&changed] = odd[e]
		delete(odd, e)
	}
	return &changed
}

// readLists reads the newest usable list and hands over its lines, with the keys
// of their names. use says whether there is such a message.
func (u *update) readLists(use func(key, listed) bool) (order, away, error) {
	d, o := u.dirs, &u.m.x.o
	var found []openList
	err := u.m.as(func() (err error) {
		found, err = openLists(d, u.m.skip)
		return err
	})
	if err != nil {
		return 0, away{}, err
	}
	defer func() {
		for _, l := range found {
			l.file.Close()
		}
	}()
	for _, l := range found {
		var names away
		path := d.dir + "/" + l.listFormat.file
		lines := &lineReader{r: bufio.NewReaderSize(&reader{ctx: u.ctx, file: l.file}, maxListLine)}
		err := l.parse(lines, func(l listed) {
			if k := parseName(l.unique); o.listed(k) && !use(k, l) {
				names.add(l.unique)
			}
		})
		if err == errHeader {
			u.m.skip(path, "line 1: "+err.Error())
			continue
		}
		if err != nil {
			return 0, away{}, fmt.Errorf("read list %s: %w", path, err)
		}
		if lines.bad > 0 {
			u.m.skip(path, fmt.Sprintf("line %d: malformed, not used; %d such lines in all", lines.firstBad, lines.bad))
		}
		return l.order, names, nil
	}
	return orderDelivery, away{}, nil
}

// away is the names that a list has beside those of the messages that are there.
// A message that comes back, from a backup for instance, is listed still.
type away struct {
	hashes  map[uint64]struct{}
	unknown bool // not read since the mailbox was loaded, or too many
}

// maxAway bounds the names that are kept for each mailbox in use.
const maxAway = 10_000

var awaySeed = maphash.MakeSeed()

func (a *away) add(unique string) {
	if a.hashes == nil {
		a.hashes = make(map[uint64]struct{})
	}
	if a.hashes[maphash.String(awaySeed, unique)] = struct{}{}; len(a.hashes) > maxAway {
		a.hashes, a.unknown = nil, true
	}
}

// mayName says whether the list may name one of the entries.
func (a *away) mayName(entries []*entry) bool {
	return slices.ContainsFunc(entries, func(e *entry) bool {
		_, ok := a.hashes[maphash.String(awaySeed, e.unique)]
		return ok || a.unknown
	})
}

// openLists opens what lists there are, the preferred one first.
func openLists(d *dirs, skipped func(path, reason string)) ([]openList, error) {
	var found []openList
	for _, format := range listFormats {
		f := new(File)
		err := f.open(int(d.root.Fd()), format.file, nil)
		if err == nil && f.size > maxList {
			f.Close()
			err = fmt.Errorf("larger than %d bytes", maxList)
		}
		switch {
		case err == nil:
			found = append(found, openList{format, f})
		case isGone(err):
		case errors.As(err, new(notRegular)):
			skipped(d.dir+"/"+format.file, err.Error()) // nobody's list
		default:
			for _, l := range found {
				l.file.Close()
			}
			return nil, fmt.Errorf("list of a previous server, %s/%s: %w: without it all unique-ids would change; mend or remove it",
				d.dir, format.file, err)
		}
	}
	slices.SortStableFunc(found, func(a, b openList) int {
		return compareTimes(b.file.mtime, a.file.mtime)
	})
	return found, nil
}

func compareTimes(a, b unix.Timespec) int {
	return cmp.Or(cmp.Compare(a.Sec, b.Sec), cmp.Compare(a.Nsec, b.Nsec))
}

// compare is the order in which messages are served.
func (o order) compare(a, b *entry) int {
	switch o {
	case orderDovecot:
		if c := a.rank.compare(b.rank); c != 0 {
			return c
		}
	case orderCourier:
		an, _ := leadingNumber(a.unique)
		bn, _ := leadingNumber(b.unique)
		return cmp.Or(cmp.Compare(an, bn), strings.Compare(a.unique, b.unique), cmp.Compare(a.nth, b.nth))
	}
	return compareEntries(a, b)
}

// compare puts messages with a POP3 order first, then those with a UID.
func (r rank) compare(s rank) int {
	// Subtracting 1 makes the absent 0 the largest number.
	return cmp.Or(cmp.Compare(r.pop3-1, s.pop3-1), cmp.Compare(r.uid-1, s.uid-1))
}

// lineReader reads the lines of a list and counts those that are no use.
type lineReader struct {
	r        *bufio.Reader
	number   int // of the line read last, from 1
	bad      int
	firstBad int // number of the first bad one
}

// malformed counts the line read last as bad.
func (l *lineReader) malformed() {
	if l.bad == 0 {
		l.firstBad = l.number
	}
	l.bad++
}

// next reads a line, without its end; it holds until the next one is read. One
// that is too long counts as malformed and is passed over. The end is io.EOF.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.r.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return nil, io.EOF
		}
		l.number++
		if err == nil {
			return line[:len(line)-1], nil
		}
		if err == io.EOF {
			return line, nil
		}
		for err == bufio.ErrBufferFull {
			_, err = l.r.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		l.malformed()
	}
}
