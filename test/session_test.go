package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// step is a verb and its arguments, see testdata/session.py.
type step []any

// outcome is what a step gave.
type outcome struct {
	Messages int    // stat
	Octets   int64  // stat: of all messages; otherwise: of the answer, as the client counts
	Data     []byte // of a multi-line answer, the stuffed dots undone
}

// session runs one POP3 session with Python's poplib.
func (f fetching) session(t *testing.T, steps ...step) []outcome {
	t.Helper()
	port, err := strconv.Atoi(f.port)
	must(t, err)
	input, err := json.Marshal(map[string]any{
		"host": f.host, "port": port, "security": f.security, "ca": f.ca,
		"user": f.name, "password": f.password, "steps": steps,
	})
	must(t, err)
	var outcomes []outcome
	must(t, json.Unmarshal(run(t, f.dir, string(input), "python3", f.script(t, "session.py")), &outcomes))
	if len(outcomes) != len(steps) {
		t.Fatalf("%d outcomes of %d steps", len(outcomes), len(steps))
	}
	return outcomes
}

// listing reads the lines "number value" of LIST and UIDL, whose numbers have
// to be 1, 2, ...
func listing(t *testing.T, o outcome) []string {
	t.Helper()
	var values []string
	for line := range strings.Lines(string(o.Data)) {
		number, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		if number != strconv.Itoa(len(values)+1) {
			t.Fatalf("listing: line %q after %d others", line, len(values))
		}
		values = append(values, value)
	}
	return values
}

// retrAll are the steps that fetch n messages.
func retrAll(n int) []step {
	var steps []step
	for i := range n {
		steps = append(steps, step{"retr", i + 1})
	}
	return steps
}

// TestSession checks what a mail program relies on from one session to the
// next, with Python's poplib.
func TestSession(t *testing.T) {
	need(t, "python3", "python3")
	s := newSite(t)
	mails := sample()
	a := s.account("bob", mails)
	srv := s.serve("")
	host, port, err := net.SplitHostPort(srv.pop3)
	must(t, err)
	f := fetching{account: a, dir: folder(t), host: host, port: port, ca: srv.path(caFile), security: plaintext}
	t.Logf("client: %s", firstLine(run(t, f.dir, "", "python3", "--version")))

	t.Run("sizes", func(t *testing.T) { f.testSizes(t, mails) })
	t.Run("UIDL", func(t *testing.T) { f.testUIDL(t, mails) })
	t.Run("TOP", func(t *testing.T) { f.testTop(t, mails) })
	t.Run("disconnect", func(t *testing.T) { f.testRemoval(t, mails, "disconnect") })
	t.Run("QUIT", func(t *testing.T) { f.testRemoval(t, mails, "quit") })
}

// testSizes: STAT and LIST tell what RETR sends.
func (f fetching) testSizes(t *testing.T, mails []mail) {
	steps := append([]step{{"stat"}, {"list"}}, retrAll(len(mails))...)
	outcomes := f.session(t, append(steps, step{"quit"})...)
	stat, list, retr := outcomes[0], listing(t, outcomes[1]), outcomes[2:]
	if stat.Messages != len(mails) || len(list) != len(mails) {
		t.Fatalf("STAT %d, LIST %d messages, want %d", stat.Messages, len(list), len(mails))
	}
	var sum int64
	for i, m := range mails {
		octets := int64(len(retr[i].Data))
		if list[i] != fmt.Sprint(octets) || retr[i].Octets != octets {
			t.Errorf("message %d, kind %q: LIST says %s octets, RETR sent %d, poplib counted %d",
				i+1, m.kind, list[i], octets, retr[i].Octets)
		}
		sum += octets
	}
	if stat.Octets != sum {
		t.Errorf("STAT says %d octets, RETR sent %d", stat.Octets, sum)
	}
}

// testUIDL: they are the unique names where these can be sent, and the same in
// every session.
func (f fetching) testUIDL(t *testing.T, mails []mail) {
	first := listing(t, f.session(t, step{"uidl"}, step{"quit"})[0])
	second := listing(t, f.session(t, step{"uidl"}, step{"quit"})[0])
	if len(first) != len(mails) || fmt.Sprint(first) != fmt.Sprint(second) {
		t.Fatalf("%d and %d UIDLs of %d messages, or they differ", len(first), len(second), len(mails))
	}
	seen := make(map[string]int)
	for i, m := range mails {
		uidl := first[i]
		if !sendable(uidl) {
			t.Errorf("message %d: UIDL %q", i+1, uidl)
		}
		if unique := m.unique(); sendable(unique) && uidl != unique {
			t.Errorf("message %d: UIDL %q, want %q", i+1, uidl, unique)
		}
		if j, ok := seen[uidl]; ok {
			t.Errorf("messages %d and %d: both have the UIDL %q", j, i+1, uidl)
		}
		seen[uidl] = i + 1
	}
}

// sendable: RFC 1939, section 7, on the characters and the length of a UIDL.
func sendable(uidl string) bool {
	for _, c := range []byte(uidl) {
		if c < 0x21 || c > 0x7e {
			return false
		}
	}
	return len(uidl) >= 1 && len(uidl) <= 70
}

// testTop: the header, the blank line and no more lines than asked for.
func (f fetching) testTop(t *testing.T, mails []mail) {
	counts := []int{0, 1, 3, 1 << 20}
	var steps []step
	for i := range mails {
		for _, n := range counts {
			steps = append(steps, step{"top", i + 1, n})
		}
	}
	outcomes := f.session(t, append(steps, step{"quit"})...)
	for i, m := range mails {
		for j, n := range counts {
			if got, want := outcomes[i*len(counts)+j].Data, top(m.octets(), n); !bytes.Equal(got, want) {
				t.Errorf("TOP %d %d, kind %q: %s", i+1, n, m.kind, difference(got, want))
			}
		}
	}
}

// top is what TOP sends of a message.
func top(octets []byte, lines int) []byte {
	var sent []byte
	body := false
	for line := range bytes.Lines(octets) {
		if body {
			if lines == 0 {
				break
			}
			lines--
		}
		sent = append(sent, line...)
		body = body || string(line) == "\r\n"
	}
	return sent
}

// testRemoval marks every third message and ends the session. QUIT removes
// these files and no others; a lost connection removes none.
func (f fetching) testRemoval(t *testing.T, mails []mail, end string) {
	var steps []step
	for i := 0; i < len(mails); i += 3 {
		steps = append(steps, step{"dele", i + 1})
	}
	f.session(t, append(steps, step{"rset"}, step{"disconnect"})...) // nothing is left of it
	f.session(t, append(steps, step{end})...)
	for i, m := range mails {
		data, err := os.ReadFile(m.path(f.maildir))
		switch gone := errors.Is(err, fs.ErrNotExist); {
		case end == "quit" && i%3 == 0:
			if !gone {
				t.Errorf("message %d was removed and is still there (%v)", i+1, err)
			}
		case err != nil:
			t.Errorf("message %d: %v", i+1, err)
		case !bytes.Equal(data, m.data):
			t.Errorf("message %d has other content now", i+1)
		}
	}
}
