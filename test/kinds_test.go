package test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// kinds are the sorts of messages that have broken some server or client.
var kinds = []struct {
	name string
	make func(r *rand.Rand) []byte
}{
	{"LF", func(r *rand.Rand) []byte { return letter(r, 20) }},
	{"CRLF", func(r *rand.Rand) []byte { return crlf(letter(r, 20)) }},
	{"mixed line ends", func(r *rand.Rand) []byte { return mixed(r, letter(r, 40)) }},
	{"unterminated", func(r *rand.Rand) []byte { return chop(letter(r, 5)) }},
	{"unterminated, CRLF", func(r *rand.Rand) []byte { return append(crlf(letter(r, 5)), "the end"...) }},
	{"empty", func(*rand.Rand) []byte { return nil }},
	{"one line feed", func(*rand.Rand) []byte { return []byte("\n") }},
	{"header only", func(r *rand.Rand) []byte { return []byte(header(r)) }},
	{"header, unterminated", func(r *rand.Rand) []byte { return chop([]byte(header(r))) }},
	{"header and blank line", func(r *rand.Rand) []byte { return []byte(header(r) + "\n") }},
	{"body only", func(r *rand.Rand) []byte { return []byte("\n" + text(r, 5)) }},
	{"no header", func(r *rand.Rand) []byte { return []byte(text(r, 5)) }},
	{"bad header line", func(r *rand.Rand) []byte {
		return []byte(header(r) + "neither name nor colon\nX-After: yes\n\n" + text(r, 3))
	}},
	{"dot is the first octet", func(r *rand.Rand) []byte { return append([]byte(".X-First: dot\n"), letter(r, 2)...) }},
	{"one dot", func(*rand.Rand) []byte { return []byte(".\n") }},
	{"dots", func(r *rand.Rand) []byte { return append(letter(r, 1), dots...) }},
	{"dots, CRLF", func(r *rand.Rand) []byte { return crlf(append(letter(r, 1), dots...)) }},
	{"dot, unterminated", func(r *rand.Rand) []byte { return append(letter(r, 1), "."...) }},
	{"dots at buffer ends", dotsAtBufferEnds},
	{"line of 998", func(r *rand.Rand) []byte { return withLine(r, 998) }},
	{"line of 64 KiB", func(r *rand.Rand) []byte { return withLine(r, 64<<10) }},
	{"line of 1 MiB", func(r *rand.Rand) []byte { return withLine(r, 1<<20) }},
	{"NUL", func(r *rand.Rand) []byte { return append(letter(r, 2), "a\x00b\n\x00\n\x00\x00\n.\x00\nend\n"...) }},
	{"NUL in header", func(r *rand.Rand) []byte { return append([]byte("X-Nul: a\x00b\n"), letter(r, 2)...) }},
	{"Latin-1 body", func(r *rand.Rand) []byte { return append(letter(r, 2), "gr\xfc\xdfe aus K\xf6ln\n\xff\xfe\n"...) }},
	{"Latin-1 header", func(r *rand.Rand) []byte { return append([]byte("X-Stadt: K\xf6ln\n"), letter(r, 2)...) }},
	{"UTF-8", func(r *rand.Rand) []byte { return append([]byte("X-Stadt: Köln, 東京\n"), letter(r, 2)...) }},
	{"bare CR", func(r *rand.Rand) []byte { return append(letter(r, 2), "a\rb\n\rc\n\r.\n\r\r\nd\r\r\n\r\nend\n"...) }},
	{"CR is the last octet", func(r *rand.Rand) []byte { return append(letter(r, 2), "end\r"...) }},
	{"attachment", attachment},
	{"deep MIME", deepMIME},
	{"From lines", func(r *rand.Rand) []byte { return append(letter(r, 2), "\nFrom the sea\n>From it\n>>From\nFrom\n"...) }},
	{"mbox line first", func(r *rand.Rand) []byte {
		return append([]byte("From a@example.org Mon Jan  1 00:00:00 2024\n"), letter(r, 2)...)
	}},
	{"long header", longHeader},
	{"blank lines last", func(r *rand.Rand) []byte { return append(letter(r, 2), "\n\n\n \n\t\n\n"...) }},
	{"status fields", func(r *rand.Rand) []byte {
		return append([]byte("Status: RO\nX-Status: A\nContent-Length: 3\nLines: 1\n"), letter(r, 2)...)
	}},
	{"Return-Path", func(r *rand.Rand) []byte { return append([]byte("Return-Path: <a@example.org>\n"), letter(r, 2)...) }},
	{"control characters", func(r *rand.Rand) []byte {
		return append(letter(r, 2), "\x01\x08\x0b\x0c\x1a\x1b[2J\x1c\x1d\x1e\x7f\n\xc2\x85\xe2\x80\xa8x\n"...)
	}},
	{"binary", func(r *rand.Rand) []byte { return append(letter(r, 1), octetsOf(r, 8<<10, allOctets())...) }},
}

// dots are lines that a server has to stuff, and some that it must not.
const dots = ".\n..\n...\n. \n.a\n..b\n .\na.\n\n.\n\n.\r\n..\r\n.\n"

const words = "mail arrives and waits until somebody comes to fetch it as it has done since a time when lines were slow " +
	"so what was sent has to be what is read each dot of it."

// text is so many lines of prose, some of them beginning with a dot.
func text(r *rand.Rand, lines int) string {
	all := strings.Fields(words)
	var b strings.Builder
	for range lines {
		if r.IntN(12) == 0 {
			b.WriteByte('.')
		}
		for range 1 + r.IntN(12) {
			b.WriteString(all[r.IntN(len(all))] + " ")
		}
		b.WriteString("end\n")
	}
	return b.String()
}

// header is a header section without the blank line after it.
func header(r *rand.Rand) string {
	return fmt.Sprintf("Received: from out.example.net (out.example.net [192.0.2.%d])\n"+
		"\tby mx1.example.org with ESMTPS id %d;\n\tTue, 14 Nov 2023 22:13:%02d +0000\n"+
		"Date: Tue, 14 Nov 2023 22:13:20 +0000\nFrom: Ann <ann@example.net>\nTo: bob@example.org\n"+
		"Subject: %s\nMessage-ID: <%d.%d@example.net>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n",
		r.IntN(256), r.Uint32(), r.IntN(60), strings.TrimSpace(strings.TrimPrefix(text(r, 1), ".")), r.Uint64(), r.Uint64())
}

// letter is an ordinary message with LF line ends.
func letter(r *rand.Rand, lines int) []byte { return []byte(header(r) + "\n" + text(r, lines)) }

func crlf(message []byte) []byte {
	return []byte(strings.ReplaceAll(string(message), "\n", "\r\n"))
}

// mixed gives about half of the lines CR LF.
func mixed(r *rand.Rand, message []byte) []byte {
	var b []byte
	for _, c := range message {
		if c == '\n' && r.IntN(2) == 0 {
			b = append(b, '\r')
		}
		b = append(b, c)
	}
	return b
}

// chop takes the last octet away.
func chop(message []byte) []byte { return message[:len(message)-1] }

func withLine(r *rand.Rand, length int) []byte {
	return append(letter(r, 1), strings.Repeat(".long ", length/6+1)[:length]+"\nafter\n"...)
}

// dotsAtBufferEnds is a message in which a line begins with a dot at every
// multiple of 64 octets, and so wherever a buffer ends.
func dotsAtBufferEnds(r *rand.Rand) []byte {
	m := []byte(header(r) + "\n")
	for len(m)%64 != 63 {
		m = append(m, 'x')
	}
	m = append(m, '\n')
	for range 3 << 10 {
		m = append(m, "."+strings.Repeat("y", 62)+"\n"...)
	}
	return m
}

func attachment(r *rand.Rand) []byte {
	content := base64.StdEncoding.EncodeToString(octetsOf(r, 2<<20*3/4, allOctets()))
	var b strings.Builder
	b.WriteString("Subject: attached\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n" +
		"--b\nContent-Type: text/plain\n\n" + text(r, 2) +
		"--b\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n")
	for len(content) > 76 {
		b.WriteString(content[:76] + "\n")
		content = content[76:]
	}
	b.WriteString(content + "\n--b--\n")
	return []byte(b.String())
}

// deepMIME is a message in a message in a message ...
func deepMIME(r *rand.Rand) []byte {
	const depth = 60
	var begin, end string
	for i := range depth {
		begin += fmt.Sprintf("Content-Type: multipart/mixed; boundary=\"b%d\"\n\npreamble\n--b%d\n", i, i)
		end = fmt.Sprintf("\n--b%d--\n", i) + end
		if i%2 == 1 {
			begin += "Content-Type: message/rfc822\n\nSubject: inner\nMIME-Version: 1.0\n"
		}
	}
	return []byte("Subject: deep\nMIME-Version: 1.0\n" + begin + "Content-Type: text/plain\n\n" + text(r, 3) + end)
}

func longHeader(r *rand.Rand) []byte {
	to := "To: first@example.org"
	for i := range 500 {
		to += fmt.Sprintf(",\n\tuser%d@example.org", i)
	}
	return append([]byte(to+"\n"), letter(r, 3)...)
}

// wildOctets is a short message without any form.
func wildOctets(r *rand.Rand) []byte {
	return octetsOf(r, 1+r.IntN(300), []byte("\r\r\n\n\n..ab:\x00 \xff"))
}

func octetsOf(r *rand.Rand, n int, from []byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from[r.IntN(len(from))]
	}
	return b
}

func allOctets() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
