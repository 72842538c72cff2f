package pop3

import "time"

// Default limits. Each is the value of the field of [Limits] with its name.
const (
	// DefaultLine is the longest command, its line end included
	// (RFC 2449, section 4).
	DefaultLine = 255

	// DefaultSASLLine is the longest line of a SASL exchange, its line end
	// not included (RFC 5034, section 4). It holds for AUTH with an initial
	// response too: programs send bearer tokens there, longer than
	// RFC 5034 wants them.
	DefaultSASLLine = 12288

	// DefaultLogin is the time from the connection to a successful login,
	// TLS handshakes included. RFC 1939 asks for ten minutes of patience
	// with inactivity, but nobody who types a password needs them, and a
	// connection without a login is the cheapest way to occupy a server.
	DefaultLogin = 3 * time.Minute

	// DefaultIdle is how long the server waits for a whole command after a
	// login; MinIdle is the least that RFC 1939, section 3 allows.
	DefaultIdle = 10 * time.Minute
	MinIdle     = 10 * time.Minute

	// DefaultWrite is how long one write of at most OutBuffer octets may
	// take. A 2,400 baud line needs about five minutes for it.
	DefaultWrite = 5 * time.Minute

	// DefaultBadCommands is how many commands that don't exist, have wrong
	// arguments or come in the wrong state end a session. A person who tries
	// the protocol by hand needs a few.
	DefaultBadCommands = 20

	// DefaultLoginFailures is how many refused logins end a connection.
	// Programs that offer several mechanisms in turn need three.
	DefaultLoginFailures = 5

	// DefaultConnections is the number of connections in all.
	DefaultConnections = 4000

	// DefaultPerAddress is the number of connections from one IPv4 address or
	// one IPv6 /64: enough for an office behind one address.
	DefaultPerAddress = 100
)

const (
	// OutBuffer is the size of the buffer in which answers are collected.
	// Larger ones make no fewer packets; smaller ones cost system calls.
	OutBuffer = 64 << 10

	// inBuffer is the usual size of the command buffer: a pipelining client's
	// burst of some 500 commands fits and is answered at once, and an idle
	// session holds no more than this.
	inBuffer = 4 << 10

	// maxSkip is how many octets of an overlong line are thrown away before
	// the client is taken for a flood and disconnected.
	maxSkip = 64 << 10

	// handshakeWait bounds a TLS handshake: two round trips and one signature. A
	// client that expects plaintext where TLS comes first says nothing, and must
	// not be left waiting for as long as a login may take.
	handshakeWait = 30 * time.Second

	// goodbye bounds the write that tells a client why it is disconnected.
	goodbye = 2 * time.Second
)

// Limits bounds what clients can make a server do. A field that is zero has
// its default.
type Limits struct {
	Line          int           // octets of a command, line end included
	SASLLine      int           // octets of a line in a SASL exchange
	Login         time.Duration // from connection to login
	Idle          time.Duration // between commands after login
	Write         time.Duration // for one write
	BadCommands   int           // a session
	LoginFailures int           // a connection
	Connections   int           // in all
	PerAddress    int           // from one address, IPv6: from one /64
}

// filled is l with the defaults in place of zeros.
func (l Limits) filled() Limits {
	fill(&l.Line, DefaultLine)
	fill(&l.SASLLine, DefaultSASLLine)
	fill(&l.Login, DefaultLogin)
	fill(&l.Idle, DefaultIdle)
	fill(&l.Write, DefaultWrite)
	fill(&l.BadCommands, DefaultBadCommands)
	fill(&l.LoginFailures, DefaultLoginFailures)
	fill(&l.Connections, DefaultConnections)
	fill(&l.PerAddress, DefaultPerAddress)
	return l
}

func fill[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
