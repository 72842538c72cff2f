package pop3

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// cmdUtf8 begins UTF-8 mode (RFC 6856, section 2). Messages are sent as they
// are stored then; answers are ASCII in either mode.
func (c *session) cmdUtf8([]string) (reply, error) {
	c.utf8 = true
	return reply{text: "UTF-8 mode"}, nil
}

// open opens a message, if the client may have it as it is, and gives its octets.
func (c *session) open(i int) (m io.ReadCloser, octets int64, err error) {
	m, octets, err = c.drop.Open(c.server.base, i)
	if err != nil || c.utf8 || c.settings.UTF8Headers == SendUTF8 {
		return m, octets, err
	}
	p := &peeked{ReadCloser: m, chunk: chunks.Get().(*[chunk]byte)}
	p.peek()
	if hasUTF8Header(p.begin) {
		p.Close()
		return nil, 0, errNeedsUTF8
	}
	return p, octets, nil
}

// peeked is a message whose beginning has been looked at: its header, or as much
// of it as a chunk holds.
type peeked struct {
	io.ReadCloser
	chunk *[chunk]byte
	begin []byte // of chunk, not read yet
	err   error  // that of the read after it
}

func (p *peeked) peek() {
	n := 0
	for p.err == nil && n < len(p.chunk) && !hasBlankLine(p.chunk[:n]) {
		var more int
		more, p.err = p.ReadCloser.Read(p.chunk[n:])
		n += more
	}
	p.begin = p.chunk[:n]
}

func (p *peeked) Read(b []byte) (int, error) {
	if len(p.begin) > 0 {
		n := copy(b, p.begin)
		p.begin = p.begin[n:]
		return n, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	return p.ReadCloser.Read(b)
}

func (p *peeked) Close() error {
	chunks.Put(p.chunk)
	p.chunk, p.begin = nil, nil
	return p.ReadCloser.Close()
}

func hasBlankLine(b []byte) bool {
	return bytes.Contains(b, []byte("\n\n")) || bytes.Contains(b, []byte("\n\r\n"))
}

// hasUTF8Header says whether the header section at the beginning of a message
// holds characters beyond ASCII in UTF-8 (RFC 6532). Octets that are not UTF-8
// are some older character set, of which RFC 6856 says nothing.
func hasUTF8Header(message []byte) bool {
	for len(message) > 0 {
		line, rest, _ := bytes.Cut(message, []byte{'\n'})
		if len(bytes.TrimSuffix(line, []byte{'\r'})) == 0 {
			return false
		}
		ascii := !bytes.ContainsFunc(line, func(r rune) bool { return r >= utf8.RuneSelf })
		if !ascii && utf8.Valid(line) {
			return true
		}
		message = rest
	}
	return false
}

// languages are those that answers can be in (RFC 6856, section 3).
var languages = []struct{ tag, name string }{
	{"en", "English"},
	{"i-default", "Default language"}, // RFC 2277, section 4.5
}

// cmdLang lists the languages or chooses one. A more special tag, such as
// en-GB, finds the general one (RFC 4647, section 3.4).
func (c *session) cmdLang(args []string) (reply, error) {
	if len(args) == 0 {
		return reply{text: "languages follow", body: func(o *output) error {
			for _, l := range languages {
				o.line(l.tag, " ", l.name)
			}
			o.dot()
			return nil
		}}, nil
	}
	wanted := strings.ToLower(args[0])
	if wanted == "*" {
		wanted = languages[0].tag
	}
	for wanted != "" {
		for _, l := range languages {
			if l.tag == wanted {
				return reply{text: l.tag + " language chosen"}, nil
			}
		}
		wanted = wanted[:max(strings.LastIndexByte(wanted, '-'), 0)]
	}
	return reply{}, errLanguage
}
