package test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// curl asks for each message by its own URL, over one connection. It writes
// what it gets as it is, line ends included.
var curl = client{
	name:     "curl",
	programs: map[string]string{"curl": "curl"},
	version:  []string{"curl", "--version"},
	security: []security{plaintext, stls, implicitTLS},
	left:     map[string]string{"empty": "curl 7.88 writes CR LF for it"},
	arrives:  same,
	fetch: func(t *testing.T, f fetching) [][]byte {
		inbox := f.inbox(t)
		scheme := "pop3"
		if f.security == implicitTLS {
			scheme = "pop3s"
		}
		var config strings.Builder
		for i := range f.messages {
			fmt.Fprintf(&config, "url = %s://%s:%s/%d\noutput = %s/%[4]d\n", scheme, f.host, f.port, i+1, inbox)
		}
		fmt.Fprintf(&config, "user = %s:%s\ncacert = %s\n", f.name, f.password, f.ca)
		args := []string{"--silent", "--show-error", "--fail-early", "--disable", "--config", f.write(t, "config", config.String(), 0o600)}
		if f.security == stls {
			args = append(args, "--ssl-reqd")
		}
		run(t, f.dir, "", "curl", args...)
		return numbered(t, inbox)
	},
}

// fetchmail hands each message to a delivery program. Told to be invisible and
// to rewrite nothing it adds no header field and keeps addresses.
var fetchmail = client{
	name:     "fetchmail",
	programs: map[string]string{"fetchmail": "fetchmail"},
	version:  []string{"fetchmail", "--version"},
	security: []security{plaintext, stls, implicitTLS},
	left: map[string]string{
		"empty":                "replaced by a message of its own",
		"one line feed":        "replaced by a message of its own",
		"body only":            "gets header fields of its own",
		"header only":          "gets a blank line",
		"header, unterminated": "gets a blank line",
		"no header":            "gets a blank line, and dots stay stuffed",
		"one dot":              "gets a blank line",
		"mbox line first":      "that line is dropped",
		"line of 64 KiB":       "cut into lines of 8 KiB",
		"line of 1 MiB":        "cut into lines of 8 KiB",
		"NUL in header":        "dropped",
		"dots, CRLF":           "CR before CR LF is dropped",
		"bare CR":              "dropped",
		"binary":               "bare CR is dropped",
		"wild":                 "no header, bare CR",
	},
	arrives: lf,
	fetch: func(t *testing.T, f fetching) [][]byte {
		deliver, inbox := f.deliver(t)
		protection := map[security]string{
			plaintext:   "sslproto ''",
			stls:        "sslproto 'auto' sslcertck",
			implicitTLS: "ssl sslproto 'auto' sslcertck",
		}[f.security]
		rc := f.write(t, "fetchmailrc", fmt.Sprintf(`set invisible
set no bouncemail
poll %s proto pop3 service %s auth password bad-header accept
	user %s password %s
	%s sslcertfile %s
	fetchall keep no rewrite no mimedecode pass8bits
	mda %s
`, f.host, f.port, f.name, f.password, protection, f.ca, deliver), 0o600)
		run(t, f.dir, "", "fetchmail", "--fetchmailrc", rc, "--nodetach", "--nosyslog",
			"--idfile", filepath.Join(f.dir, "ids"), "--pidfile", filepath.Join(f.dir, "pid"))
		return numbered(t, inbox)
	},
}

// mpop pipelines its commands. It hands each message to a delivery program and
// adds a Received field only if it is not told otherwise.
var mpop = client{
	name:     "mpop",
	programs: map[string]string{"mpop": "mpop"},
	version:  []string{"mpop", "--version"},
	security: []security{plaintext, stls, implicitTLS},
	arrives:  lf,
	fetch: func(t *testing.T, f fetching) [][]byte {
		deliver, inbox := f.deliver(t)
		protection := map[security]string{
			plaintext:   "tls off\nauth apop", // it sends no password in plaintext
			stls:        "tls on\ntls_starttls on\nauth on",
			implicitTLS: "tls on\ntls_starttls off\nauth on",
		}[f.security]
		rc := f.write(t, "mpoprc", fmt.Sprintf(`account default
host %s
port %s
user %s
password %s
%s
tls_trust_file %s
keep on
received_header off
uidls_file %s/uidls
delivery mda %s
`, f.host, f.port, f.name, f.password, protection, f.ca, f.dir, deliver), 0o600)
		run(t, f.dir, "", "mpop", "--quiet", "--file", rc)
		return numbered(t, inbox)
	},
}
