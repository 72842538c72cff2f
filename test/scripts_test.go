package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// netPOP3 is the POP3 client that comes with Perl.
var netPOP3 = client{
	name: "Net::POP3",
	programs: map[string]string{
		"perl": "perl libio-socket-ssl-perl", // the second for TLS
	},
	version:  []string{"perl", "-MNet::POP3", "-e", `print "perl $^V, Net::POP3 $Net::POP3::VERSION\n"`},
	security: []security{plaintext, stls, implicitTLS},
	arrives: func(octets []byte, how security) []byte {
		if how == plaintext {
			return lf(octets, how)
		}
		return octets // over TLS it leaves the line ends alone
	},
	fetch: func(t *testing.T, f fetching) [][]byte {
		inbox := f.inbox(t)
		script := f.script(t, "fetch.pl")
		run(t, f.dir, f.password+"\n", "perl", script, f.host, f.port, string(f.security), f.ca, f.name, inbox)
		return numbered(t, inbox)
	},
}

// getmail hands each message to a delivery program. It parses every message
// and writes it anew, with a Return-Path field of its own at the beginning. It
// is run by a script that mends how it waits for the delivery program.
var getmail = client{
	name:     "getmail",
	programs: map[string]string{"getmail": "getmail6", "python3": "python3"},
	version:  []string{"getmail", "--version"},
	security: []security{plaintext, implicitTLS}, // it has no STLS
	left: map[string]string{
		"empty":                "gets a blank line",
		"header only":          "gets a blank line",
		"header, unterminated": "gets a blank line",
		"no header":            "gets a blank line before it",
		"one dot":              "gets a blank line before it",
		"bad header line":      "gets a blank line before it",
		"mbox line first":      "that line is dropped",
		"Return-Path":          "replaced by its own",
		"line of 1 MiB":        "refused: getmail takes lines of at most 1 MiB with their ends",
		"dots, CRLF":           "CR before CR LF is dropped",
		"bare CR":              "becomes a line end",
		"binary":               "bare CR becomes a line end",
		"wild":                 "no header, bare CR",
	},
	arrives: func(octets []byte, how security) []byte {
		return append([]byte("Return-Path: <unknown>\n"), lf(octets, how)...)
	},
	fetch: func(t *testing.T, f fetching) [][]byte {
		deliver, inbox := f.deliver(t)
		retriever := map[security]string{
			plaintext:   "SimplePOP3Retriever\nuse_apop = true",
			implicitTLS: "SimplePOP3SSLRetriever\nca_certs = " + f.ca,
		}[f.security]
		f.write(t, "getmailrc", fmt.Sprintf(`[retriever]
type = %s
server = %s
port = %s
username = %s
password = %s

[destination]
type = MDA_external
path = %s

[options]
delete = false
read_all = true
received = false
delivered_to = false
verbose = 0
`, retriever, f.host, f.port, f.name, f.password, deliver), 0o600)
		run(t, f.dir, "", "python3", f.script(t, "getmail.py"), "--getmaildir", f.dir, "--rcfile", filepath.Join(f.dir, "getmailrc"))
		return numbered(t, inbox)
	},
}

// poplib comes with Python. It drops CR LF at the end of each line, which the
// script puts back.
var poplib = client{
	name:     "poplib",
	programs: map[string]string{"python3": "python3"},
	version:  []string{"python3", "--version"},
	security: []security{plaintext, stls, implicitTLS},
	arrives:  same,
	fetch: func(t *testing.T, f fetching) [][]byte {
		steps := append([]step{{"stat"}}, retrAll(f.messages)...)
		outcomes := f.session(t, append(steps, step{"quit"})...)
		var messages [][]byte
		for _, o := range outcomes[1 : 1+f.messages] {
			messages = append(messages, o.Data)
		}
		return messages[:min(len(messages), outcomes[0].Messages)]
	},
}

// mutt is told to open the maildrop and to copy every message to an MH folder,
// whose files are numbered.
var mutt = client{
	name: "mutt",
	programs: map[string]string{
		"mutt":   "mutt",
		"script": "bsdutils", // a terminal for it
	},
	version:  []string{"mutt", "-v"},
	security: []security{plaintext, stls, implicitTLS},
	left: map[string]string{
		"empty":                "not copied",
		"one line feed":        "taken for the end of a header",
		"header only":          "gets a blank line",
		"header, unterminated": "gets a blank line",
		"body only":            "its blank line is dropped",
		"no header":            "gets a blank line before it",
		"one dot":              "gets a blank line before it",
		"bad header line":      "taken for the body: gets a blank line before it",
		"mbox line first":      "that line is dropped",
		"status fields":        "dropped, mutt has its own",
		"NUL":                  "dropped",
		"NUL in header":        "the rest of the line is dropped",
		"binary":               "the rest of a line with NUL is dropped",
		"wild":                 "no header, NUL",
	},
	arrives: lf,
	fetch: func(t *testing.T, f fetching) [][]byte {
		copies := filepath.Join(f.dir, "copies") // which mutt makes
		scheme, starttls := "pop", "no"
		switch f.security {
		case stls:
			starttls = "yes"
		case implicitTLS:
			scheme = "pops"
		}
		rc := f.write(t, "muttrc", fmt.Sprintf(`set pop_user="%[1]s" pop_pass="%[2]s" pop_delete=no pop_checkinterval=600
set ssl_starttls=%[3]s ssl_force_tls=%[3]s ssl_ca_certificates_file="%[4]s"
set folder="%[6]s" mbox_type=MH confirmappend=no confirmcreate=no sort=mailbox-order
set delete=no quit=yes wait_key=no copy=yes sleep_time=0
push "<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>%[5]s<enter><exit>"
`, f.name, f.password, starttls, f.ca, copies, f.dir), 0o600)
		run(t, f.dir, "", "script", "--quiet", "--return", "--command",
			fmt.Sprintf("mutt -n -F %s -f %s://%s:%s/", rc, scheme, f.host, f.port), "/dev/null")
		_ = os.Remove(filepath.Join(copies, ".mh_sequences")) // not a message
		messages := numbered(t, copies)
		for i, m := range messages {
			if at := addedByMutt.FindIndex(m); at != nil {
				messages[i] = slices.Delete(m, at[0], at[1])
			}
		}
		return messages
	},
}

// addedByMutt matches what mutt puts at the end of a header, about the body.
var addedByMutt = regexp.MustCompile(`(?m)^Content-Length: [0-9]+\nLines: [0-9]+\n`)
