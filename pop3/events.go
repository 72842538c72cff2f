package pop3

import (
	"net"
	"time"
)

// Events is told what an operator wants to read in a log. Its methods are
// called from many sessions at once and return soon. No argument of theirs
// holds a secret.
type Events interface {
	// AcceptFailed: a listener could not accept; it tries again.
	AcceptFailed(listener net.Addr, err error)

	// Refused: a connection was turned away because of a limit.
	Refused(p Peer, reason error)

	// Connected: a connection was accepted.
	Connected(p Peer)

	// LoggedIn: user is the account's own name. Mechanism is the command
	// (USER, APOP) or the SASL mechanism.
	LoggedIn(p Peer, mechanism, user string)

	// LoginFailed: user is what the client claims to be, at most a line long
	// and of any content. Err has the whole reason.
	LoginFailed(p Peer, mechanism, user string, err error)

	// Failed: something went wrong after a login, beyond what the client was
	// told.
	Failed(p Peer, user, command string, err error)

	// Closed: a connection ended.
	Closed(p Peer, s Summary)
}

// Summary is what happened in a connection.
type Summary struct {
	User      string // the account's name; empty without a login
	Mechanism string // the one that logged in
	Reason    Reason // why it ended
	Err       error  // the details, where there are any
	Top       int    // messages sent by TOP
	Retr      int    // messages sent by RETR
	Dele      int    // messages removed
	Octets    int64  // of messages sent
	Duration  time.Duration
}

// Reason is why a connection ended.
type Reason string

const (
	ReasonQuit         Reason = "quit"                   // the client said QUIT
	ReasonClosed       Reason = "closed by client"       // without QUIT; nothing was removed
	ReasonLost         Reason = "connection lost"        // reading or writing failed
	ReasonIdle         Reason = "idle too long"          // Limits.Idle
	ReasonLoginTime    Reason = "login took too long"    // Limits.Login
	ReasonSlow         Reason = "client does not read"   // Limits.Write
	ReasonBadCommands  Reason = "too many bad commands"  // Limits.BadCommands
	ReasonFailedLogins Reason = "too many failed logins" // Limits.LoginFailures
	ReasonFlood        Reason = "line without end"       // far beyond Limits.Line
	ReasonHandshake    Reason = "TLS handshake failed"   // STLS or implicit TLS
	ReasonMessage      Reason = "message not readable"   // the answer could not be completed
	ReasonShutdown     Reason = "server shutdown"        // Server.Shutdown
	ReasonFault        Reason = "server fault"           // a panic: a defect of the server
)

// silent are the Events of a server without any.
type silent struct{}

func (silent) AcceptFailed(net.Addr, error)            {}
func (silent) Refused(Peer, error)                     {}
func (silent) Connected(Peer)                          {}
func (silent) LoggedIn(Peer, string, string)           {}
func (silent) LoginFailed(Peer, string, string, error) {}
func (silent) Failed(Peer, string, string, error)      {}
func (silent) Closed(Peer, Summary)                    {}
