package main

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// TestMessage reads messages however they are cut into pieces.
func TestMessage(t *testing.T) {
	for _, stored := range []string{"a\n", "..\n", ".\n", "a\n\n", "a\n.\n.b\n.\n", strings.Repeat("x\n.\n", 9000)} {
		sent := asSent([]byte(stored))
		answer := slices.Concat(sent, []byte(".\r\n+OK\r\n"))
		for name, c := range map[string]*client{
			"at once":      {r: bufio.NewReaderSize(bytes.NewReader(answer), clientBuffer)},
			"by octet":     {r: bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(answer)), clientBuffer)},
			"small buffer": {r: bufio.NewReaderSize(bytes.NewReader(answer), 16)},
		} {
			checksum, n, err := c.message()
			if want := crc32.Checksum(sent, castagnoli); err != nil || checksum != want || n != int64(len(sent)) {
				t.Errorf("%.20q %s: %x, %d octets, %v, expected %x, %d", stored, name, checksum, n, err, want, len(sent))
			}
			if _, err := c.status("next"); err != nil {
				t.Errorf("%.20q %s: %v", stored, name, err)
			}
		}
	}
	c := &client{r: bufio.NewReader(strings.NewReader("a\r\n.\r"))}
	if _, _, err := c.message(); err == nil {
		t.Error("a message that is cut off is taken for whole")
	}
}

// TestAnswers has answers that no server may give.
func TestAnswers(t *testing.T) {
	box := func() *mailbox { return &mailbox{messages: 2, octets: 30} }
	list, uidl, stat := (*client).list, (*client).uidl, (*client).stat
	for _, tt := range []struct {
		ask    func(*client) error
		answer string
		ok     bool
	}{
		{stat, "+OK 2 30\r\n", true},
		{stat, "+OK 2 31\r\n", false},
		{stat, "-ERR 2 30\r\n", false},
		{list, "+OK\r\n1 10\r\n2 20\r\n.\r\n", true},
		{list, "+OK\r\n1 10\r\n2 21\r\n.\r\n", false},
		{list, "+OK\r\n1 10\r\n3 20\r\n.\r\n", false},
		{list, "+OK\r\n1 30\r\n.\r\n", false},
		{list, "+OK\r\n1 10\r\n2 20\r\n", false},
		{list, "+OK\r\n1 10\n2 20\n.\r\n", false},
		{uidl, "+OK\r\n1 a\r\n2 b\r\n.\r\n", true},
		{uidl, "+OK\r\n1 a\r\n2 a\r\n.\r\n", false},
		{uidl, "+OK\r\n1 a\r\n2 \r\n.\r\n", false},
	} {
		c := &client{Conn: discard{}, r: bufio.NewReader(strings.NewReader(tt.answer)), box: box()}
		if err := tt.ask(c); (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.answer, err)
		}
	}
}

// TestUIDLsStay: with the same number of messages they may not be others.
func TestUIDLsStay(t *testing.T) {
	m := &mailbox{messages: 1}
	for i, tt := range []struct {
		uidl string
		ok   bool
	}{{"a", true}, {"a", true}, {"b", false}, {"a", true}} {
		answer := fmt.Sprintf("+OK\r\n1 %s\r\n.\r\n", tt.uidl)
		c := &client{Conn: discard{}, r: bufio.NewReader(strings.NewReader(answer)), box: m}
		if err := c.uidl(); (err == nil) != tt.ok {
			t.Errorf("answer %d, %s: %v", i+1, tt.uidl, err)
		}
	}
}

func TestCompose(t *testing.T) {
	for _, size := range []int{300, 2000, len(block), 3*len(block) + 77} {
		var message []byte
		if err := compose(5, size, func(lines []byte) error {
			message = append(message, lines...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(message) != size || message[size-1] != '\n' || !bytes.Contains(message, []byte("\n\n")) {
			t.Errorf("%d bytes, expected %d; they end in %q", len(message), size, message[max(0, len(message)-5):])
		}
		if size >= 2000 && !bytes.Contains(message, []byte("\n.")) {
			t.Errorf("%d bytes without a dot to stuff", size)
		}
	}
}

func TestMixedSizes(t *testing.T) {
	for _, n := range []int{100, 1000} {
		sizes := mixedSizes(n, mixedMedian, mixedMean)
		if mean := sum(sizes) / n; mean < mixedMean*99/100 || mean > mixedMean*101/100 {
			t.Errorf("%d sizes: mean %d", n, mean)
		}
		slices.Sort(sizes)
		if middle := sizes[n/2]; middle < mixedMedian*95/100 || middle > mixedMedian*105/100 {
			t.Errorf("%d sizes: median %d", n, middle)
		}
	}
}

// discard is a connection that takes all commands.
type discard struct{ *client }

func (discard) Write(p []byte) (int, error) { return len(p), nil }
