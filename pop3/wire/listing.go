package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

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

// holdListing makes sure that the session holds a listing, if there is room.
func (x *session) holdListing(what pop3.Listing) (err error) {
	versioned, ok := x.drop.(Versioned)
	if !ok || x.messages == 0 || x.listings[what] != nil {
		return nil
	}
	version := versioned.Version()
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
		d.fail(violation("a listing without a descriptor, or with more than one"))
	}
	if err := d.end(); err != nil {
		closeAll(in.descriptors)
		return nil, m.broke("listing", err)
	}
	if size == 0 {
		return nil, nil
	}
	return &message{fd: in.descriptors[0], size: size}, nil
}
