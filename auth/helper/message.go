package helper

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"strings"
	"unicode"
)

// Limits of what a message carries. Lengths are in octets.
const (
	// MaxService limits the name of a PAM service, which is a file name.
	MaxService = 64

	// MaxUser limits a name as a client gives it and as the system spells it:
	// the longest mail address, 64 octets, "@" and 255 octets (RFC 5321,
	// section 4.5.3.1).
	MaxUser = 320

	// MaxPassword limits a password: the answer to a PAM prompt is at most
	// PAM_MAX_RESP_SIZE, 512, with its final NUL.
	MaxPassword = 511

	// MaxHome limits a home folder: PATH_MAX, 4096, with its final NUL.
	MaxHome = 4095

	// MaxGroups limits an account's supplementary groups. The kernel takes
	// 65,536, but a message should stay small and nobody is known to need them.
	MaxGroups = 1024

	// MaxMessages and MaxMessage limit what modules have to say about one
	// request: PAM_MAX_NUM_MSG is 32 and PAM_MAX_MSG_SIZE 512. What is longer
	// is cut.
	MaxMessages = 16
	MaxMessage  = 256

	// MaxUnderWay is how many requests a helper takes before it has answered.
	// A keeper bounds itself far below.
	MaxUnderWay = 1024
)

var (
	// ErrTemporary is a fault that may pass: the same request may be answered later.
	ErrTemporary = errors.New("passwords cannot be checked at the moment")

	// ErrRequest is a request that nobody could answer: its name or password
	// is empty, too long or has a NUL.
	ErrRequest = errors.New("unacceptable login")
)

// Secret is a password. Formatting it does not show it.
type Secret []byte

// Format writes a placeholder, whatever the verb.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[password]") }

// Wipe overwrites the password with zeros.
func (s Secret) Wipe() { wipe(s) }

// wipe overwrites a buffer that has held a password.
func wipe(buffer []byte) {
	clear(buffer)
	runtime.KeepAlive(&buffer) // or the compiler may see that nobody reads it
}

// Login is the request to check a password, or whether somebody may log in without
// one: then Service, User and Remote alone count.
type Login struct {
	// Service is the PAM service's name, a single path element.
	Service string

	// User is the name to log in with.
	User string

	// Password belongs to the caller of [Pool.Authenticate]. In a [Handler] it
	// is overwritten when Authenticate returns.
	Password Secret

	// Remote is the client's address; the zero value where there is none. Its
	// zone is not carried, and an IPv4 address mapped to IPv6 arrives as IPv4.
	Remote netip.Addr

	// SetCred asks that credentials be established, OpenSession that a session
	// be opened and closed, so that modules that act then (pam_mkhomedir) do.
	SetCred, OpenSession bool
}

// Outcome is what became of a request.
type Outcome uint8

const (
	Accepted        Outcome = iota + 1 // the password is right and its owner may log in
	Credentials                        // the password is wrong or the user unknown
	Denied                             // the password is right or not asked for, and a rule forbids the login
	AccountExpired                     // the same, and the account has expired
	PasswordExpired                    // the same, and the password has to be changed first
	Locked                             // the account is locked
	NoLogin                            // the account or the machine takes no logins
	BrokenPrompt                       // a module asked for something else than the password
	Temporary                          // a fault that may pass
	Permanent                          // a fault that stays until the operator mends something
	Found                              // a lookup's user exists
	Unknown                            // a lookup's user does not exist
)

var outcomes = [...]string{
	Accepted: "accepted", Credentials: "wrong user name or password", Denied: "login not allowed",
	AccountExpired: "account expired", PasswordExpired: "password expired", Locked: "account locked",
	NoLogin: "no logins", BrokenPrompt: "prompt for something else than a password",
	Temporary: "temporary fault", Permanent: "permanent fault", Found: "found", Unknown: "unknown user",
}

// String is for the log.
func (o Outcome) String() string {
	if o == 0 || int(o) >= len(outcomes) {
		return fmt.Sprintf("outcome %d", uint8(o))
	}
	return outcomes[o]
}

// answers says whether o can be the outcome of a request with a verb.
func (o Outcome) answers(v verb) bool {
	switch o {
	case Temporary, Permanent:
		return true
	case Found, Unknown:
		return v == verbLookup
	}
	return (v == verbAuthenticate || v == verbAdmit && o != Credentials) && o >= Accepted && o <= Permanent
}

// hasAccount says whether an account belongs to the outcome.
func (o Outcome) hasAccount() bool { return o == Accepted || o == Found }

// Account is a user as the system knows it (NSS).
type Account struct {
	Name     string // the account's own name, which need not be the one typed
	UID, GID uint32
	Groups   []uint32 // supplementary
	Home     string   // as the system gives it: not necessarily an absolute path, or there
}

// Answer is what became of a request.
type Answer struct {
	Outcome  Outcome
	Account  Account  // of Accepted and Found
	Messages []string // what modules said, for the log: printable, cut to [MaxMessage] octets
}

// check says what is wrong with a request that is to be carried or was
// received. Its error quotes nothing of the request.
func (r *request) check() error {
	if err := checkText("user name", r.login.User, 1, MaxUser); err != nil {
		return err
	}
	if r.verb == verbLookup {
		return nil
	}
	service := r.login.Service
	if err := checkText("service name", service, 1, MaxService); err != nil {
		return err
	}
	// A service is a file name to PAM, which opens it as root.
	if strings.Contains(service, "/") || service == "." || service == ".." {
		return errors.New("service name is not a single path element")
	}
	if r.verb == verbAdmit {
		return nil
	}
	return checkText("password", r.login.Password, 1, MaxPassword)
}

// check says what is wrong with an answer.
func (a *Answer) check() error {
	if a.Outcome == 0 || int(a.Outcome) >= len(outcomes) {
		return fmt.Errorf("there is no %v", a.Outcome)
	}
	if a.Outcome.hasAccount() {
		if err := checkText("account name", a.Account.Name, 1, MaxUser); err != nil {
			return err
		}
		if err := checkText("home folder", a.Account.Home, 0, MaxHome); err != nil {
			return err
		}
		if n := len(a.Account.Groups); n > MaxGroups {
			return fmt.Errorf("account is in %d groups: at most %d can be carried", n, MaxGroups)
		}
	}
	if len(a.Messages) > MaxMessages {
		return fmt.Errorf("%d messages: at most %d can be carried", len(a.Messages), MaxMessages)
	}
	for _, m := range a.Messages {
		if err := checkText("message", m, 0, MaxMessage); err != nil {
			return err
		}
	}
	return nil
}

// checkText holds the limits of a text. Modules are written in C: to them a
// text would end at its first NUL.
func checkText[T string | Secret](what string, text T, least, most int) error {
	switch {
	case len(text) < least:
		return fmt.Errorf("%s is empty", what)
	case len(text) > most:
		return fmt.Errorf("%s has %d octets: at most %d can be carried", what, len(text), most)
	}
	for i := range len(text) {
		if text[i] == 0 {
			return fmt.Errorf("%s has a NUL", what)
		}
	}
	return nil
}

// printable makes text of foreign code fit for a log: no control characters,
// valid UTF-8, at most limit octets.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	if len(text) <= limit {
		return text
	}
	const mark = "..."
	return strings.ToValidUTF8(text[:limit-len(mark)], "") + mark
}
