package pop3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"iter"
	"net/netip"
	"time"
)

// Peer is one client connection as the backend sees it.
type Peer struct {
	Session string         // identifies the connection in logs
	Remote  netip.AddrPort // the client; the zero value where the transport has no addresses
	Local   netip.AddrPort // the address that the client connected to

	// TLS is nil for a connection in plaintext. Where a proxy has ended the TLS
	// ([Relayed]) HandshakeComplete is false, and there is no keying material to
	// export.
	TLS *tls.ConnectionState

	// Bindings are the channel bindings that the connection has; none without TLS.
	Bindings []ChannelBinding

	// Certificates are the client's own and those that lead from it to one of
	// [Settings].ClientCAs; none if they don't.
	Certificates []*x509.Certificate

	// ClientName is the common name of the client's certificate where a proxy has
	// ended the TLS and says that it has verified that ([Settings].RelayedNames).
	ClientName string

	// Secure says that a password may cross this connection as it is: it is
	// encrypted, or both its ends are on the loopback interface, or the
	// operator allows plaintext (RFC 8314, section 3).
	Secure bool
}

// Offer is what one connection can log in with at this moment. CAPA and the
// greeting are made from it, so it names only what can succeed.
type Offer struct {
	Password bool     // USER and PASS
	UTF8User bool     // names and passwords may be UTF-8 (RFC 6856, section 2.2)
	APOP     bool     // at least one account has a secret that APOP can use (RFC 1939, section 7)
	SASL     []string // mechanism names, the preferred first (RFC 5034); those with -PLUS hold only where there is a channel binding, and EXTERNAL only where there are [Peer].Certificates or a ClientName

	// LoginDelay is the least time from one login of an account to the next,
	// which the backend enforces; 0: any (RFC 2449, section 6.5).
	LoginDelay time.Duration
}

// Backend decides who may log in and opens their maildrops. Its methods are
// called from many sessions at once. The context of a login ends when it must be
// over ([Limits.Login]) or the server is cut off, and a method that does not heed
// it holds up [Server.Shutdown]. With an error there is no maildrop.
//
// A refused login is an error that wraps one of the [Error] values of this
// package: its code and text are what the client sees, and everything around
// it is for the log alone. Any other error is logged and answered as
// [ErrTemporary].
type Backend interface {
	// Offer is asked at the greeting, at CAPA and at each login.
	Offer(Peer) Offer

	// Password logs in with USER and PASS.
	Password(ctx context.Context, p Peer, user, password string) (Maildrop, error)

	// APOP logs in with the MD5 digest, 32 lower-case hexadecimal digits, of
	// timestamp, angle brackets included, and the secret. It is called only
	// when the offer has APOP.
	APOP(ctx context.Context, p Peer, user, timestamp, digest string) (Maildrop, error)

	// SASL begins an exchange with a mechanism of the offer.
	SASL(ctx context.Context, p Peer, mechanism string) (Exchange, error)
}

// Exchange is one SASL authentication under way (RFC 4422, section 3).
type Exchange interface {
	// Step takes what the client sent and answers with the next challenge,
	// or, at the end, with the maildrop. The first response is nil when the
	// client sent none with AUTH, and empty when it sent an empty one.
	Step(ctx context.Context, response []byte) (challenge []byte, m Maildrop, err error)

	// User is the name that the client gave, for the log; empty until known.
	User() string

	// Close ends an exchange that is over, by success, failure or cancellation.
	Close() error
}

// Maildrop is the mail of one account as it was at login (RFC 1939,
// section 4): messages keep their numbers, from 0 here and from 1 on the wire,
// until it is closed. It is used by one session, one call at a time.
type Maildrop interface {
	// User is the account's own name, which need not be the one typed.
	User() string

	// Stat gives the number of messages and the sum of their octets. Its cost
	// does not depend on how many there are.
	Stat() (messages int, octets int64)

	// Octets gives the sizes of n messages from first on, in order: each as the
	// message is sent, see [Measure]. An error ends it. It is asked for messages
	// that there are, and iterated over at once, if not always to the end; but
	// between two messages the client may be waited for ([Limits.Write]).
	Octets(ctx context.Context, first, n int) iter.Seq2[int64, error]

	// UIDLs gives unique-ids as Octets does sizes. A message's is the same in
	// every session: characters of 0x21 to 0x7E, 1 to 70 of them (RFC 1939,
	// section 7), or as many as 255 where a previous server gave out such ones.
	UIDLs(ctx context.Context, first, n int) iter.Seq2[string, error]

	// Open gives the message as it is stored, whatever its line ends, and its
	// size as Octets says it. A message that someone else has removed meanwhile
	// is [ErrGone]. Reading fails with [io.ErrUnexpectedEOF] when the stored
	// message shrinks.
	Open(ctx context.Context, message int) (m io.ReadCloser, octets int64, err error)

	// Commit is the UPDATE state: it removes messages for good. Those that are
	// gone already count as removed. Failed is how many remain, and err why.
	// The context does not end before it returns. Retrieved are the other
	// messages that RETR has sent, for backends that mark them.
	Commit(ctx context.Context, remove, retrieved []int) (failed int, err error)

	// Close gives up the maildrop and whatever lock it holds.
	Close() error
}
