package pop3_test

import (
	"bytes"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"sidepop/pop3"
)

// scripted is a connection whose client says what it has to say and leaves.
type scripted struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *scripted) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *scripted) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *scripted) Close() error                     { return nil }
func (s *scripted) LocalAddr() net.Addr              { return nil }
func (s *scripted) RemoteAddr() net.Addr             { return nil }
func (s *scripted) SetDeadline(time.Time) error      { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

var statusLine = regexp.MustCompile(`^(\+OK( .*)?|-ERR .*|\+ [A-Za-z0-9+/]*=*)$`)

// FuzzSession: whatever a client says, each line gets at most one answer, each
// answer has the form that RFC 1939 gives it, and nothing is removed without QUIT.
func FuzzSession(f *testing.F) {
	f.Add([]byte("USER alice\r\nPASS secret\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nRSET\r\nDELE 2\r\nQUIT\r\n"))
	f.Add([]byte("AUTH PLAIN\r\nAGFsaWNlAHNlY3JldA==\r\nDELE 1\r\nNOOP\r\nCAPA\r\nLANG\r\n"))
	f.Add([]byte("USER alice\r\nPASS secret\r\nDELE 1\r\nqu\u0131t\r\n\u017ftat\r\n"))
	f.Add([]byte("UTF8\r\nLANG en\r\nAPOP alice x\r\nSTLS\r\nAUTH\r\nAUTH PLAIN =\r\nQUIT"))
	f.Fuzz(func(t *testing.T, said []byte) {
		b := alice("a: b\n\n.c\n..\n", "x\r\n\r\ny")
		b.APOPOn = true
		conn := &scripted{in: bytes.NewReader(said)}
		events := newRecord()
		s := &pop3.Server{Backend: b, Events: events, Settings: pop3.Settings{AllowPlaintext: true}}
		s.ServeConn(conn, false)

		quit := regexp.MustCompile(`(?i)(^|\n)quit *\r?\n`).Match(said)
		if left := len(b.Messages("alice")); left != 2 && !quit {
			t.Errorf("%d messages are left without a QUIT", left)
		}
		if strings.Contains(events.String(), "panic") {
			t.Errorf("events: %s", events)
		}
		checkAnswers(t, conn.out.Bytes(), bytes.Count(said, []byte{'\n'}))
	})
}

// checkAnswers checks the form of a session's answers to so many commands.
func checkAnswers(t *testing.T, out []byte, commands int) {
	t.Helper()
	if !bytes.HasSuffix(out, []byte("\r\n")) {
		t.Fatalf("the last answer has no end: %q", out)
	}
	answers := -2 // the greeting, and perhaps a farewell
	lines := strings.Split(strings.TrimSuffix(string(out), "\r\n"), "\r\n")
	for i := 0; i < len(lines); i++ {
		if !statusLine.MatchString(lines[i]) || len(lines[i]) > 510 { // RFC 2449, section 4
			t.Fatalf("answer %q", lines[i])
		}
		answers++
		if !multiline(lines[i]) {
			continue
		}
		for i++; i < len(lines) && lines[i] != "."; i++ {
		}
		if i == len(lines) {
			t.Fatalf("an answer of several lines has no end: %q", out)
		}
	}
	if answers > commands {
		t.Errorf("%d answers to %d lines", answers, commands)
	}
}

// multiline tells by its words whether lines follow a status line.
var multiline = regexp.MustCompile(`^\+OK (.* follows?|\d+ octets)$`).MatchString
