package pop3

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
)

// Listing is one of the two listings of a maildrop.
type Listing byte

const (
	ListOctets Listing = iota // sizes, by LIST
	ListUIDLs                 // unique-ids, by UIDL
)

// Lister is what a [Maildrop] may implement that has listings at hand as they
// are sent, which costs less than to iterate over a large maildrop. It is asked
// when a client wants a listing of all messages and has deleted none.
type Lister interface {
	// Listing gives the lines of all messages, as [WriteListing] writes them: a
	// reader that is read to its end or closed before. A nil reader without an
	// error says that the listing is not at hand; then Octets or UIDLs is
	// asked. When reading fails, the client's connection is cut.
	Listing(ctx context.Context, what Listing) (io.ReadCloser, error)
}

// WriteListing writes the lines that LIST or UIDL says of all messages of m
// (RFC 1939, sections 5 and 7), each with its CR LF: neither the status line
// nor the line with the dot. It writes pieces of at most [OutBuffer] octets.
func WriteListing(ctx context.Context, w io.Writer, m Maildrop, what Listing) error {
	array := outBuffers.Get().(*[OutBuffer]byte)
	defer outBuffers.Put(array)
	flush := func(p []byte) ([]byte, error) {
		_, err := w.Write(p)
		return p[:0], err
	}
	messages, _ := m.Stat()
	rest, err := lines{Maildrop: m, what: what, messages: messages}.appendTo(ctx, array[:0], flush)
	if err == nil {
		_, err = flush(rest)
	}
	return err
}

// lines are those of a listing.
type lines struct {
	Maildrop
	what     Listing
	messages int                    // in all
	skip     func(message int) bool // nil: none
}

// appendTo appends them to buf. Where there is no room left, flush takes the
// buffer and gives one with room. What is returned is not flushed yet, with an
// error neither.
func (l lines) appendTo(ctx context.Context, buf []byte, flush func([]byte) ([]byte, error)) ([]byte, error) {
	if l.what == ListUIDLs {
		return appendLines(l, l.UIDLs(ctx, 0, l.messages), appendUIDL, buf, flush)
	}
	return appendLines(l, l.Octets(ctx, 0, l.messages), appendOctets, buf, flush)
}

func appendOctets(dst []byte, octets int64) []byte { return strconv.AppendInt(dst, octets, 10) }
func appendUIDL(dst []byte, uidl string) []byte    { return append(dst, uidl...) }

func appendLines[T any](l lines, values iter.Seq2[T, error], add func([]byte, T) []byte, buf []byte, flush func([]byte) ([]byte, error)) ([]byte, error) {
	i, number := 0, decimal("1")
	for v, err := range values {
		if err != nil {
			return buf, err
		}
		if l.skip == nil || !l.skip(i) {
			if cap(buf)-len(buf) < listLine {
				if buf, err = flush(buf); err != nil {
					return buf, err
				}
			}
			line := append(append(buf, number...), ' ')
			buf = append(add(line, v), "\r\n"...)
		}
		i++
		number.next()
	}
	if i != l.messages {
		return buf, errShort
	}
	return buf, nil
}

// listLine is more than the longest line of a listing: a message number, a
// UIDL of 255 characters, and what stands between them.
const listLine = 300

// decimal is a number in decimal. Counting up in it is how listings number
// messages: to format each number would be half of their cost.
type decimal []byte

// next makes d the number after it.
func (d *decimal) next() {
	for i := len(*d) - 1; i >= 0; i-- {
		if (*d)[i] < '9' {
			(*d)[i]++
			return
		}
		(*d)[i] = '0'
	}
	*d = append(decimal("1"), *d...)
}

func (c *session) cmdList(args []string) (reply, error) {
	if len(args) == 1 {
		return listOne(c, args[0], c.drop.Octets, appendOctets)
	}
	return c.listAll(ListOctets)
}

func (c *session) cmdUidl(args []string) (reply, error) {
	if len(args) == 1 {
		return listOne(c, args[0], c.drop.UIDLs, appendUIDL)
	}
	return c.listAll(ListUIDLs)
}

// listOne answers LIST and UIDL of one message.
func listOne[T any](c *session, arg string, values func(ctx context.Context, first, n int) iter.Seq2[T, error], add func([]byte, T) []byte) (reply, error) {
	i, err := c.drop.find(arg)
	if err != nil {
		return reply{}, err
	}
	for v, err := range values(c.server.base, i, 1) {
		return reply{text: strconv.Itoa(i+1) + " " + string(add(nil, v))}, err
	}
	return reply{}, errShort
}

// listAll answers them of all messages.
func (c *session) listAll(what Listing) (reply, error) {
	d, ctx := c.drop, c.server.base
	summary, err := d.summary(ctx)
	if err != nil {
		return reply{}, err
	}
	rest := lines{Maildrop: d.Maildrop, what: what, messages: d.messages}
	var ready io.ReadCloser
	if d.live < d.messages {
		rest.skip = d.deleted
	} else if l, ok := d.Maildrop.(Lister); ok {
		if ready, err = l.Listing(ctx, what); err != nil {
			return reply{}, fmt.Errorf("listing: %w", err)
		}
	}
	body := func(o *output) error {
		if ready == nil {
			return o.lines(ctx, rest)
		}
		defer ready.Close()
		return o.copy(ready)
	}
	return reply{text: summary + " follow", body: body}, nil
}
