package pop3

import (
	"bytes"
	"io"
	"sync"
)

// What a stored message becomes on the wire (RFC 1939, section 3, and
// RFC 5322, section 2.1):
//
//   - a line feed that no carriage return precedes becomes CR LF, CR LF stays;
//   - a last line without its end gets one, a lone CR at the very end its LF;
//   - every other octet stays, NUL, 8-bit and bare CR included;
//   - a line that begins with a dot gets another one before it, which does not
//     count as an octet of the message.

// chunk is how much of a message is read at a time.
const chunk = 64 << 10

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// Measure reads a stored message to its end and gives its size in octets: what
// STAT and LIST say and RETR sends, the stuffed dots and the final line with
// the dot not counted.
func Measure(r io.Reader) (octets int64, err error) {
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	var last byte
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			octets += int64(n + bareLineFeeds(last, buf[:n]))
			last = buf[n-1]
		}
		if err == io.EOF {
			return octets + int64(len(lineEnd(octets == 0, last))), nil
		}
		if err != nil {
			return octets, err
		}
	}
}

// bareLineFeeds counts the line feeds in p that no carriage return precedes;
// last is the octet before p.
func bareLineFeeds(last byte, p []byte) int {
	n := bytes.Count(p, []byte{'\n'})
	if last == '\r' && p[0] == '\n' {
		n--
	}
	for {
		i := bytes.IndexByte(p, '\r')
		if i < 0 || i+1 == len(p) {
			return n
		}
		if p[i+1] == '\n' {
			n--
		}
		p = p[i+1:]
	}
}

// lineEnd is what completes the last line of a message that ends in last.
func lineEnd(empty bool, last byte) string {
	switch {
	case empty || last == '\n':
		return ""
	case last == '\r':
		return "\n"
	}
	return "\r\n"
}

// encoder is the state of one message on its way to the wire.
type encoder struct {
	octets int64 // sent so far, stuffed dots not counted
	last   byte  // the octet before the next one
}

// minRoom is the least room in which encode always gets on: a stuffed dot, one
// octet and a line end.
const minRoom = 4

// encode appends to dst what src becomes, without growing it, and tells how
// much of src that was: all, or as much as fits.
func (e *encoder) encode(dst, src []byte) ([]byte, int) {
	done := 0
	for done < len(src) && cap(dst)-len(dst) >= minRoom {
		if src[done] == '.' && (e.octets == 0 || e.last == '\n') {
			dst = append(dst, '.')
		}
		start := len(dst)
		line := src[done:min(len(src), done+cap(dst)-start-2)]
		end := bytes.IndexByte(line, '\n')
		if end >= 0 {
			line = line[:end]
		}
		dst = append(dst, line...)
		done += len(line)
		if len(line) > 0 {
			e.last = line[len(line)-1]
		}
		if end >= 0 {
			if e.last != '\r' {
				dst = append(dst, '\r')
			}
			dst = append(dst, '\n')
			e.last = '\n'
			done++
		}
		e.octets += int64(len(dst) - start)
	}
	return dst, done
}

// finish appends to dst, which has room for it, what ends the message.
func (e *encoder) finish(dst []byte) []byte {
	end := lineEnd(e.octets == 0, e.last)
	e.octets += int64(len(end))
	dst = append(dst, end...)
	return append(dst, ".\r\n"...)
}

// endRoom is the room that finish needs.
const endRoom = 5

// topReader reads of a stored message what TOP sends: the header, the blank
// line if there is one, and so many lines of the body (RFC 1939, section 7).
type topReader struct {
	r     io.Reader
	lines int64 // of the body, still to come
	body  bool  // the blank line was seen
	width int   // octets of the current line so far, 2 for more
	last  byte
}

func (t *topReader) Read(p []byte) (int, error) {
	if t.body && t.lines == 0 {
		return 0, io.EOF
	}
	n, err := t.r.Read(p)
	for i := 0; i < n; {
		end := bytes.IndexByte(p[i:n], '\n')
		if end < 0 {
			t.add(p[i:n])
			break
		}
		t.add(p[i : i+end])
		i += end + 1
		if t.lineDone(); t.body && t.lines == 0 {
			return i, io.EOF
		}
	}
	return n, err
}

func (t *topReader) add(p []byte) {
	if len(p) > 0 {
		t.width = min(t.width+len(p), 2)
		t.last = p[len(p)-1]
	}
}

func (t *topReader) lineDone() {
	blank := t.width == 0 || t.width == 1 && t.last == '\r'
	t.width = 0
	switch {
	case t.body:
		t.lines--
	case blank:
		t.body = true
	}
}
