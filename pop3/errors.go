package pop3

import "errors"

// Error is a failure that the client is told of. Its text goes out as it is
// and says nothing that the client may not know.
type Error struct {
	Code string // response code without its brackets, or empty
	Text string

	misuse bool // a mistake in the protocol
}

func (e *Error) Error() string {
	if e.Code == "" {
		return e.Text
	}
	return "[" + e.Code + "] " + e.Text
}

// The failures that a backend reports. To say more to the log, wrap one of
// them: fmt.Errorf("%w: passwd file vanished", ErrTemporary).
var (
	// ErrCredentials: name or secret is wrong; which, nobody is told
	// (RFC 3206, section 4).
	ErrCredentials = &Error{Code: "AUTH", Text: "authentication failed"}

	// ErrInUse: the maildrop is locked by, or has too many, other sessions
	// (RFC 2449, section 8.1.2).
	ErrInUse = &Error{Code: "IN-USE", Text: "the maildrop is in use by another session"}

	// ErrLoginDelay: the account logs in more often than the server allows
	// (RFC 2449, section 8.1.1).
	ErrLoginDelay = &Error{Code: "LOGIN-DELAY", Text: "the last login is too recent"}

	// ErrTemporary: trying again later can help (RFC 3206, section 3).
	ErrTemporary = &Error{Code: "SYS/TEMP", Text: "temporary failure, try again later"}

	// ErrPermanent: somebody has to mend the server first (RFC 3206, section 3).
	ErrPermanent = &Error{Code: "SYS/PERM", Text: "the server is not set up for this account"}

	// ErrGone: another program removed the message while the session was open.
	ErrGone = &Error{Text: "the message was removed by another program"}
)

// Failures that the session finds itself.
var (
	errNoMessage   = &Error{Text: "no such message"}
	errDeleted     = &Error{Text: "the message is marked as deleted"}
	errNoMechanism = &Error{Text: "mechanism not available on this connection"}
	errPlaintext   = &Error{Text: "passwords are accepted over TLS only"}
	errCancelled   = &Error{Text: "authentication cancelled"}
	errNeedsUTF8   = &Error{Code: "UTF8", Text: "the message has UTF-8 header fields: use the UTF8 command before login"}
	errIdle        = &Error{Code: "SYS/TEMP", Text: "no command came in time"}
	errLoginTime   = &Error{Code: "SYS/TEMP", Text: "no login came in time"}
)

// Misuse of the protocol: Limits.BadCommands counts it.
var (
	errUnknown     = misuse("unknown command")
	errState       = misuse("command not available in this state")
	errSyntax      = misuse("a command holds a NUL or a stray carriage return")
	errLineTooLong = misuse("line too long")
	errNoArguments = misuse("the command takes no arguments")
	errOneArgument = misuse("the command takes one argument")
	errTopArgs     = misuse("usage: TOP message lines")
	errAPOPArgs    = misuse("usage: APOP name digest")
	errAuthArgs    = misuse("usage: AUTH mechanism [initial-response]")
	errNumber      = misuse("a message number is expected")
	errNoUser      = misuse("USER comes first")
	errBase64      = misuse("the response is not base64")
	errNoTLS       = misuse("TLS is not available")
	errTLSFirst    = misuse("connections begin with TLS on this port")
	errTLSActive   = misuse("TLS is active already")
	errSTLSAfter   = misuse("STLS comes before UTF8")
	errLanguage    = misuse("language not available")
)

// errDisconnected: the connection ended within a command; there is nothing
// left to answer.
var errDisconnected = errors.New("disconnected")

func misuse(text string) *Error { return &Error{Text: text, misuse: true} }

// replyTo is the one place where an error becomes an answer. Those that the
// client may not see in full are reported to the log by the session.
func replyTo(err error) (line string, public bool) {
	var e *Error
	if !errors.As(err, &e) {
		return "-ERR " + ErrTemporary.Error(), false
	}
	return "-ERR " + e.Error(), err == error(e)
}
