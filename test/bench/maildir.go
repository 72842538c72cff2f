package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
)

// mailbox is an account's Maildir at one server, with what a client must be
// given of it. Sums do not depend on the order of messages, which is up to the
// server.
type mailbox struct {
	user    string
	maildir string
	owner   owner

	messages int
	octets   int64  // as STAT has them: line ends are CR LF
	sent     int64  // as RETR sends them: with the dots stuffed too
	sum      uint64 // of the checksums of the messages as sent

	next int // number of the next message, of all ever made

	// What the server answered to UIDL last, for that many messages.
	listed         uint64
	listedMessages int
}

// owner is whom mail belongs to.
type owner struct {
	uid, gid int
	change   bool // not the user who runs this program
}

// folder modes as delivery agents make them.
const (
	dirMode  = 0o700
	mailMode = 0o600
)

// newMailbox makes an empty Maildir below a home.
func newMailbox(home, user string, o owner) (*mailbox, error) {
	m := &mailbox{user: user, maildir: filepath.Join(home, "Maildir"), owner: o}
	for _, dir := range []string{home, m.maildir, m.folder("tmp"), m.folder("new"), m.folder("cur")} {
		if err := os.Mkdir(dir, dirMode); err != nil {
			return nil, err
		}
		if o.change {
			if err := os.Chown(dir, o.uid, o.gid); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

func (m *mailbox) folder(name string) string { return filepath.Join(m.maildir, name) }

// deliver adds a message to new, as a delivery agent does, by way of tmp.
func (m *mailbox) deliver(size int) error {
	name := m.uniqueName()
	tmp := filepath.Join(m.folder("tmp"), name)
	if err := m.write(tmp, size); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(m.folder("new"), name))
}

// keep adds a message that was seen in an earlier session.
func (m *mailbox) keep(size int) error {
	return m.write(filepath.Join(m.folder("cur"), m.uniqueName()+":2,S"), size)
}

// uniqueName makes the next name in the form that Postfix gives.
func (m *mailbox) uniqueName() string {
	const epoch, interval = 1_700_000_000, 30 // seconds
	m.next++
	return fmt.Sprintf("%d.Vfe01I%xM%06d.mx1", epoch+interval*m.next, 0x40000+m.next, m.next*7919%1_000_000)
}

// write stores the message of the latest name and counts it.
func (m *mailbox) write(path string, size int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mailMode)
	if err != nil {
		return err
	}
	defer f.Close()
	if m.owner.change {
		if err := f.Chown(m.owner.uid, m.owner.gid); err != nil {
			return err
		}
	}
	var checksum uint32
	err = compose(m.next, size, func(lines []byte) error {
		sent := asSent(lines)
		checksum = crc32.Update(checksum, castagnoli, sent)
		m.octets += int64(len(lines) + bytes.Count(lines, []byte("\n")))
		m.sent += int64(len(sent))
		_, err := f.Write(lines)
		return err
	})
	m.messages++
	m.sum += uint64(checksum)
	return err
}

// castagnoli is the checksum that processors compute themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// empty forgets what a session has removed, once nothing is left of it.
func (m *mailbox) empty() error {
	for _, name := range []string{"new", "cur"} {
		files, err := os.ReadDir(m.folder(name))
		if err != nil {
			return err
		}
		if len(files) > 0 {
			return fmt.Errorf("%s: %d files remain of those removed", m.folder(name), len(files))
		}
	}
	m.messages, m.octets, m.sent, m.sum, m.listedMessages = 0, 0, 0, 0, 0
	return nil
}

// block is a message's text, as often as it takes.
var block = func() []byte {
	const lines, width = 800, 72
	var text []byte
	for i := range lines {
		if i%40 == 7 {
			text = append(text, '.')
		}
		for j := range width {
			text = append(text, 'a'+byte((i*31+j*17+i*j)%26))
		}
		text = append(text, '\n')
	}
	return text
}()

// compose makes a message of size bytes, line ends being LF, in pieces of whole
// lines. Its number is in it, so that no two are alike. It is never shorter than
// its header.
func compose(number, size int, emit func(lines []byte) error) error {
	header := fmt.Appendf(nil, `Return-Path: <sender@example.org>
Received: from mail.example.org by mx1.example.org with ESMTPS id %08X
From: Sender <sender@example.org>
To: Receiver <receiver@example.org>
Subject: Message %d
Message-ID: <%d.bench@example.org>

`, number, number, number)
	if err := emit(header); err != nil {
		return err
	}
	for rest := size - len(header); rest > 0; {
		piece := block
		if rest < len(block) {
			piece = append(bytes.Clone(block[:rest-1]), '\n')
		}
		if err := emit(piece); err != nil {
			return err
		}
		rest -= len(piece)
	}
	return nil
}

// asSent is what RFC 1939, section 3, makes of lines: CR LF ends them, and one
// that begins with a dot gets another one.
func asSent(lines []byte) []byte {
	sent := make([]byte, 0, len(lines)+len(lines)/16)
	for line := range bytes.Lines(lines) {
		if line[0] == '.' {
			sent = append(sent, '.')
		}
		sent = append(sent, bytes.TrimSuffix(line, []byte("\n"))...)
		sent = append(sent, '\r', '\n')
	}
	return sent
}

// mixedSizes gives the sizes in bytes of n messages as people have them: their
// logarithms are normally distributed.
func mixedSizes(n, median, mean int) []int {
	spread := func(sigma float64) (sizes []int, sum int) {
		for i := range n {
			z := math.Sqrt2 * math.Erfinv(2*(float64(i)+0.5)/float64(n)-1)
			size := int(float64(median) * math.Exp(sigma*z))
			sizes = append(sizes, size)
			sum += size
		}
		return sizes, sum
	}
	// With few messages the largest are missing, so sigma is searched for.
	low, high := 0.0, 4.0
	for range 50 {
		sigma := (low + high) / 2
		if _, sum := spread(sigma); sum < n*mean {
			low = sigma
		} else {
			high = sigma
		}
	}
	sizes, _ := spread(high)
	return sizes
}
