package maillog

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
)

// journalSocket takes entries in the journal's native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
const journalSocket = "/run/systemd/journal/socket"

// journalFormat sends entries to the journal by its own protocol. It formats
// nothing, unless the journal does not take an entry: better in the wrong shape
// than lost.
//
// Its socket is connected from the start on, since a front soon sees no files. So
// the journal package's own, which looks for the file at each entry, is of no use.
type journalFormat struct {
	path string

	mu   sync.Mutex
	conn net.Conn // nil: could not be connected
}

func newJournalFormat(path string) *journalFormat {
	f := &journalFormat{path: path}
	f.connect()
	return f
}

func (f *journalFormat) connect() {
	if conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: f.path, Net: "unixgram"}); err == nil {
		f.conn = conn
	}
}

// Format implements [logrus.Formatter].
func (f *journalFormat) Format(e *logrus.Entry) ([]byte, error) {
	if f.send(journalEntry(e)) {
		return nil, nil
	}
	return textFormat{}.Format(e)
}

// send says whether the journal takes an entry. One that was started anew has
// another socket, which not every process can see.
func (f *journalFormat) send(entry []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != nil {
		if _, err := f.conn.Write(entry); err == nil {
			return true
		}
		_ = f.conn.Close()
		f.conn = nil
	}
	if f.connect(); f.conn == nil {
		return false
	}
	_, err := f.conn.Write(entry)
	return err == nil
}

// fieldPrefix keeps sidepop's fields apart from those of others
// (systemd.journal-fields(7)).
const fieldPrefix = "SIDEPOP_"

// journalEntry is an entry in the native protocol: a line for each field. It has the
// message by itself too, for filters. No value has a line end: see [Escape].
func journalEntry(e *logrus.Entry) []byte {
	var b bytes.Buffer
	field := func(name, value string) {
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(strings.ReplaceAll(value, "\n", " "))
		b.WriteByte('\n')
	}
	field("MESSAGE", line(e))
	field("PRIORITY", strconv.Itoa(int(priorities[e.Level])))
	field("SYSLOG_IDENTIFIER", "sidepop")
	field(fieldPrefix+"EVENT", e.Message)
	for _, name := range sortedFields(e.Data) {
		field(fieldPrefix+strings.ToUpper(name), fmt.Sprint(e.Data[name]))
	}
	return b.Bytes()
}

var priorities = map[logrus.Level]journal.Priority{
	logrus.PanicLevel: journal.PriCrit,
	logrus.FatalLevel: journal.PriCrit,
	logrus.ErrorLevel: journal.PriErr,
	logrus.WarnLevel:  journal.PriWarning,
	logrus.InfoLevel:  journal.PriInfo,
	logrus.DebugLevel: journal.PriDebug,
	logrus.TraceLevel: journal.PriDebug,
}
