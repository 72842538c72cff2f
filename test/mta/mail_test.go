package mta

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	smtpAddress = "127.0.0.1:25"
	author      = "postmaster@" + hostname
)

// letter is a message as its author wrote it: lines end with LF.
type letter []byte

// newLetter writes a letter that no other is like. It has what is easily damaged on
// the way: dots and "From " at the start of lines, long lines, blanks, UTF-8.
func newLetter() letter {
	return fmt.Appendf(nil, `From: Post Master <%s>
To: undisclosed-recipients:;
Subject: A letter with dots
Date: Sat, 21 Nov 2026 10:00:00 +0000
Message-ID: <%s@example.test>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

.
..
.dot first
From nobody at the start of a line
Grüße, 你好
%s
blanks at the end:  %s

.

`, author, rand.Text(), strings.Repeat("long ", 190), "\t")
}

// octets is a file or a letter as RFC 1939 wants it sent.
func octets(stored []byte) []byte { return bytes.ReplaceAll(stored, []byte("\n"), []byte("\r\n")) }

// sendmail hands a new letter to the MTA as programs of this machine do.
func sendmail(t testing.TB, to string) letter {
	t.Helper()
	l := newLetter()
	run(t, string(l), "/usr/sbin/sendmail", "-i", "-f", author, to)
	return l
}

// sendSMTP hands a new letter to the MTA as other machines do.
func sendSMTP(t testing.TB, to string) letter {
	t.Helper()
	c, err := smtp.Dial(smtpAddress)
	must(t, err)
	defer c.Close()
	must(t, c.Hello("client.example.test"))
	must(t, c.Mail(author))
	must(t, c.Rcpt(to))
	w, err := c.Data()
	must(t, err)
	l := newLetter()
	_, err = w.Write(octets(l))
	must(t, errors.Join(err, w.Close(), c.Quit()))
	return l
}

// stored are the files of a Maildir, by their unique names.
func stored(t testing.TB, maildir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for _, dir := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(maildir, dir))
		if err != nil && !os.IsNotExist(err) { // the MTA makes it
			t.Fatal(err)
		}
		for _, e := range entries {
			content, err := os.ReadFile(filepath.Join(maildir, dir, e.Name()))
			must(t, err)
			unique, _, _ := strings.Cut(e.Name(), ":")
			files[unique] = content
		}
	}
	return files
}

// awaitStored waits until letters are in a Maildir, and nothing else.
func awaitStored(t testing.TB, maildir string, letters ...letter) {
	t.Helper()
	await(t, fmt.Sprintf("%d letters are in %s", len(letters), maildir), func() bool {
		return len(stored(t, maildir)) >= len(letters)
	})
	files := stored(t, maildir)
	for _, l := range letters {
		found := 0
		for name, file := range files {
			if trace, ok := bytes.CutSuffix(file, l); ok {
				found++
				checkTrace(t, name, trace)
			}
		}
		if found != 1 {
			t.Errorf("a letter is in %s %d times, want it once", maildir, found)
		}
	}
	if len(files) != len(letters) {
		t.Errorf("%d files are in %s, want %d", len(files), maildir, len(letters))
	}
}

// traceFields are what an MTA puts before a letter.
var traceFields = []string{"return-path", "x-original-to", "delivered-to", "envelope-to", "delivery-date", "received"}

func checkTrace(t testing.TB, name string, trace []byte) {
	t.Helper()
	for line := range strings.Lines(string(trace)) {
		field, _, _ := strings.Cut(line, ":")
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") && !slices.Contains(traceFields, strings.ToLower(field)) {
			t.Errorf("%s: the MTA put %q before the letter", name, line)
		}
	}
}
