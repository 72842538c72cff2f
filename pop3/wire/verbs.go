package wire

// version is the first octet of each packet. Both sides are the same program,
// so another one is a process that an upgrade has left behind.
const version = 1

// verb is the second octet of each packet. What follows stands beside it:
// numbers are unsigned varints (encoding/binary), strings are preceded by their
// length, messages are counted from 0.
type verb byte

const (
	// A session begins with one of these. Each goes on with what
	// appendLogin adds: the peer, and the milliseconds that the login may take.
	verbPassword verb = iota + 1 // name, password
	verbAPOP                     // name, timestamp, digest
	verbSASL                     // mechanism, whether there is an initial response, and it; its peer has channel bindings and certificates

	// verbResponse answers a challenge.
	verbResponse // response

	// A session that is logged in asks.
	verbOctets  // first message, number of messages
	verbUIDLs   // the same
	verbOpen    // the same
	verbListing // 0: sizes of all messages, 1: their UIDLs
	verbNumbers // 0: to be removed, 1: retrieved; then messages, ascending, each as the distance from the one before
	verbCommit  // how many are to be removed, how many were retrieved

	// A control connection begins so.
	verbControl

	verbSign    // request, certificate, scheme, digest
	verbCounts  // request, the fields of Counts
	verbFigures // request, the fields of Counts

	// A session that is logged in, or whose removal was answered, ends with it, and the
	// connection is free for the next one. It is not answered.
	verbLeave // nothing
)

const (
	// Answers to a login.
	verbLoggedIn  verb = iota + 101 // user, messages, octets; for each listing as verbListingIs, with descriptors in their order
	verbChallenge                   // challenge
	verbRefused                     // code, text

	// Answers to a session.
	verbOctetsAre // octets of each message, of the first one at least
	verbUIDLsAre  // the same for UIDLs
	verbOpened    // bytes and octets of each message; their descriptors come along
	verbListingIs // octets of the listing, whose descriptor comes along; or 0: it is not at hand
	verbFailed    // code, text
	verbCommitted // how many remain; if any, or if something failed: code, text

	// The control connection.
	verbState      // settings, two offers, number of certificates that follow
	verbIdentity   // the certificates of a chain, in DER
	verbSigned     // request, signature
	verbNotSigned  // request, reason
	verbAskCounts  // request
	verbFiguresAre // request, whether more of it follows, a piece of a text; an empty text: there are none

	// Another answer to a login: the keeper ends, and the next one is to be asked.
	verbEnding // nothing
)
