package maillog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
	"golang.org/x/term"
)

// setFormat makes logger write to w in a format of the configuration.
func setFormat(logger *logrus.Logger, w io.Writer, format string) {
	if format == "auto" {
		format = detect(w)
	}
	logger.SetOutput(w)
	switch format {
	case "text":
		logger.SetFormatter(textFormat{})
	case "journald":
		logger.SetFormatter(newJournalFormat(journalSocket))
	default:
		logger.SetFormatter(jsonFormat{})
	}
}

// detect finds the format that suits where w leads.
func detect(w io.Writer) string {
	f, ok := w.(*os.File)
	if !ok {
		return "json"
	}
	if f == os.Stderr {
		if is, err := journal.StderrIsJournalStream(); is && err == nil {
			return "journald"
		}
	}
	if term.IsTerminal(int(f.Fd())) {
		return "text"
	}
	return "json"
}

// jsonFormat is an object a line, its members sorted. logrus's own formatter takes
// twice as long, by way of another map and reflection, and a busy server logs two
// lines a session.
type jsonFormat struct{}

// usualLine is room for most lines, in octets.
const usualLine = 512

// Format implements [logrus.Formatter].
func (jsonFormat) Format(e *logrus.Entry) ([]byte, error) {
	const level, message, moment = "level", "message", "time"
	names := make([]string, 0, len(e.Data)+3)
	names = append(names, level, message, moment)
	for name := range e.Data {
		names = append(names, name)
	}
	slices.Sort(names)
	b := append(make([]byte, 0, usualLine), '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, name), ':')
		switch name {
		case level:
			b = appendText(b, e.Level.String())
		case message:
			b = appendText(b, e.Message)
		case moment:
			b = append(b, '"')
			b = append(e.Time.AppendFormat(b, time.RFC3339Nano), '"')
		default:
			b = appendValue(b, e.Data[name])
		}
	}
	return append(b, '}', '\n'), nil
}

// appendValue appends a field's value: what the methods of [Log] use, and
// whatever they will.
func appendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return appendText(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return appendText(b, fmt.Sprint(value))
	}
	return append(b, text...)
}

// appendText appends a string, which nearly always can stand as it is.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			var text bytes.Buffer
			e := json.NewEncoder(&text)
			e.SetEscapeHTML(false) // a log line is no web page
			_ = e.Encode(s)        // a string always can be
			return append(b, bytes.TrimSuffix(text.Bytes(), []byte{'\n'})...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// fieldOrder is how fields follow each other in text: who, then what, then how
// much. Others follow by name.
var fieldOrder = []string{
	"session", "user", "mech", "remote", "local", "tls", "protocol", "path", "maildir", "command",
	"messages", "mailboxes", "done", "total",
	"top", "retr", "dele", "octets", "seconds", "failure", "reason", "error",
}

// textFormat is for people: time, level, message, fields.
type textFormat struct{}

// Format implements [logrus.Formatter].
func (textFormat) Format(e *logrus.Entry) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %-7s %s\n", e.Time.Format("2006-01-02 15:04:05"), e.Level, line(e))
	return b.Bytes(), nil
}

// line is an entry's message and fields.
func line(e *logrus.Entry) string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, name := range sortedFields(e.Data) {
		fmt.Fprintf(&b, " %s=%s", name, quote(fmt.Sprint(e.Data[name])))
	}
	return b.String()
}

func sortedFields(data logrus.Fields) []string {
	names := make([]string, 0, len(data))
	for _, name := range fieldOrder {
		if _, ok := data[name]; ok {
			names = append(names, name)
		}
	}
	known := len(names)
	for name := range data {
		if !slices.Contains(names[:known], name) {
			names = append(names, name)
		}
	}
	slices.Sort(names[known:])
	return names
}

// quote sets off values in which a field would not end where it seems to. They
// are escaped already, but for the quotation mark.
func quote(value string) string {
	if value != "" && !strings.ContainsAny(value, " =\"") {
		return value
	}
	return `"` + strings.ReplaceAll(value, `"`, `\"`) + `"`
}
