package test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mail is one file of a Maildir.
type mail struct {
	kind string // what it is an example of, see kinds
	dir  string // new or cur
	name string
	data []byte // as stored
}

// unique is the part of the name that identifies the message: what comes
// before the flags.
func (m mail) unique() string {
	unique, _, _ := strings.Cut(m.name, ":")
	return unique
}

// octets is the message as RFC 1939 wants it sent, the stuffed dots undone:
// every line with CR LF at its end, the last one too. It is written without
// a look at the server's own code.
func (m mail) octets() []byte {
	var sent []byte
	for line := range bytes.Lines(m.data) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		sent = append(sent, line...)
		sent = append(sent, "\r\n"...)
	}
	return sent
}

// Sizes of the sample.
const (
	ofEachKind = 3   // examples of each kind
	ordinary   = 470 // ordinary mail besides: 500 for clients that can't fetch all kinds too
	wild       = 40  // short files of the worst octets, in random order
	seed       = 1939
)

// sample is the mail that the clients fetch, in the order of its numbers: more
// than 500 messages, the same in every run.
func sample() []mail {
	r := rand.New(rand.NewPCG(seed, seed))
	var mails []mail
	add := func(kind string, data []byte) {
		mails = append(mails, mail{kind: kind, data: data})
	}
	for range ofEachKind {
		for _, k := range kinds {
			add(k.name, k.make(r))
		}
	}
	for range ordinary {
		add("ordinary", letter(r, 1+r.IntN(60)))
	}
	for range wild {
		add("wild", wildOctets(r))
	}
	add("attachment", attachment(r))
	r.Shuffle(len(mails), func(i, j int) { mails[i], mails[j] = mails[j], mails[i] })
	for i := range mails {
		m := &mails[i]
		m.dir, m.name = fileName(i, len(m.data))
	}
	return mails
}

// fileName is the i-th file's place and name. The names begin with ascending
// seconds, so that the order of the messages does not depend on anything else.
func fileName(i, size int) (dir, name string) {
	seconds := 1700000000 + 7*i
	names := []struct{ dir, rest string }{
		{"new", fmt.Sprintf(".V801I%xM%06d.mx1", 4711+i, i)},  // Postfix
		{"new", fmt.Sprintf(".M%dP%d.mx1", 100000+i, 4000+i)}, // exim
		{"cur", ".M1P2.mx1:2,"},
		{"cur", ".M1P2.mx1:2,S"},
		{"cur", fmt.Sprintf(".M1P2.mx1,S=%d:2,S", size)},
		{"cur", fmt.Sprintf(".M1P2.mx1,S=%d,W=%d:2,FRS", size, size+1)}, // W is wrong for most
		{"cur", fmt.Sprintf(".M1P2.mx1,S=%d:2,RS", size+1)},             // wrong
		{"cur", ".M1P2.mx1"},                                            // no flags
		{"new", ".M1P2.mx1:2,S"},                                        // flags where there should be none
		{"cur", ".M1P2.mx1:2,SzyxABa"},                                  // keywords, out of order
		{"cur", ".M1P2.mx1:1,experimental"},
		{"cur", ".M1P2.mx1:"},
		{"cur", ".M1P2.mx1:2,S:2,F"},
		{"cur", ".\xe9\xff\xfe.mx1:2,S"},        // not UTF-8
		{"new", ".M1P2.übergrößenträger"},       // UTF-8
		{"cur", ".a b'\"\\<>&;|$(x)`y`.mx1:2,"}, // for whoever thinks of a shell
		{"new", ".line\nbreak\ttab\x1b[31m.mx1"},
		{"cur", "." + strings.Repeat("n", 185) + ":2,S"}, // 200 characters
		{"new", "." + strings.Repeat("n", 244)},          // 255, the most there can be
	}
	n := names[i%len(names)]
	return n.dir, fmt.Sprint(seconds) + n.rest
}

// store writes the mails into a new Maildir.
func store(t testing.TB, maildir string, mails []mail) {
	t.Helper()
	for _, d := range []string{"tmp", "new", "cur"} {
		must(t, os.MkdirAll(filepath.Join(maildir, d), 0o700))
	}
	for _, m := range mails {
		must(t, os.WriteFile(m.path(maildir), m.data, 0o600))
	}
	own(t, maildir)
}

func (m mail) path(maildir string) string { return filepath.Join(maildir, m.dir, m.name) }

// without leaves out the kinds that a client can't be tested with.
func without(t testing.TB, mails []mail, left map[string]string) []mail {
	t.Helper()
	seen := make(map[string]int)
	var kept []mail
	for _, m := range mails {
		if _, ok := left[m.kind]; ok {
			seen[m.kind]++
		} else {
			kept = append(kept, m)
		}
	}
	for kind, reason := range left {
		if seen[kind] == 0 {
			t.Fatalf("no message is of the kind %q that is left out", kind)
		}
		t.Logf("left out: %d of the kind %q: %s", seen[kind], kind, reason)
	}
	return kept
}
