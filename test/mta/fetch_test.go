package mta

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// expectMail fetches all mail of a login with a session of our own, with curl and
// with fetchmail. It must be what is in the Maildir, that must be the letters that
// were sent, and the UIDLs must be the unique names of the files.
func expectMail(t testing.TB, login, password, maildir string, letters ...letter) {
	t.Helper()
	awaitStored(t, maildir, letters...)
	files := stored(t, maildir)
	ids := expectUIDLs(t, login, password, files)
	byCurl := curl(t, login, password, len(ids))
	byFetchmail := fetchmail(t, login, password)
	if len(byFetchmail) != len(ids) {
		t.Fatalf("fetchmail has fetched %d messages of %s, want %d", len(byFetchmail), login, len(ids))
	}
	for i, id := range ids {
		file := files[id]
		if !bytes.Equal(byCurl[i], octets(file)) {
			t.Errorf("message %d of %s by curl:\n%q\nthe file:\n%q", i+1, login, byCurl[i], file)
		}
		if !bytes.Equal(byFetchmail[i], file) {
			t.Errorf("message %d of %s by fetchmail:\n%q\nthe file:\n%q", i+1, login, byFetchmail[i], file)
		}
	}
}

// curl fetches so many messages.
func curl(t testing.TB, login, password string, messages int) [][]byte {
	t.Helper()
	dir := t.TempDir()
	var config strings.Builder
	fmt.Fprintf(&config, "user = %s:%s\ncacert = %s\n", login, password, caFile)
	for i := range messages {
		fmt.Fprintf(&config, "url = pop3s://%s/%d\noutput = %s/%[2]d\n", pop3s, i+1, dir)
	}
	run(t, config.String(), "curl", "--disable", "--silent", "--show-error", "--fail-early", "--config", "-")
	return numbered(t, dir, messages)
}

// fetchmail fetches everything. It hands each message to a delivery program, and
// is told to add and rewrite nothing.
func fetchmail(t testing.TB, login, password string) [][]byte {
	t.Helper()
	dir, inbox := t.TempDir(), t.TempDir()
	deliver, rc := filepath.Join(dir, "deliver"), filepath.Join(dir, "fetchmailrc")
	write(t, deliver, fmt.Sprintf("#!/bin/sh\ncat > %s/$(($(ls %[1]s | wc -l) + 1))\n", inbox), 0o700)
	write(t, rc, fmt.Sprintf(`set invisible
set no bouncemail
poll localhost proto pop3 service %s auth password bad-header accept
	user "%s" password "%s"
	ssl sslproto 'auto' sslcertck sslcertfile %s
	fetchall keep no rewrite no mimedecode pass8bits
	mda %s
`, pop3sPort, login, password, caFile, deliver), 0o600)
	run(t, "", "fetchmail", "--fetchmailrc", rc, "--nodetach", "--nosyslog",
		"--idfile", filepath.Join(dir, "ids"), "--pidfile", filepath.Join(dir, "pid"))
	entries, err := os.ReadDir(inbox)
	must(t, err)
	return numbered(t, inbox, len(entries))
}

// numbered reads the files 1, 2, ... of a folder.
func numbered(t testing.TB, dir string, n int) [][]byte {
	t.Helper()
	files := make([][]byte, n)
	for i := range files {
		var err error
		files[i], err = os.ReadFile(filepath.Join(dir, strconv.Itoa(i+1)))
		must(t, err)
	}
	return files
}
