package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"sidepop/cmd/sidepop/internal/maillog"
	"sidepop/pop3"
)

// screen is what a person looks at. Its methods may be called from many
// goroutines at once.
type screen struct {
	style style
	mu    sync.Mutex
	w     io.Writer
}

// style is the escape sequences for headings; empty where there is no terminal,
// or its user wants none (https://no-color.org).
type style struct{ bold, normal string }

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	f, ok := w.(*os.File)
	if ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		s.style = style{"\x1b[1m", "\x1b[0m"}
	}
	return s
}

func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.w, text) // who does not look gets SIGPIPE
}

// say prints a sentence with the time.
func (s *screen) say(format string, args ...any) {
	s.print(time.Now().Format("15:04:05  ") + fmt.Sprintf(format, args...) + "\n")
}

// words tells a person what happens. It implements [events], and
// [certs.Events].
type words struct {
	screen *screen
	user   string // the only one there is
}

// Delivered: a message has come into the Maildir.
func (w *words) Delivered(from, subject string, bytes int64) {
	w.screen.say("new mail: %s, from %s, %s", subject, from, plural(bytes, "byte"))
}

// LoggedIn implements [pop3.Events].
func (w *words) LoggedIn(p pop3.Peer, mechanism, user string) {
	w.screen.say("%s logged in from %s %s (%s)", maillog.Escape(user), p.Remote.Addr(), security(p.TLS), mechanism)
}

// MasterLogin implements [loginEvents].
func (w *words) MasterLogin(p pop3.Peer, mechanism, master, user string) {
	w.screen.say("%s logs in as %s from %s %s (%s)", maillog.Escape(master), maillog.Escape(user), p.Remote.Addr(), security(p.TLS), mechanism)
}

func security(s *tls.ConnectionState) string {
	if s == nil {
		return "in plaintext"
	}
	return "over " + tls.VersionName(s.Version)
}

// LoginFailed implements [pop3.Events].
func (w *words) LoginFailed(p pop3.Peer, mechanism, user string, err error) {
	reason := maillog.Escape(err.Error())
	switch {
	case !errors.Is(err, pop3.ErrCredentials):
	case user != w.user:
		reason = "the user is " + w.user
	default:
		reason = "wrong password"
	}
	w.screen.say("login failed for %s from %s (%s): %s", quoted(user), p.Remote.Addr(), mechanism, reason)
}

// Failed implements [pop3.Events].
func (w *words) Failed(_ pop3.Peer, _, command string, err error) {
	w.screen.say("%s failed: %s", command, maillog.Escape(err.Error()))
}

// Closed implements [pop3.Events].
func (w *words) Closed(p pop3.Peer, s pop3.Summary) {
	end := string(s.Reason)
	if s.Err != nil {
		end += ": " + maillog.Escape(s.Err.Error())
	}
	switch {
	case s.Reason == pop3.ReasonHandshake:
		w.screen.say("%s from %s; does the client trust the certificate?", end, p.Remote.Addr())
		return
	case s.User == "":
		w.screen.say("a client from %s ended without login (%s)", p.Remote.Addr(), end)
		return
	}
	w.screen.say("%s ended (%s): %s", maillog.Escape(s.User), end, strings.Join(deeds(s), ", "))
}

// deeds says what a session did.
func deeds(s pop3.Summary) []string {
	var all []string
	if s.Retr > 0 {
		all = append(all, plural(int64(s.Retr), "message")+" fetched")
	}
	if s.Top > 0 {
		all = append(all, "top of "+plural(int64(s.Top), "message")+" fetched")
	}
	if s.Octets > 0 {
		all = append(all, plural(s.Octets, "octet"))
	}
	if s.Dele > 0 {
		all = append(all, plural(int64(s.Dele), "message")+" REMOVED")
	}
	if len(all) == 0 {
		return []string{"nothing fetched"}
	}
	return all
}

// Accounts says what is wrong with the passwd file.
func (w *words) Accounts(err error) { w.screen.say("passwd file: %s", maillog.Escape(err.Error())) }

// Refused implements [pop3.Events].
func (w *words) Refused(p pop3.Peer, reason error) {
	w.screen.say("a client from %s was turned away: %s", p.Remote.Addr(), maillog.Escape(reason.Error()))
}

// AcceptFailed implements [pop3.Events].
func (w *words) AcceptFailed(listener net.Addr, err error) {
	w.screen.say("connections on %s can't be accepted: %s", listener, maillog.Escape(err.Error()))
}

// Connected implements [pop3.Events]. Who connects is told with what follows.
func (w *words) Connected(pop3.Peer) {}

// CertificateInUse implements [certs.Events]. The guide tells of that.
func (w *words) CertificateInUse(string, *x509.Certificate) {}

// CertificateSelfSigned implements [certs.Events]. A trial finds no certificates.
func (w *words) CertificateSelfSigned(string, *x509.Certificate) {}

// Certificate implements [certs.Events].
func (w *words) Certificate(file string, _ *x509.Certificate) {
	w.screen.say("certificate %s is loaded", maillog.Escape(file))
}

// CertificateFault implements [certs.Events].
func (w *words) CertificateFault(err error) {
	w.screen.say("certificate: %s", maillog.Escape(err.Error()))
}

// maxQuoted is how many characters of a subject, a sender or a name are shown:
// two of them fit into a line of 80 columns.
const maxQuoted = 40

// quoted is what somebody else wrote, in quotation marks, harmless and short.
func quoted(s string) string {
	runes := []rune(maillog.Escape(s))
	if len(runes) > maxQuoted {
		runes = append(runes[:maxQuoted-3], []rune("...")...)
	}
	return `"` + string(runes) + `"`
}

// plural is a number with its noun, such as "1,234 octets".
func plural(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return grouped(n) + " " + noun
}

// grouped is a number with its digits in groups, such as "1,234".
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
