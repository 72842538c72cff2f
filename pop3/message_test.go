package pop3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// reference is what a stored message becomes, written to be obviously right:
// line by line, one octet at a time.
func reference(stored []byte) (sent []byte, octets int64) {
	var line []byte
	end := func() {
		octets += int64(len(line)) + 2
		if len(line) > 0 && line[0] == '.' {
			sent = append(sent, '.')
		}
		sent = append(append(sent, line...), '\r', '\n')
		line = nil
	}
	open := false // a line has begun
	for i, c := range stored {
		if c != '\n' {
			open = true
			line = append(line, c)
			continue
		}
		if i > 0 && stored[i-1] == '\r' {
			line = line[:len(line)-1] // its CR is part of the end
		}
		end()
		open = false
	}
	if open {
		line = bytes.TrimSuffix(line, []byte{'\r'})
		end()
	}
	return append(sent, ".\r\n"...), octets
}

// referenceTop is the part of a stored message that TOP sends.
func referenceTop(stored []byte, lines int) []byte {
	var part []byte
	body := false
	for len(stored) > 0 && (!body || lines > 0) {
		line, rest, ended := bytes.Cut(stored, []byte{'\n'})
		part = append(part, line...)
		if ended {
			part = append(part, '\n')
		}
		switch {
		case body:
			lines--
		case ended && len(bytes.TrimSuffix(line, []byte{'\r'})) == 0:
			body = true
		}
		stored = rest
	}
	return part
}

// encodeIn sends src in pieces through a buffer of a size, as output does.
func encodeIn(src []byte, size, piece int) (sent []byte, octets int64) {
	var e encoder
	buf := make([]byte, 0, size)
	flush := func() {
		sent = append(sent, buf...)
		buf = buf[:0]
	}
	for len(src) > 0 {
		p := src[:min(piece, len(src))]
		src = src[len(p):]
		for len(p) > 0 {
			var n int
			buf, n = e.encode(buf, p)
			if p = p[n:]; len(p) > 0 {
				flush()
			}
		}
	}
	flush()
	return append(sent, e.finish(buf)...), e.octets
}

func TestEncode(t *testing.T) {
	var messages []string
	// Every message of up to five octets of those that matter.
	const alphabet = "a.\r\n"
	messages = append(messages, "")
	for from, n := 0, 0; n < 5; n++ {
		to := len(messages)
		for ; from < to; from++ {
			for _, c := range alphabet {
				messages = append(messages, messages[from]+string(c))
			}
		}
	}
	messages = append(messages,
		"\x00\n\xff\n", strings.Repeat(".", 70000), strings.Repeat(".\n", 70000), strings.Repeat("\r\n", 5000),
		strings.Repeat("x", 200000)+"\n.", strings.Repeat("\r", 999))
	for _, m := range messages {
		want, octets := reference([]byte(m))
		if got, err := Measure(iotest.OneByteReader(strings.NewReader(m))); got != octets || err != nil {
			t.Fatalf("Measure(%.20q) = %d, %v, not %d", m, got, err, octets)
		}
		if got, err := Measure(strings.NewReader(m)); got != octets || err != nil {
			t.Fatalf("Measure(%.20q) at once = %d, %v, not %d", m, got, err, octets)
		}
		for _, size := range []int{5, 6, 7, 8, 64, 1 << 20} {
			if len(m) > 1000 && size < 64 {
				continue // takes long and shows nothing new
			}
			piece := []int{1, 2, 3, len(m) + 1}[len(m)%4]
			if got, n := encodeIn([]byte(m), size, piece); n != octets || !bytes.Equal(got, want) {
				t.Fatalf("%.20q in %d by %d: %.40q of %d octets, not %.40q of %d", m, size, piece, got, n, want, octets)
			}
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte("Subject: x\n\n.body\r\n.."), uint16(8), uint16(3), uint8(1))
	f.Add([]byte(""), uint16(0), uint16(0), uint8(0))
	f.Add([]byte(".\r\r\n\x00"), uint16(1), uint16(1), uint8(0))
	f.Fuzz(func(t *testing.T, stored []byte, size, piece uint16, lines uint8) {
		want, octets := reference(stored)
		got, n := encodeIn(stored, endRoom+int(size), 1+int(piece))
		if n != octets || !bytes.Equal(got, want) {
			t.Fatalf("sent %q, %d octets; should be %q, %d octets", got, n, want, octets)
		}
		if m, err := Measure(bytes.NewReader(stored)); m != octets || err != nil {
			t.Fatalf("measured %d, %v; should be %d", m, err, octets)
		}
		r := io.Reader(bytes.NewReader(stored))
		if size%2 == 0 {
			r = iotest.OneByteReader(r)
		}
		top, err := io.ReadAll(&topReader{r: r, lines: int64(lines)})
		if should := referenceTop(stored, int(lines)); err != nil || !bytes.Equal(top, should) {
			t.Fatalf("the top is %q, %v; should be %q", top, err, should)
		}
	})
}

func TestMeasurePassesErrors(t *testing.T) {
	broken := errors.New("broken disk")
	if _, err := Measure(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken))); err != broken {
		t.Errorf("Measure of a broken file: %v", err)
	}
}

func TestTop(t *testing.T) {
	for _, m := range []string{
		"", "\n", "\r\n", "a", "a\n", "a\n\n", "a\n\nb", "a\n\nb\nc\n", "a\r\n\r\nb\r\n\r\nc\r\n",
		"a\n\r\r\nb\n\nc\n", "\r", "\ra\n\nb\n", "\n\n\n\n", strings.Repeat("header: x\n", 9000) + "\n" + strings.Repeat("body\n", 20),
	} {
		for lines := range 5 {
			want := referenceTop([]byte(m), lines)
			for name, r := range map[string]io.Reader{
				"whole": strings.NewReader(m), "by octets": iotest.OneByteReader(strings.NewReader(m)),
				"end with data": iotest.DataErrReader(strings.NewReader(m)),
			} {
				got, err := io.ReadAll(&topReader{r: r, lines: int64(lines)})
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("top %d of %.20q read %s: %q, %v, not %q", lines, m, name, got, err, want)
				}
			}
		}
	}
}

func TestHasUTF8Header(t *testing.T) {
	for m, want := range map[string]bool{
		"":                                   false,
		"Subject: x\n\ngrün\n":               false,
		"Subject: grün\n\nx\n":               true,
		"A: b\r\nSubject: grün\r\n\r\nx\r\n": true,
		"A: b\r\n\r\nSubject: grün\r\n":      false,
		"Subject: gr\xfcn\n\nx":              false,
		"A: gr\xfcn\nB: grün\n\nx":           true,
		"Subject: no end of header grün":     true,
	} {
		if got := hasUTF8Header([]byte(m)); got != want {
			t.Errorf("hasUTF8Header(%q) = %v", m, got)
		}
	}
}

// corpusLike is text as mail has it: lines of up to 76 octets, few dots.
func corpusLike(size int, end string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%.*s%s", 20+i*7%57, "The quick brown fox jumps over the lazy dog, and then does it all once more....", end)
		if i%50 == 0 {
			b.WriteString("." + end)
		}
	}
	return b.Bytes()[:size]
}

// BenchmarkEncode has the cost of CRLF and dots beside that of a plain copy of
// the same octets, in GB/s of what is stored.
func BenchmarkEncode(b *testing.B) {
	for name, end := range map[string]string{"LF": "\n", "CRLF": "\r\n"} {
		src := corpusLike(chunk, end)
		dst := make([]byte, 0, 2*chunk)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				var e encoder
				if _, n := e.encode(dst, src); n != len(src) {
					b.Fatal("does not fit")
				}
			}
		})
		b.Run(name+"/copy", func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				copy(dst[:len(src)], src)
			}
		})
	}
}

func BenchmarkMeasure(b *testing.B) {
	for name, end := range map[string]string{"LF": "\n", "CRLF": "\r\n"} {
		src := corpusLike(1<<20, end)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			r := bytes.NewReader(nil)
			for b.Loop() {
				r.Reset(src)
				if _, err := Measure(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
