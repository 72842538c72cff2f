package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// security is how a client's connection is protected.
type security string

const (
	plaintext   security = "plaintext" // on the loopback interface
	stls        security = "STLS"      // RFC 2595
	implicitTLS security = "TLS"       // RFC 8314, section 3.3
)

// client is a program that fetches mail.
type client struct {
	name     string
	programs map[string]string // what has to be there: program and its Debian package
	version  []string          // a command that prints it
	security []security        // what it can do

	// left are the kinds of messages that the program damages or refuses on
	// its own account, with what it does to them.
	left map[string]string

	// fetch runs the program and gives the messages in the order of their
	// numbers.
	fetch func(t *testing.T, f fetching) [][]byte

	// arrives is what the program makes of a message that it got unharmed.
	arrives func(octets []byte, how security) []byte
}

// fetching is one run of a client: all messages of an account into dir.
type fetching struct {
	account
	dir      string // empty, the client's own
	host     string
	port     string
	ca       string // file with the authority to trust
	security security
	messages int
}

// lf is what most programs make of a message: a file with the line ends of the
// system.
func lf(octets []byte, _ security) []byte {
	return bytes.ReplaceAll(octets, []byte("\r\n"), []byte("\n"))
}

func same(octets []byte, _ security) []byte { return octets }

// TestClients fetches the whole sample with every client over each kind of
// connection, and compares every message octet by octet.
func TestClients(t *testing.T) {
	mails := sample()
	for _, c := range []client{curl, poplib, netPOP3, fetchmail, mpop, getmail, mutt} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for program, debianPackage := range c.programs {
				need(t, program, debianPackage)
			}
			s := newSite(t)
			t.Logf("client: %s", firstLine(run(t, s.dir, "", c.version[0], c.version[1:]...)))
			mails := without(t, mails, c.left)
			a := s.account("bob", mails)
			srv := s.serve("")
			for _, how := range c.security {
				t.Run(string(how), func(t *testing.T) { c.test(t, srv, a, mails, how) })
			}
		})
	}
}

// shown is how many kinds of differences are reported in detail.
const shown = 5

func (c client) test(t *testing.T, srv *server, a account, mails []mail, how security) {
	address := srv.pop3
	if how == implicitTLS {
		address = srv.pop3s
	}
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	f := fetching{
		account: a, dir: folder(t), host: "localhost", port: port,
		ca: srv.path(caFile), security: how, messages: len(mails),
	}
	own(t, f.dir)
	got := c.fetch(t, f)
	if tls := srv.lastLogin(); tls == "" || (tls == noTLS) != (how == plaintext) {
		t.Errorf("TLS of the login: %q", tls)
	}
	if len(got) != len(mails) {
		t.Fatalf("%d messages fetched, want %d; not there, by kind: %v", len(got), len(mails), c.missing(got, mails, how))
	}
	differ := make(map[string]int)
	for i, m := range mails {
		want := c.arrives(m.octets(), how)
		if bytes.Equal(got[i], want) {
			continue
		}
		if differ[m.kind] == 0 && len(differ) < shown {
			t.Errorf("message %d, %s/%q, kind %q: %s", i+1, m.dir, m.name, m.kind, difference(got[i], want))
		}
		differ[m.kind]++
	}
	if len(differ) > 0 {
		t.Errorf("messages that differ, by kind: %v", differ)
	}
}

// missing counts, by kind, the mails that are not among the messages.
func (c client) missing(messages [][]byte, mails []mail, how security) map[string]int {
	there := make(map[string]bool)
	for _, m := range messages {
		there[string(m)] = true
	}
	missing := make(map[string]int)
	for _, m := range mails {
		if !there[string(c.arrives(m.octets(), how))] {
			missing[m.kind]++
		}
	}
	return missing
}

// difference shows where two messages begin to differ.
func difference(got, want []byte) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	near := func(p []byte) []byte { return p[max(0, i-20):min(len(p), i+40)] }
	return fmt.Sprintf("%d octets, want %d; at %d: %q, want %q", len(got), len(want), i, near(got), near(want))
}

func firstLine(output []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	return line
}

// numbered reads the files 1, 2, ... of a folder that holds nothing else.
func numbered(t *testing.T, dir string) [][]byte {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	messages := make([][]byte, len(files))
	for i := range messages {
		messages[i], err = os.ReadFile(filepath.Join(dir, strconv.Itoa(i+1)))
		must(t, err)
	}
	return messages
}

// write writes a file that a client reads, with a password perhaps.
func (f fetching) write(t *testing.T, name, content string, mode os.FileMode) (path string) {
	t.Helper()
	path = filepath.Join(f.dir, name)
	must(t, os.WriteFile(path, []byte(content), mode))
	own(t, f.dir)
	return path
}

// inbox makes a folder for what is fetched.
func (f fetching) inbox(t *testing.T) string {
	t.Helper()
	path := filepath.Join(f.dir, "inbox")
	must(t, os.Mkdir(path, 0o700))
	own(t, f.dir)
	return path
}

// deliver makes a program that writes each message it is given into the inbox,
// as 1, 2, ...
func (f fetching) deliver(t *testing.T) (program, inbox string) {
	t.Helper()
	inbox = f.inbox(t)
	f.write(t, "count", "0\n", 0o600)
	return f.write(t, "deliver", fmt.Sprintf(`#!/bin/sh -e
read n < %[1]s/count
n=$((n + 1))
cat > %[1]s/inbox/$n
echo $n > %[1]s/count
`, f.dir), 0o700), inbox
}

// script copies a script to where the client may read it.
func (f fetching) script(t *testing.T, name string) (path string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	return f.write(t, name, string(content), 0o600)
}
