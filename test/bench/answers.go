package main

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"strconv"
)

// lines reads a multi-line answer without its last line.
func (c *client) lines(each func(line []byte) error) error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok {
			return fmt.Errorf("line %q ends without CR LF", line)
		}
		if string(line) == "." {
			return nil
		}
		if err := each(line); err != nil {
			return err
		}
	}
}

// listing reads lines of a number, from 1 on, and a value.
func (c *client) listing(command string, each func(value []byte) error) error {
	if _, err := c.ask(command); err != nil {
		return err
	}
	n := 0
	var digits [20]byte
	err := c.lines(func(line []byte) error {
		n++
		number, value, ok := bytes.Cut(line, []byte(" "))
		if !ok || !bytes.Equal(number, strconv.AppendInt(digits[:0], int64(n), 10)) {
			return fmt.Errorf("%s: line %d is %q", command, n, line)
		}
		return each(value)
	})
	if err == nil && n != c.box.messages {
		err = fmt.Errorf("%s: %d messages, expected %d", command, n, c.box.messages)
	}
	return err
}

// list checks the sizes of LIST by their sum.
func (c *client) list() error {
	var octets int64
	err := c.listing("LIST", func(value []byte) error {
		size, err := strconv.ParseInt(string(value), 10, 64)
		octets += size
		return err
	})
	if err == nil && octets != c.box.octets {
		err = fmt.Errorf("LIST: %d octets together, expected %d", octets, c.box.octets)
	}
	return err
}

var hashSeed = maphash.MakeSeed()

// uidl checks that the answer to UIDL is the last one; where messages came or
// went since, that no two UIDLs are the same.
func (c *client) uidl() error {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	m := c.box
	var seen map[string]struct{}
	if m.messages != m.listedMessages {
		seen = make(map[string]struct{}, m.messages)
	}
	err := c.listing("UIDL", func(value []byte) error {
		h.Write(value)
		h.WriteByte('\n')
		if seen != nil {
			seen[string(value)] = struct{}{}
		}
		if len(value) < 1 || len(value) > 70 {
			return fmt.Errorf("UIDL: %q", value)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case seen != nil && len(seen) != m.messages:
		return fmt.Errorf("UIDL: %d different ones for %d messages", len(seen), m.messages)
	case seen == nil && h.Sum64() != m.listed:
		return errors.New("UIDL: not the same as before, and no message has come or gone")
	}
	m.listed, m.listedMessages = h.Sum64(), m.messages
	return nil
}

// endOfMessage ends a multi-line answer, the CR LF of its last line included.
var endOfMessage = []byte("\r\n.\r\n")

// message reads a message, whose status line was read. It gives its checksum
// and its length as sent. No message here is empty.
func (c *client) message() (checksum uint32, sent int64, err error) {
	take := func(n int) {
		p, _ := c.r.Peek(n) // n are there
		checksum = crc32.Update(checksum, castagnoli, p)
		sent += int64(n)
		_, _ = c.r.Discard(n)
	}
	for {
		if _, err := c.r.Peek(len(endOfMessage)); err != nil {
			return 0, 0, fmt.Errorf("message after %d octets: %w", sent, err)
		}
		p, _ := c.r.Peek(c.r.Buffered())
		if at := bytes.Index(p, endOfMessage); at >= 0 {
			take(at + len("\r\n"))
			_, err := c.r.Discard(len(".\r\n"))
			return checksum, sent, err
		}
		take(len(p) - len(endOfMessage) + 1) // what remains may be the beginning of the end
	}
}
