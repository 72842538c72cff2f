package test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
)

// entry is a line of the server's log.
type entry struct {
	Level   string
	Message string
	Role    string // of the process, in lines on it
	Session string
	User    string
	Reason  string
	Error   string // the details of a reason
	Remote  string
	Mech    string // of a login
	TLS     string // version and cipher, or noTLS
	Ended   string // role
	Keys    string // of the configuration
	Path    string // of a certificate
	Names   string // in it
	UID     int    // of a process
}

// Messages of the log that the tests rely on.
const (
	msgConnection = "connection" // tolerated: and none at all
	msgLogin      = "login"
	msgClosed     = "session closed"

	// Warnings and errors that some tests provoke.
	msgRefused      = "connection refused"          // too many of one address
	msgNotServed    = "not served"                  // something in a Maildir is no message
	msgFault        = "session fault"               // a message could not be sent
	msgCutOff       = "sessions cut off"            // open when shutdown_time was over
	msgLoginFailed  = "login failed"                // for want of something that is not the client's
	msgEnded        = "role ended"                  // killed
	msgUnreachable  = "keeper not reachable"        // while none runs
	msgStopped      = "stopped"                     // not as it should
	msgConfig       = "configuration refused"       // on a hangup
	msgNeedsRestart = "needs a restart"             // on a hangup
	msgFrontRefused = "front refused"               // not the front, or too many of its connections
	msgFrontBroke   = "front broke the protocol"    // a test in its place
	msgSelfSigned   = "self-signed certificate"     // no other was found
	msgOldTLS       = "old TLS"                     // with tls.profile legacy
	msgUnseparated  = "roles not separated by user" // not started as root
	msgSandboxed    = "sandboxed"                   // some of it is not available

	noTLS = "none"
)

// entries are the lines of the log so far.
func (s *server) entries() []entry {
	s.t.Helper()
	var entries []entry
	for line := range strings.Lines(s.readLog()) {
		if !strings.HasSuffix(line, "\n") {
			continue // it is being written
		}
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Errorf("log line is not JSON: %v: %s", err, line)
			continue
		}
		entries = append(entries, e)
	}
	return entries
}

// lastLogin is how the last login so far was protected.
func (s *server) lastLogin() (tls string) {
	s.t.Helper()
	for _, e := range s.entries() {
		if e.Message == msgLogin {
			tls = e.TLS
		}
	}
	return tls
}

// checkLog reads the log of a server that has ended, of all its roles.
func (s *server) checkLog(tolerated []string) {
	s.t.Helper()
	log := s.readLog()
	for _, secret := range s.secrets() {
		if strings.Contains(log, secret) {
			s.t.Errorf("a secret is in the log (%d octets long)", len(secret))
		}
	}
	if os.Getuid() != 0 {
		tolerated = append(tolerated, msgUnseparated, msgSandboxed)
	}
	open := make(map[string]int)
	seen := false
	for _, e := range s.entries() {
		switch e.Message {
		case msgConnection:
			open[e.Session]++
			seen = true
		case msgClosed:
			open[e.Session]--
		case msgEnded:
			if e.Ended == roleFront { // and could not say more of its sessions
				clear(open)
			}
		}
		if (e.Level == "warning" || e.Level == "error") && !slices.Contains(tolerated, e.Message) {
			s.t.Errorf("unexpected in the log: %+v", e)
		}
	}
	if !seen && !slices.Contains(tolerated, msgConnection) {

		s.t.Error("the log names no connection")
	}
	for session, n := range open {
		if n != 0 {
			s.t.Errorf("session %q: %+d lines %q more than %q", session, n, msgConnection, msgClosed)
		}
	}
	if s.t.Failed() {
		s.t.Logf("end of the log:\n%s", tail([]byte(log)))
	}
}

// secrets are what no log may hold: the passwords, how SASL PLAIN and LOGIN send
// them, and the private key.
func (s *site) secrets() []string {
	var all []string
	for _, line := range s.keyLines() {
		all = append(all, string(line))
	}
	for _, a := range s.accounts {
		plain := "\x00" + a.name + "\x00" + a.password
		all = append(all, a.password,
			base64.StdEncoding.EncodeToString([]byte(a.password)),
			base64.StdEncoding.EncodeToString([]byte(plain)))
	}
	return all
}
