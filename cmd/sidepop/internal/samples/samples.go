// Package samples has messages to try a mail server with, of the kinds that
// servers and clients are known to damage.
package samples

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

//go:embed messages/*.eml
var files embed.FS

// longLine is the length of the long line in octets: longer than any buffer for
// lines that is in use.
const longLine = 100_000

// spacing is the time between the dates of two messages.
const spacing = 47 * time.Minute

// changes makes of messages what can't be kept in a text file.
var changes = map[string]func(string) string{
	"8-reply.eml":  func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
	"9-thanks.eml": func(s string) string { return strings.TrimSuffix(s, "\n") },
}

// All gives the messages, the oldest first, as mail to an address that was sent
// in the hours before now.
func All(to string, now time.Time) ([]string, error) {
	names, err := fs.Glob(files, "messages/*.eml")
	if err != nil {
		return nil, err
	}
	var all []string
	for i, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		date := now.Add(-spacing * time.Duration(len(names)-i))
		text := strings.NewReplacer(
			"@TO@", to,
			"@DATE@", date.Format(time.RFC1123Z),
			"@ID@", fmt.Sprint(now.Unix()),
			"@LONG@", ruler(longLine),
		).Replace(string(data))
		if change := changes[strings.TrimPrefix(name, "messages/")]; change != nil {
			text = change(text)
		}
		all = append(all, text)
	}
	return all, nil
}

// ruler is a line in which one can see how far it goes: every ten characters
// say where they begin.
func ruler(length int) string {
	var b strings.Builder
	for b.Len() < length {
		fmt.Fprintf(&b, "%-10d", b.Len())
	}
	return b.String()[:length]
}
