package samples

import (
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
	"time"
)

// TestAll holds the samples to what their texts say of them.
func TestAll(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	all, err := All("demo@localhost", now)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 9 { // go-maildir's names keep the order of up to nine
		t.Fatalf("%d messages", len(all))
	}
	var before time.Time
	ids := make(map[string]bool)
	for i, text := range all {
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatalf("message %d: %v", i+1, err)
		}
		date, err := m.Header.Date()
		if err != nil || !date.After(before) || !date.Before(now) {
			t.Errorf("message %d: date %v, %v", i+1, date, err)
		}
		before = date
		if id := m.Header.Get("Message-ID"); id == "" || ids[id] {
			t.Errorf("message %d: Message-ID %q", i+1, id)
		} else {
			ids[id] = true
		}
		if reply := m.Header.Get("In-Reply-To"); reply != "" && !ids[reply] {
			t.Errorf("message %d: reply to %q, which is not there", i+1, reply)
		}
		if to := m.Header.Get("To") + m.Header.Get("Cc"); !strings.Contains(to, "demo@localhost") {
			t.Errorf("message %d: to %q", i+1, to)
		}
		if strings.Contains(text, "@TO@") || strings.Contains(text, "@LONG@") {
			t.Errorf("message %d has an unfilled place", i+1)
		}
		parts(t, i+1, m)
	}
	for _, tt := range []struct {
		message int
		has     string
	}{{4, "\n.\n..\n...\n.profile\n"}, {5, "\n0         10 "}, {8, "Bob\r\n"}} {
		if !strings.Contains(all[tt.message-1], tt.has) {
			t.Errorf("message %d lacks %q", tt.message, tt.has)
		}
	}
	if strings.Count(all[7], "\n") != strings.Count(all[7], "\r\n") {
		t.Error("message 8 has bare line feeds")
	}
	if strings.HasSuffix(all[8], "\n") {
		t.Error("message 9 ends with a newline")
	}
	longest := 0
	for line := range strings.Lines(all[4]) {
		longest = max(longest, len(line))
	}
	if longest != longLine+1 {
		t.Errorf("the longest line of message 5 has %d octets", longest)
	}
}

// parts reads all parts of a multipart message.
func parts(t *testing.T, number int, m *mail.Message) {
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatalf("message %d: %v", number, err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return
	}
	n := 0
	for r := multipart.NewReader(m.Body, params["boundary"]); ; n++ {
		p, err := r.NextPart()
		if err == io.EOF {
			break
		}
		if err == nil {
			_, err = io.Copy(io.Discard, p)
		}
		if err != nil {
			t.Fatalf("message %d, part %d: %v", number, n+1, err)
		}
	}
	if n < 2 {
		t.Errorf("message %d has %d parts", number, n)
	}
}
