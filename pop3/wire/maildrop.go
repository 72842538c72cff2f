package wire

import (
	"context"
	"encoding/binary"
	"iter"
	"net"
	"slices"
	"time"
)

// maildrop is a session of the keeper. It implements [pop3.Maildrop].
type maildrop struct {
	link     *link // nil after Close: it may be another session's
	client   *Client
	user     string
	messages int
	octets   int64
	ahead    ahead
	waits    bool        // to read messages takes long
	ready    [2]*message // listings that came with the login, by pop3.Listing; nil: none
}

// User implements [pop3.Maildrop].
func (m *maildrop) User() string { return m.user }

// Stat implements [pop3.Maildrop].
func (m *maildrop) Stat() (messages int, octets int64) { return m.messages, m.octets }

// Octets implements [pop3.Maildrop].
func (m *maildrop) Octets(ctx context.Context, first, n int) iter.Seq2[int64, error] {
	return list(ctx, m, verbOctets, verbOctetsAre, first, n, func(d *decoder, yield func(int64, error) bool) bool {
		for d.more() {
			octets := int64(d.uint(maxOctets))
			if d.err == nil && !yield(octets, nil) {
				return false
			}
		}
		return true
	})
}

// UIDLs implements [pop3.Maildrop].
func (m *maildrop) UIDLs(ctx context.Context, first, n int) iter.Seq2[string, error] {
	return list(ctx, m, verbUIDLs, verbUIDLsAre, first, n, func(d *decoder, yield func(string, error) bool) bool {
		text := string(d.packet) // one string for all of them
		for d.more() {
			size := len(d.bytes(maxUIDL))
			if size == 0 {
				d.fail(errLength)
			}
			if d.err == nil && !yield(text[d.at-size:d.at], nil) {
				return false
			}
		}
		return true
	})
}

// list asks for something about n messages, for as many as an answer holds at a
// time. each yields the values of one answer, and says false where no more are
// wanted.
func list[T any](ctx context.Context, m *maildrop, ask, answer verb, first, n int, each func(*decoder, func(T, error) bool) bool) iter.Seq2[T, error] {
	l := m.link
	return func(yield func(T, error) bool) {
		for n > 0 {
			b := newBuffer()
			q := appendUint(appendUint(b.begin(ask), first), n)
			in, d, err := m.call(ctx, answerWait, answer, b, q, false)
			if err != nil {
				yield(*new(T), err)
				return
			}
			got := 0
			wanted := each(d, func(value T, _ error) bool {
				if got == n {
					d.fail(errTrailing)
					return true
				}
				got++
				return yield(value, nil)
			})
			in.free()
			if !wanted {
				return
			}
			if got == 0 {
				d.fail(errShort)
			}
			if err := d.end(); err != nil {
				yield(*new(T), l.broke("listing", err))
				return
			}
			first, n = first+got, n-got
		}
	}
}

// call is one request, which is q in b, and its answer: what that has to be, or
// a failure, or [errNoRoom]. The packet and its descriptors become the caller's.
func (m *maildrop) call(ctx context.Context, wait time.Duration, answer verb, b *buffer, q []byte, rights bool) (received, *decoder, error) {
	if m.link == nil {
		b.free()
		return received{}, nil, unreachable("session", net.ErrClosed)
	}
	in, err := m.link.ask(ctx, wait, b, q, rights)
	if err != nil {
		return received{}, nil, m.link.broke("session", err)
	}
	v, d, err := decode(in.packet)
	if err == nil && v == answer && in.noRoom {
		in.free()
		return received{}, nil, errNoRoom
	}
	if err == nil && v == answer {
		return in, d, nil
	}
	var failure error
	switch {
	case err != nil:
	case v == verbFailed:
		failure = d.error()
		err = d.end()
	default:
		err = errTurn
	}
	closeAll(in.descriptors)
	in.free()
	if err != nil {
		return received{}, nil, m.link.broke("session", err)
	}
	return received{}, nil, failure
}

// Commit implements [pop3.Maildrop].
func (m *maildrop) Commit(ctx context.Context, remove, retrieved []int) (failed int, err error) {
	if m.link == nil {
		return len(remove), unreachable("removal", net.ErrClosed)
	}
	m.ahead.drop(m.client)
	if err := m.sendNumbers(toRemove, remove); err != nil {
		return len(remove), m.link.broke("removal", err)
	}
	if err := m.sendNumbers(wasRetrieved, retrieved); err != nil {
		return len(remove), m.link.broke("removal", err)
	}
	b := newBuffer()
	q := appendUint(appendUint(b.begin(verbCommit), len(remove)), len(retrieved))
	in, d, err := m.call(ctx, commitWait, verbCommitted, b, q, false)
	if err != nil {
		return len(remove), err
	}
	defer in.free()
	failed = d.int(len(remove))
	var failure error
	if d.more() {
		failure = d.error()
	}
	if err := d.end(); err != nil {
		return len(remove), m.link.broke("removal", err)
	}
	return failed, failure
}

// sendNumbers sends one of the two sets of a commit, which is not answered.
func (m *maildrop) sendNumbers(set byte, messages []int) error {
	if !slices.IsSorted(messages) {
		messages = slices.Sorted(slices.Values(messages))
	}
	b := newBuffer()
	defer b.free()
	last := -1
	for len(messages) > 0 {
		q := append(b.begin(verbNumbers), set)
		for len(messages) > 0 && len(q)+binary.MaxVarintLen64 <= MaxPacket {
			q = appendUint(q, messages[0]-last)
			last, messages = messages[0], messages[1:]
		}
		if err := m.link.send(q, nil); err != nil {
			return err
		}
	}
	return nil
}

// Close implements [pop3.Maildrop]. The keeper closes its maildrop when it is told,
// or finds the connection closed, which is not waited for.
func (m *maildrop) Close() error {
	l := m.link
	if l == nil {
		return nil
	}
	m.link = nil
	m.ahead.drop(m.client)
	m.dropListings()
	return m.client.idle.leave(l)
}
