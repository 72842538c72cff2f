package index

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
	unique   string
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
var listFormats = []listFormat{
	{file: "dovecot-uidlist", parse: parseDovecot, order: orderDovecot},
	{file: "courierpop3dsizelist", parse: parseCourier, order: orderCourier},
}

// openList is a list found in a Maildir.
type openList struct {
	listFormat
	file *File
}

// applyLists gives entries, which are in order of delivery, the UIDLs and ranks
// that the newest usable list has for them, and tells its order.
func applyLists(ctx context.Context, d *dirs, entries []entry, o Options) (order, error) {
	lists, err := openLists(d, o.Skipped)
	if err != nil {
		return 0, err
	}
	defer func() {
		for _, l := range lists {
			l.file.Close()
		}
	}()
	use := func(l listed) {
		if k := parseName(l.unique); o.listed(k) {
			apply(entries, k, l)
		}
	}
	for _, l := range lists {
		path := d.dir + "/" + l.listFormat.file
		r := &reader{ctx: ctx, file: l.file}
		lines := &lineReader{r: bufio.NewReaderSize(r, maxListLine)}
		err := l.parse(lines, use)
		if err == errHeader {
			o.Skipped(path, "line 1: "+err.Error())
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read list %s: %w", path, err)
		}
		if lines.bad > 0 {
			o.Skipped(path, fmt.Sprintf("line %d: malformed, not used; %d such lines in all", lines.firstBad, lines.bad))
		}
		return l.order, nil
	}
	return orderDelivery, nil
}

// openLists opens what lists there are, the preferred one first.
func openLists(d *dirs, skipped func(path, reason string)) ([]openList, error) {
	var lists []openList
	for _, format := range listFormats {
		f := new(File)
		err := f.open(int(d.root.Fd()), format.file)
		if err == nil && f.size > maxList {
			f.Close()
			err = fmt.Errorf("larger than %d bytes: not used", maxList)
		}
		switch {
		case err == nil:
			lists = append(lists, openList{format, f})
		case isShortage(err) || err == unix.EIO:
			for _, l := range lists {
				l.file.Close()
			}
			return nil, fmt.Errorf("open list %s/%s: %w", d.dir, format.file, err)
		case !isGone(err):
			skipped(d.dir+"/"+format.file, err.Error())
		}
	}
	slices.SortStableFunc(lists, func(a, b openList) int {
		return compareTimes(b.file.stat.Mtim, a.file.stat.Mtim)
	})
	return lists, nil
}

func compareTimes(a, b unix.Timespec) int {
	return cmp.Or(cmp.Compare(a.Sec, b.Sec), cmp.Compare(a.Nsec, b.Nsec))
}

// apply gives the entries of the listed name what the list says. Of several
// lines for one name the last one holds, as in Dovecot.
func apply(entries []entry, k key, l listed) {
	i, _ := slices.BinarySearchFunc(entries, &k, func(e entry, k *key) int {
		return compareKeys(&e.key, k)
	})
	for ; i < len(entries) && entries[i].unique == k.unique; i++ {
		e := &entries[i]
		e.rank = l.rank
		if !l.computed || e.source != fromHeader {
			e.uidl, e.source = usable(l.uidl, l.unique), fromList
		}
	}
}

// sort sorts entries, which are in order of delivery.
func (o order) sort(entries []entry) {
	switch o {
	case orderDovecot:
		slices.SortStableFunc(entries, func(a, b entry) int { return a.rank.compare(b.rank) })
	case orderCourier:
		slices.SortStableFunc(entries, func(a, b entry) int {
			return cmp.Or(cmp.Compare(courierNumber(a.sec), courierNumber(b.sec)), strings.Compare(a.unique, b.unique))
		})
	}
}

// courierNumber takes a name without a number as Courier does, by atol(3).
func courierNumber(sec uint64) uint64 {
	if sec == noNumber {
		return 0
	}
	return sec
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
