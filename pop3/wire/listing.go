package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// listing answers with a whole listing, or says that it is not at hand.
func (x *session) listing(d *decoder) error {
	what := pop3.Listing(d.int(int(pop3.ListUIDLs)))
	if err := x.taken(d); err != nil {
		return err
	}
	if err := x.answersTaken(); err != nil {
		return err
	}
	if err := x.holdListing(what); err != nil {
		return x.failed("listing", err)
	}
	b := newBuffer()
	held := x.listings[what]
	if held == nil {
		return x.reply(b, appendUint(b.begin(verbListingIs), 0))
	}
	defer b.free()
	return x.handOver("listing", appendUint(b.begin(verbListingIs), held.size), held.fd)
}

// replyLoggedIn sends the packet p, which is in b, with the listings that are at
// hand, and frees b. A client that looks for mail asks for them next, and to wait
// for another process is most of what they cost.
func (x *session) replyLoggedIn(b *buffer, p []byte) error {
	defer b.free()
	x.holdReady()
	q := p
	var descriptors []int
	for _, held := range x.listings {
		if held == nil {
			q = appendUint(q, 0)
			continue
		}
		q = appendUint(q, held.size)
		descriptors = append(descriptors, held.fd)
	}
	if len(descriptors) == 0 {
		return x.send(q, nil)
	}
	err := x.send(q, unix.UnixRights(descriptors...))
	if !isShortage(err) {
		return err
	}
	x.releaseListings()
	return x.send(appendUint(appendUint(p, 0), 0), nil)
}

// holdReady makes the session hold the listings that are there.
func (x *session) holdReady() {
	version := x.version()
	if version == 0 || x.messages < minListing {
		return
	}
	for what := range x.listings {
		x.listings[what] = x.server.listings.ready(listingKey{x.user, version, pop3.Listing(what)})
	}
}

// version is that of the maildrop, and 0 if nothing is known of it.
func (x *session) version() uint64 {
	if versioned, ok := x.drop.(Versioned); ok {
		return versioned.Version()
	}
	return 0
}

// holdListing makes sure that the session holds a listing, if there is room.
func (x *session) holdListing(what pop3.Listing) (err error) {
	if x.messages == 0 || x.listings[what] != nil {
		return nil
	}
	version := x.version()
	if version == 0 {
		return nil
	}
	ctx := x.server.base
	x.listings[what], err = x.server.listings.hold(ctx, listingKey{x.user, version, what}, func(w io.Writer) error {
		return pop3.WriteListing(ctx, w, checked{x.drop}, what)
	})
	return err
}

func (x *session) releaseListings() {
	for what, held := range x.listings {
		if held != nil {
			x.listings[what] = nil
			x.server.listings.release(held)
		}
	}
}

// checked is a maildrop that lists nothing that is out of bounds.
type checked struct{ pop3.Maildrop }

func (c checked) Octets(ctx context.Context, first, n int) iter.Seq2[int64, error] {
	return check(c.Maildrop.Octets(ctx, first, n), checkOctets)
}

func (c checked) UIDLs(ctx context.Context, first, n int) iter.Seq2[string, error] {
	return check(c.Maildrop.UIDLs(ctx, first, n), checkUIDL)
}

func check[T any](values iter.Seq2[T, error], check func(T) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v, err := range values {
			if err == nil {
				err = check(v)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

func checkOctets(octets int64) error {
	if octets < 0 || octets > maxOctets {
		return fmt.Errorf("the backend says that a message has %d octets", octets)
	}
	return nil
}

func checkUIDL(uidl string) error {
	if len(uidl) == 0 || len(uidl) > maxUIDL {
		return fmt.Errorf("the backend gives a UIDL of %d octets", len(uidl))
	}
	return nil
}

// Listing implements [pop3.Lister].
func (m *maildrop) Listing(ctx context.Context, what pop3.Listing) (io.ReadCloser, error) {
	if m.messages < minListing {
		return nil, nil
	}
	if ready := m.take(what); ready != nil {
		return ready, nil
	}
	b := newBuffer()
	in, d, err := m.call(ctx, answerWait, verbListingIs, b, appendUint(b.begin(verbListing), uint64(what)), true)
	if errors.Is(err, errNoRoom) {
		return nil, nil // values need none
	}
	if err != nil {
		return nil, err
	}
	defer in.free()
	size := int64(d.uint(maxOctets))
	if int64(len(in.descriptors)) != min(size, 1) {
		d.fail(errListing)
	}
	if err := d.end(); err != nil {
		closeAll(in.descriptors)
		return nil, m.link.broke("listing", err)
	}
	if size == 0 {
		return nil, nil
	}
	return &message{fd: in.descriptors[0], size: size}, nil
}

const errListing = violation("a listing without a descriptor, or with more than one")

// cameAlong takes the listings of a login's answer, of which each has its octets,
// 0 if there is none, in d. Where this process may not open so many files, none are
// there.
func cameAlong(d *decoder, in received) (ready [2]*message) {
	descriptors := in.descriptors
	for what := range ready {
		size := int64(d.uint(maxOctets))
		switch {
		case size == 0 || in.noRoom:
		case len(descriptors) == 0:
			d.fail(errListing)
		default:
			ready[what] = &message{fd: descriptors[0], size: size}
			descriptors = descriptors[1:]
		}
	}
	if len(descriptors) > 0 {
		d.fail(errListing)
	}
	return ready
}

// keep makes what came along the maildrop's. It counts among the descriptors that
// wait for clients.
func (m *maildrop) keep(ready [2]*message) {
	for what, l := range ready {
		switch {
		case l == nil:
		case m.client.reserve(1) == 0:
			_ = l.Close()
		default:
			m.ready[what] = l
		}
	}
}

// take gives a listing that came along, once, and nil if there is none.
func (m *maildrop) take(what pop3.Listing) *message {
	l := m.ready[what]
	if l != nil {
		m.ready[what] = nil
		m.client.ahead.Add(-1)
	}
	return l
}

// dropListings closes those that nobody asked for.
func (m *maildrop) dropListings() {
	for what := range m.ready {
		if l := m.take(pop3.Listing(what)); l != nil {
			_ = l.Close()
		}
	}
}
