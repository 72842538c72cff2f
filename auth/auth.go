// Package auth says who a login is and whether its secret is right.
//
// Accounts come from a [Source]: a [Passwd] has them in passwd files, [PAM] those
// of the system, [Virtual] those of Postfix's virtual mailboxes, and a [Chain] asks
// several. A [Guard] stands before them: it makes those wait who fail, and answers
// all failures alike. [Masters] may log in as others.
//
// An [Exchange] carries one SASL authentication. What a mechanism has a source asked:
//
//   - PLAIN, LOGIN: whether the password is right, whatever it is kept as, PAM's too
//     ([NewPlain], [NewLogin]).
//   - CRAM-MD5, and APOP, which is none of SASL's: whether a [Proof] is right for a
//     password that is kept as it is ([NewCRAMMD5], [NewAPOP]).
//   - SCRAM-SHA-1, SCRAM-SHA-256, each with -PLUS too: the keys, of a password that
//     is kept as such or as it is; -PLUS ties them to the TLS connection ([NewSCRAM]).
//   - OAUTHBEARER, XOAUTH2: the account alone of a user whom a token names, as package
//     oauth says ([NewOAuthBearer], [NewXOAuth2], [Chain.Admit]).
//   - EXTERNAL: the account alone of a user whom a client's certificate names
//     ([Certificates], [NewExternal], [Chain.AdmitAs]).
//
// What is forbidden otherwise than by the password holds for all of them. GSSAPI is not
// there: Kerberos is a PAM module's matter, with the password.
//
// Invariants:
//   - No password and no hash leaves the package but for the program of package
//     helper: not in an error, not in a warning, not in an [Account].
//   - Behind a Guard a name that does not exist costs what a wrong password
//     costs; of a passwd file it does so by itself. What forbids a login to
//     somebody who has the right password is told only after the password was
//     found right. Only an account whose line is malformed, so that no password
//     can be right, shows itself.
//   - SCRAM's salts and rounds are the same for a name at each attempt and after a
//     restart, whether there is such a user or not, and of the kinds that users have.
//   - An empty password is never right, whatever the file says.
//   - The cost of a hash is bounded when its line is read, and no more
//     passwords are hashed at once than there are processors.
//   - A file is trusted only as it is now: no login succeeds on the content of
//     a file that has changed, vanished or become unreadable.
package auth

import (
	"errors"
	"runtime"
)

// Why a login is refused. Every error of this package about a login wraps one
// of these; the text around it is for the log and holds no secret.
var (
	// ErrCredentials is a wrong or unacceptable password or an unknown user.
	// A client must not learn which.
	ErrCredentials = errors.New("wrong user name or password")

	// ErrDenied is a right password whose owner may not log in, now or from there.
	ErrDenied = errors.New("login not allowed")

	// ErrTemporary is a fault that may pass: the same login may work later.
	ErrTemporary = errors.New("accounts cannot be read at the moment")

	// ErrPermanent is a fault that stays until the operator mends a file.
	ErrPermanent = errors.New("account or accounts file is misconfigured")

	// ErrProtocol is a SASL response that breaks its mechanism's rules.
	ErrProtocol = errors.New("malformed SASL response")
)

// fault is an error of one of these kinds whose own text says what it is.
type fault struct {
	kind error
	error
}

func (f *fault) Unwrap() []error { return []error{f.kind, f.error} }

const (
	// MaxUserOctets limits a name as a client gives it: the longest mail
	// address, 64 octets, "@" and 255 octets (RFC 5321, section 4.5.3.1).
	MaxUserOctets = 320

	// MaxPasswordOctets limits a password as a client gives it. SHA-crypt's
	// cost grows with the length, so a longer one would be a way to load the
	// machine; it is far above the 255 octets that POP3 lines leave.
	MaxPasswordOctets = 1024
)

// hashing is taken while a password is hashed, by everybody in the process: a
// hash occupies a processor, and up to 256 MiB of memory.
var hashing = make(chan struct{}, runtime.GOMAXPROCS(0))
