package pop3

import (
	"bytes"
	"errors"
	"io"
)

// errFlood: an overlong line had no end.
var errFlood = errors.New("line without end")

// input cuts what the client sends into lines. Its buffer grows for a long
// line and shrinks after it.
type input struct {
	r     io.Reader
	wait  func() error // called before each read that may block
	buf   []byte       // received and not yet used: buf[start:]
	start int
}

// line gives the next line without its end, CR LF or LF alone; it is valid
// until the next call. limit tells how many octets the line that begins with
// the given octets may have, its end included. A longer one is thrown away up
// to its end: errLineTooLong. A last line without an end is not a line: io.EOF.
func (in *input) line(limit func(begin []byte) int) ([]byte, error) {
	skipped := 0
	for {
		pending := in.buf[in.start:]
		end := bytes.IndexByte(pending, '\n')
		if end >= 0 {
			in.start += end + 1
			if skipped > 0 || end+1 > limit(pending) {
				return nil, errLineTooLong
			}
			return bytes.TrimSuffix(pending[:end], []byte{'\r'}), nil
		}
		if skipped > 0 || len(pending) >= limit(pending) {
			skipped += len(pending)
			in.discard()
			if skipped > maxSkip {
				return nil, errFlood
			}
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
}

// discard throws away what was received and not yet used.
func (in *input) discard() {
	in.buf, in.start = in.buf[:0], 0
}

// fill reads more, at least one octet.
func (in *input) fill() error {
	in.buf = in.buf[:copy(in.buf, in.buf[in.start:])]
	in.start = 0
	switch {
	case len(in.buf) == 0 && cap(in.buf) != inBuffer:
		in.buf = make([]byte, 0, inBuffer)
	case len(in.buf) == cap(in.buf):
		in.buf = append(make([]byte, 0, 2*cap(in.buf)), in.buf...)
	}
	if err := in.wait(); err != nil {
		return err
	}
	n, err := in.r.Read(in.buf[len(in.buf):cap(in.buf)])
	in.buf = in.buf[:len(in.buf)+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}
