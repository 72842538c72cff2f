package pop3

import (
	"context"
	"errors"
	"fmt"
)

// maildrop is the session's view of its Maildrop: what is marked as deleted.
type maildrop struct {
	Maildrop
	messages int    // in all
	live     int    // not deleted
	octets   int64  // of those but the uncounted
	marks    []mark // by message; nil while there are none

	// first to end-1 are where deleted messages are whose octets are still to be
	// subtracted: few clients ask after a deletion.
	first, end int
}

// mark is what has become of a message in this session.
type mark uint8

const (
	deleted   mark = 1 << iota // by DELE, to be removed
	uncounted                  // and its octets are not subtracted yet
	retrieved                  // by RETR
)

func (d *maildrop) mark(i int, m mark) {
	if d.marks == nil {
		d.marks = make([]mark, d.messages)
	}
	d.marks[i] |= m
}

func (d *maildrop) deleted(i int) bool { return d.marks != nil && d.marks[i]&deleted != 0 }

// reset forgets all deletions.
func (d *maildrop) reset() {
	d.messages, d.octets = d.Stat()
	d.live, d.first, d.end = d.messages, 0, 0
	for i := range d.marks {
		d.marks[i] &^= deleted | uncounted
	}
}

// delete marks a message.
func (d *maildrop) delete(i int) {
	d.mark(i, deleted|uncounted)
	d.live--
	if d.first == d.end {
		d.first, d.end = i, i+1
	}
	d.first, d.end = min(d.first, i), max(d.end, i+1)
}

// left is the octets of what is not deleted.
func (d *maildrop) left(ctx context.Context) (int64, error) {
	if d.first == d.end {
		return d.octets, nil
	}
	i, octets := d.first, d.octets
	for size, err := range d.Octets(ctx, d.first, d.end-d.first) {
		if err != nil {
			return 0, err
		}
		if i < d.end && d.marks[i]&uncounted != 0 {
			octets -= size
		}
		i++
	}
	if i != d.end {
		return 0, errShort
	}
	for i := range d.marks[d.first:d.end] {
		d.marks[d.first+i] &^= uncounted
	}
	d.octets, d.first, d.end = octets, 0, 0
	return octets, nil
}

// errShort: [Maildrop.Octets] or UIDLs did not give what they were asked for.
var errShort = errors.New("the backend lists too few messages, or too many")

// done gives what is to be removed and, of the rest, what was retrieved.
func (d *maildrop) done() (remove, kept []int) {
	for i, m := range d.marks {
		switch {
		case m&deleted != 0:
			remove = append(remove, i)
		case m&retrieved != 0:
			kept = append(kept, i)
		}
	}
	return remove, kept
}

// find is the one place where a message number from the wire, from 1, becomes
// one of the maildrop, from 0.
func (d *maildrop) find(arg string) (int, error) {
	n, ok := number(arg)
	switch {
	case !ok:
		return 0, errNumber
	case n < 1 || n > d.messages:
		return 0, errNoMessage
	case d.deleted(n - 1):
		return 0, errDeleted
	}
	return n - 1, nil
}

func (d *maildrop) summary(ctx context.Context) (string, error) {
	octets, err := d.left(ctx)
	return fmt.Sprintf("%d messages (%d octets)", d.live, octets), err
}
