package wire

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3/internal/nowait"
)

// The two sets of messages of a commit.
const (
	toRemove     = 0
	wasRetrieved = 1
)

// span takes which messages a request is about: at least one and at most limit
// of those that there are.
func (x *session) span(d *decoder, limit int) (first, n int, err error) {
	first = d.int(x.messages - 1)
	n = d.int(min(limit, x.messages-first))
	if n == 0 {
		d.fail(errRange)
	}
	return first, n, x.taken(d)
}

func (x *session) listOctets(d *decoder) error {
	first, n, err := x.span(d, maxMessages)
	if err != nil {
		return err
	}
	return answerList(x, verbOctetsAre, n, x.drop.Octets(x.server.base, first, n), func(p []byte, octets int64) ([]byte, error) {
		return appendUint(p, octets), checkOctets(octets)
	})
}

func (x *session) listUIDLs(d *decoder) error {
	first, n, err := x.span(d, maxMessages)
	if err != nil {
		return err
	}
	return answerList(x, verbUIDLsAre, n, x.drop.UIDLs(x.server.base, first, n), func(p []byte, uidl string) ([]byte, error) {
		return appendBytes(p, uidl), checkUIDL(uidl)
	})
}

// listRoom is more than the longest value of a list takes: a UIDL and its length.
const listRoom = maxUIDL + 2

// answerList answers with at most n values, as many as a packet holds. An error
// after the first one is met again, and told, when the front asks for the rest.
func answerList[T any](x *session, answer verb, n int, values iter.Seq2[T, error], add func([]byte, T) ([]byte, error)) error {
	b := newBuffer()
	size := len(b.begin(answer)) // and no slice: it would be stored, with a write barrier, for each value
	got := 0
	err := error(errNothing)
	for v, valueErr := range values {
		if valueErr != nil {
			err = valueErr
			break
		}
		p, addErr := add(b.packet[:size], v)
		if addErr != nil {
			err = addErr
			break
		}
		size = len(p)
		if got++; got == n || size+listRoom > MaxPacket {
			break
		}
	}
	if got == 0 {
		b.free()
		return x.failed("listing", err)
	}
	return x.reply(b, b.packet[:size])
}

var errNothing = errors.New("the backend lists nothing")

// numbers takes messages for the commit.
func (x *session) numbers(d *decoder) error {
	set := &x.sets[d.int(wasRetrieved)]
	last := -1
	if n := len(*set); n > 0 {
		last = (*set)[n-1]
	}
	for d.more() {
		step := d.int(x.messages - 1 - last)
		if step == 0 {
			d.fail(errRange)
			break
		}
		last += step
		*set = append(*set, last)
	}
	return x.taken(d)
}

// commit removes messages. With that the session is over: the maildrop is free
// before the front knows, so that a client that comes back at once gets it.
func (x *session) commit(d *decoder) error {
	remove, retrieved := x.sets[toRemove], x.sets[wasRetrieved]
	removes, retrieves := d.int(maxMessages), d.int(maxMessages)
	if err := x.taken(d); err != nil {
		return err
	}
	if removes != len(remove) || retrieves != len(retrieved) || overlap(remove, retrieved) {
		return violation("a removal of other messages than were named")
	}
	if !x.server.beginRemoval(x) {
		return ErrServerClosed
	}
	failed, err := x.drop.Commit(context.WithoutCancel(x.server.base), remove, retrieved)
	failed = max(0, min(failed, len(remove)))
	if err != nil {
		x.server.Events.Failed(x.peer, x.user, "QUIT", err)
	}
	x.phase = committed
	x.closeDrop()
	x.server.mu.Lock()
	x.since = time.Time{}
	x.server.mu.Unlock()
	b := newBuffer()
	p := appendUint(b.begin(verbCommitted), failed)
	if err != nil {
		p = appendError(p, err)
	}
	return x.reply(b, p)
}

// leave ends the session. What it was sent must have been taken: the next one on the
// connection may have descriptors of its own under way.
func (x *session) leave(d *decoder) error {
	if err := x.taken(d); err != nil {
		return err
	}
	if err := x.answersTaken(); err != nil {
		return err
	}
	x.phase = left
	return nil
}

// overlap says whether two ascending lists have an element in common.
func overlap(a, b []int) bool {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			return true
		case a[0] < b[0]:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return false
}

// open answers with descriptors of messages.
func (x *session) open(d *decoder) error {
	first, n, err := x.span(d, MaxOpen)
	if err == nil {
		err = x.answersTaken()
	}
	if err != nil {
		return err
	}
	files := make([]File, n)
	n, err = x.openFiles(first, files)
	if err != nil {
		return x.failed("open", err)
	}
	files = files[:n]
	defer func() {
		for _, f := range files {
			f.close()
		}
	}()
	b := newBuffer()
	defer b.free()
	p := b.begin(verbOpened)
	descriptors := make([]int, 0, n)
	for _, f := range files {
		p = appendUint(appendUint(p, f.Bytes), f.Octets)
		descriptors = append(descriptors, f.FD)
	}
	return x.handOver("open", p, descriptors...)
}

// answersTaken makes sure, before descriptors are put on their way, that none
// are: an honest front has taken every answer before it asks again. The kernel
// counts those under way against the user of the keeper, in all, and a front
// that let them lie would take from all sessions what one may have.
func (x *session) answersTaken() error {
	var waiting int
	var err error
	if controlErr := x.raw.Control(func(fd uintptr) {
		waiting, err = nowait.Untaken(fd)
	}); controlErr != nil {
		err = controlErr
	}
	switch {
	case err != nil:
		return fmt.Errorf("what the front has not taken yet: %w", err)
	case waiting > 0:
		return errUntaken
	}
	return nil
}

// handOver sends the packet p with descriptors. If the keeper has too many open,
// or under way, that request fails, which is not the front's fault.
func (x *session) handOver(what string, p []byte, descriptors ...int) error {
	err := x.send(p, unix.UnixRights(descriptors...))
	if isShortage(err) {
		return x.failed(what, fmt.Errorf("%d descriptors can't be handed over: %w", len(descriptors), err))
	}
	return err
}

// isShortage says that descriptors could not be sent because there are too many.
func isShortage(err error) bool {
	return errors.Is(err, unix.ETOOMANYREFS) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}
