package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3/internal/nowait"
)

// ahead is what a session has of the messages that its client will ask for next
// if it fetches in order. Those that do get 1, then 4, 16 and 64 in one answer;
// the others one at a time.
type ahead struct {
	next  int    // the message that comes next
	ask   int    // how many to ask for then
	files []File // of next and the ones after it
}

// growth is by what the number of descriptors grows that are asked for at once.
const growth = 4

// Open implements [pop3.Maildrop].
func (m *maildrop) Open(ctx context.Context, i int) (io.ReadCloser, int64, error) {
	a := &m.ahead
	if i != a.next {
		a.drop(m.client)
		a.next, a.ask = i, 1
	}
	if len(a.files) == 0 {
		if err := m.fetch(ctx); err != nil {
			return nil, 0, err
		}
	} else {
		m.client.ahead.Add(-1)
	}
	f := a.files[0]
	a.files = a.files[1:]
	a.next++
	return &message{fd: f.FD, size: f.Bytes, drop: m}, f.Octets, nil
}

// fetch gets descriptors of the next messages, or of the next one alone where
// there is no room for more.
func (m *maildrop) fetch(ctx context.Context) error {
	a := &m.ahead
	want := max(1, min(a.ask, m.messages-a.next))
	err := m.fetchSome(ctx, want)
	if want > 1 && errors.Is(err, errNoRoom) {
		if err = m.fetchSome(ctx, 1); err == nil {
			a.ask = 1
		}
	}
	return err
}

// fetchSome gets want descriptors, or fewer.
func (m *maildrop) fetchSome(ctx context.Context, want int) error {
	a := &m.ahead
	granted := m.client.reserve(want - 1)
	b := newBuffer()
	q := appendUint(appendUint(b.begin(verbOpen), a.next), 1+granted)
	in, d, err := m.call(ctx, answerWait, verbOpened, b, q, true)
	if err != nil {
		m.client.ahead.Add(int64(-granted))
		return err
	}
	defer in.free()
	files := make([]File, 0, len(in.descriptors))
	for _, fd := range in.descriptors {
		files = append(files, File{FD: fd, Bytes: int64(d.uint(maxOctets)), Octets: int64(d.uint(maxOctets))})
	}
	if len(files) == 0 || len(files) > 1+granted {
		d.fail(violation("another number of descriptors than were asked for"))
	}
	if err := d.end(); err != nil {
		m.client.ahead.Add(int64(-granted))
		closeAll(in.descriptors)
		return m.link.broke("open", err)
	}
	m.client.ahead.Add(int64(len(files) - 1 - granted))
	a.files, a.ask = files, min(want*growth, MaxOpen)
	return nil
}

// drop closes what nobody asked for.
func (a *ahead) drop(c *Client) {
	for _, f := range a.files {
		_ = unix.Close(f.FD)
	}
	c.ahead.Add(int64(-len(a.files)))
	a.files = nil
}

// reserve grants at most want descriptors of those that may wait.
func (c *Client) reserve(want int) int {
	limit := int64(c.Ahead)
	if limit == 0 {
		limit = DefaultAhead
	}
	for {
		used := c.ahead.Load()
		granted := max(0, min(int64(want), limit-used))
		if granted == 0 || c.ahead.CompareAndSwap(used, used+granted) {
			return int(granted)
		}
	}
}

// message is a stored message. It reads exactly the bytes that the message had
// when the keeper opened it: what is appended later is not read, and a file cut
// short fails with [io.ErrUnexpectedEOF].
type message struct {
	fd       int
	at, size int64
	drop     *maildrop // whose message it is; nil: it is a file in memory
	waits    bool      // its content may have to be waited for
}

// Read implements [io.Reader].
func (m *message) Read(p []byte) (int, error) {
	switch {
	case m.fd < 0:
		return 0, os.ErrClosed
	case m.at >= m.size:
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), m.size-m.at)]
	for {
		n, err := m.pread(p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("read message: %w", err)
		case n == 0 && len(p) > 0:
			return 0, io.ErrUnexpectedEOF
		}
		m.at += int64(n)
		return n, nil
	}
}

// pread reads without waiting as long as that gets on.
func (m *message) pread(p []byte) (int, error) {
	if m.drop == nil {
		return nowait.ReadMemory(m.fd, p, m.at)
	}
	if m.waits || m.drop.waits {
		return unix.Pread(m.fd, p, m.at)
	}
	begun := time.Now()
	n, err := nowait.ReadAt(m.fd, p, m.at)
	if time.Since(begun) > atOnce { // others have a say, such as a virus scanner
		m.drop.waits = true
	}
	if n > 0 && err == nil {
		return n, nil
	}
	m.waits = true
	return unix.Pread(m.fd, p, m.at)
}

// Close implements [io.Closer].
func (m *message) Close() error {
	if m.fd < 0 {
		return os.ErrClosed
	}
	fd := m.fd
	m.fd = -1
	if m.drop == nil || m.at > 0 && m.size <= soonGone && !m.waits {
		return nowait.Close(fd)
	}
	return unix.Close(fd)
}
