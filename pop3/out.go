package pop3

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// outBuffers are the buffers of the sessions that have something to say at the
// moment; a session that waits for its client holds none.
var outBuffers = sync.Pool{New: func() any { return new([OutBuffer]byte) }}

// output collects answers. After an error it swallows everything; the session
// sees the error when it flushes.
type output struct {
	conn    net.Conn
	timeout time.Duration
	until   time.Time // when the last write must be done; zero: whenever
	array   *[OutBuffer]byte
	buf     []byte // of array; nil while there is none
	err     error
}

// room makes sure that n more octets fit.
func (o *output) room(n int) {
	if o.buf == nil {
		o.array = outBuffers.Get().(*[OutBuffer]byte)
		o.buf = o.array[:0]
	}
	if cap(o.buf)-len(o.buf) < n {
		o.send(len(o.buf))
	}
}

// send writes the first n octets and keeps the others.
func (o *output) send(n int) {
	if o.err == nil {
		deadline := time.Now().Add(o.timeout)
		if !o.until.IsZero() && o.until.Before(deadline) {
			deadline = o.until
		}
		o.err = o.conn.SetWriteDeadline(deadline)
	}
	if o.err == nil {
		_, o.err = o.conn.Write(o.buf[:n])
	}
	o.buf = o.buf[:copy(o.buf, o.buf[n:])]
}

// flush sends everything and gives the buffer back.
func (o *output) flush() error {
	if len(o.buf) > 0 {
		o.send(len(o.buf))
	}
	o.drop()
	return o.err
}

// drop gives the buffer back with whatever is in it.
func (o *output) drop() {
	if o.array != nil {
		outBuffers.Put(o.array)
		o.array, o.buf = nil, nil
	}
}

// line adds a line that is shorter than the buffer and begins with no dot.
func (o *output) line(parts ...string) {
	n := len("\r\n")
	for _, p := range parts {
		n += len(p)
	}
	o.room(n)
	for _, p := range parts {
		o.buf = append(o.buf, p...)
	}
	o.buf = append(o.buf, "\r\n"...)
}

// dot ends a multi-line answer.
func (o *output) dot() {
	o.room(0)
	if cap(o.buf)-len(o.buf) < endRoom {
		o.sendMost()
	}
	o.buf = append(o.buf, ".\r\n"...)
}

// lines sends a listing as a multi-line answer. With an error the answer is not
// complete.
func (o *output) lines(ctx context.Context, l lines) (err error) {
	o.room(0)
	o.buf, err = l.appendTo(ctx, o.buf, func(p []byte) ([]byte, error) {
		o.buf = p
		o.send(len(p))
		return o.buf, o.err
	})
	if err == nil {
		o.dot()
	}
	return err
}

// copy does the same with whole lines, none of which begins with a dot.
func (o *output) copy(r io.Reader) error {
	o.room(0)
	for o.err == nil {
		if cap(o.buf)-len(o.buf) < endRoom {
			o.sendMost()
		}
		n, err := r.Read(o.buf[len(o.buf):cap(o.buf)])
		o.buf = o.buf[:len(o.buf)+n]
		if err == io.EOF {
			o.dot()
			return o.err
		}
		if err != nil {
			return err
		}
	}
	return o.err
}

// message sends a stored message as a multi-line answer and tells how many
// octets it had. With an error the answer is not complete.
func (o *output) message(r io.Reader) (octets int64, err error) {
	src := chunks.Get().(*[chunk]byte)
	defer chunks.Put(src)
	var e encoder
	o.room(0)
	for o.err == nil {
		n, err := r.Read(src[:])
		for p := src[:n]; len(p) > 0; {
			var done int
			o.buf, done = e.encode(o.buf, p)
			if p = p[done:]; len(p) > 0 {
				o.sendMost()
			}
		}
		if err == io.EOF {
			if cap(o.buf)-len(o.buf) < endRoom {
				o.sendMost()
			}
			o.buf = e.finish(o.buf)
			return e.octets, o.err
		}
		if err != nil {
			return e.octets, err
		}
	}
	return e.octets, o.err
}

// sendMost keeps the last two octets back, so that the end of a message and
// the line with the dot are always in one write: some clients look for
// CR LF . CR LF in one read.
func (o *output) sendMost() {
	o.send(max(len(o.buf)-2, 0))
}
