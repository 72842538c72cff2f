package wire

import (
	"time"

	"sidepop/pop3"
)

// Bounds of what one side takes from the other.
const (
	// MaxPacket is the longest packet. It holds more than a thousand UIDLs, and
	// half of a socket buffer of the usual size.
	MaxPacket = 64 << 10

	// MaxSettings is the longest [State].Settings, in octets.
	MaxSettings = 32 << 10

	// MaxCertificates is the number of certificates of a [State]: a server's own
	// names, not those of everybody it hosts.
	MaxCertificates = 1000

	// MaxFigures is the longest text of [Server].Figures, in octets: that of as many
	// certificates with long names as there may be, and all else many times over.
	MaxFigures = 1 << 20

	// MaxOpen is how many descriptors come in one packet. What takes time is that
	// two processes wait for each other: 16 cost twice as much for each message, 128
	// hardly less. The kernel's own bound is 253 (SCM_MAX_FD).
	MaxOpen = 64

	// MaxLogin is the longest time that a login is given, whatever the front
	// asks for: more than any sensible pop3.Limits.Login.
	MaxLogin = 10 * time.Minute

	figuresPiece = 60 << 10 // octets of figures in a packet, beside which a packet has room for all else

	maxSession      = 64       // octets of pop3.Peer.Session, letters and digits
	maxZone         = 64       // octets of an IPv6 zone: an interface's name
	maxHost         = 255      // octets of a TLS server name (RFC 1035, section 2.3.4)
	maxClientChain  = 5        // certificates of a client, as package pop3 has it
	maxClientName   = 256      // octets of a common name: 64 characters of UTF-8 (RFC 5280, appendix A.1)
	maxClientOctets = 16 << 10 // of one; package pop3 has as many for all together

	maxBindings    = 4  // channel bindings of a connection: TLS has three
	maxBindingType = 32 // octets of a type's name
	maxBinding     = 64 // octets of a binding: a hash of SHA-512

	maxName      = 8 << 10  // octets of a user name: more than a line of POP3 holds
	maxSecret    = 8 << 10  // octets of a password
	maxStamp     = 1 << 10  // octets of an APOP timestamp
	maxDigest    = 32       // octets of an APOP digest
	maxMechanism = 20       // octets of a mechanism's name (RFC 4422, section 3.1)
	maxResponse  = 48 << 10 // octets of a SASL response or challenge: 64 KiB of base64
	maxCode      = 64       // octets of a response code
	maxText      = 480      // octets of an answer's text: a line of POP3 has 512 (RFC 1939, section 3)
	maxUIDL      = 255      // octets of a UIDL: see pop3.Maildrop
	maxMessages  = 1 << 30  // messages of a maildrop
	maxOctets    = 1 << 62  // of a maildrop or a message; leaves room for sums
	maxOffered   = 32       // mechanisms of an offer
	maxChain     = 16       // certificates of a chain
	maxSigned    = 512      // octets that Ed25519 signs: 130 in TLS 1.3 (RFC 8446, section 4.4.3), some 200 in TLS 1.2
	maxSignature = 1 << 10  // octets of a signature: RSA with 8,192 bits
	maxReason    = 200      // octets of why something was not signed
)

// Times.
const (
	// firstWait is how long a connection may say nothing at first. The login is
	// sent with the connection's opening.
	firstWait = 10 * time.Second

	// LongestTransfer is how long the front may send messages to a client without
	// asking for anything: it has up to [MaxOpen] of them, and a line of 2,400
	// baud takes 20 MB in that time.
	LongestTransfer = 24 * time.Hour

	// DefaultSilence is how long a session that is logged in may ask for nothing,
	// unless [Server.AllowSilence] says something else: a client that is allowed
	// to be idle for a day, after the longest transfer.
	DefaultSilence = 24*time.Hour + LongestTransfer

	// idleWait is how long the front keeps a connection without a session: each is one
	// that the keeper can't give to another front.
	idleWait = 5 * time.Second

	// atOnce is how long it takes at most to read what is in memory, and many times over.
	atOnce = time.Millisecond

	// sendWait bounds one write. The other side reads at once unless it hangs.
	sendWait = 10 * time.Second

	// answerWait is how long the front waits for sizes, UIDLs and descriptors:
	// long enough for a disk that has to spin up.
	answerWait = 2 * time.Minute

	// commitWait is how long it waits for a removal: of 100,000 messages on a
	// slow network file system. Giving up leaves the client in doubt.
	commitWait = 30 * time.Minute

	// signWait is how long a TLS handshake waits for its signature, and at most
	// twice that where the keeper ends meanwhile: it is there again in less than a
	// second when it is restarted.
	signWait = 10 * time.Second

	// replacedWait is how long the keys of a state sign that was replaced:
	// handshakes that have begun, of which signing may take signWait, and a
	// front that has not taken the new state yet. After it a key that was
	// withdrawn is worth nothing to a front.
	replacedWait = 30 * time.Second

	// minRedial and maxRedial bound the waits between attempts to reach the
	// keeper: a restart takes less than a second.
	minRedial = 50 * time.Millisecond
	maxRedial = 2 * time.Second

	// listingWait is after how long a listing is dropped that nobody used, or
	// up to twice that: programs that look for mail do so every few minutes.
	listingWait = 5 * time.Minute
)

// Sizes.
const (
	// DefaultConnections is how many a [Server] has at most: those of a front and of the
	// one that it replaces.
	DefaultConnections = 2 * pop3.DefaultConnections

	// DefaultAhead is [Client].Ahead: 16 sessions that fetch at the same moment
	// have 64 each, the others fewer, and it fits the usual soft limit of files beside nothing
	// less than the sessions themselves.
	DefaultAhead = 1024

	// keepers is how many are asked for one login: that which ends, and the next.
	keepers = 2

	// maxIdle is how many connections the front keeps that wait for a session: as many
	// as end in one moment and begin in the next.
	maxIdle = 64

	// soonGone is the largest message, in bytes, of which the space is given back in no
	// time if somebody has removed it meanwhile.
	soonGone = 1 << 20

	// maxSigning is how many signatures wait for a processor, in all. A front
	// has as many handshakes under way as it has cores, and a few hundred in
	// bursts.
	maxSigning = 512

	// minListing is from how many messages on the front asks for a listing
	// whole. With fewer it costs as much to hand over a file as to send values.
	minListing = 200

	// maxListingOctets is how much memory the listings take that a keeper
	// keeps: the UIDLs and sizes of more than a million messages.
	maxListingOctets = 64 << 20

	// largest is what part of that one listing may be.
	largest = 4

	// maxListings is how many listings there are at most: each is a descriptor.
	maxListings = 1024
)
