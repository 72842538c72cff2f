// Package config reads sidepop's configuration file, a TOML document.
//
// Invariants:
//   - Every key is named once, in [Config.keys], with its bounds; whatever else
//     stands in a file is refused.
//   - All that is wrong with a file is reported at once, each with its line.
//   - A [Config] that was read without error holds only values in their bounds.
//     What depends on the machine (files, users) is for [Config.Check].
package config

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"time"

	"sidepop/auth"
	"sidepop/auth/oauth"
	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/index"
	"sidepop/pop3"
)

// DefaultFile is where the roles look for the configuration.
const DefaultFile = "/etc/sidepop/sidepop.toml"

// KeeperSocket is the file in Config.Runtime where the front finds the keeper.
const KeeperSocket = "keeper.sock"

// Config is a configuration file's content. Fields are named after the keys.
type Config struct {
	Hostname string
	User     string // of the front
	Runtime  string // the folder of the keeper's socket
	Mailbox  string // a template for auth.Account.Expand; empty: where the MTA delivers
	MailUser string // empty: every account says itself whose its mail is
	MinUID   int    // the least user id that mail is served of
	UIDL     index.Scheme
	XUIDL    bool

	// ListsBefore bounds the lists of a previous server; zero: it does not.
	ListsBefore time.Time

	Listen Listen
	TLS    TLS
	Auth   Auth
	POP3   POP3
	Index  Index
	Limits Limits
	Log    Log

	file  string
	lines map[string]int // where keys and tables stand
}

// Listen is where clients connect to.
type Listen struct {
	POP3        []netip.AddrPort // begins in plaintext, with STLS
	POP3S       []netip.AddrPort // begins with TLS
	POP3Legacy  []netip.AddrPort // as POP3, for old devices
	POP3SLegacy []netip.AddrPort // as POP3S, for old devices

	Metrics []netip.AddrPort // HTTP, for those who scrape figures

	// Proxies are the networks of those whose connections begin with a PROXY
	// header, and who are believed what it says.
	Proxies []netip.Prefix

	// ProxyCertificates has proxies believed whose certificate a client has shown.
	ProxyCertificates bool
}

// addresses are the lists, by key.
func (l *Listen) addresses() map[string]*[]netip.AddrPort {
	return map[string]*[]netip.AddrPort{
		"listen.pop3": &l.POP3, "listen.pop3s": &l.POP3S,
		"listen.pop3_legacy": &l.POP3Legacy, "listen.pop3s_legacy": &l.POP3SLegacy,
		"listen.metrics": &l.Metrics,
	}
}

// NeedsTLS says whether there are listeners that can do nothing without a
// certificate.
func (l *Listen) NeedsTLS() bool { return len(l.POP3S)+len(l.POP3SLegacy) > 0 }

// same says whether the sockets are the same.
func (l *Listen) same(other *Listen) bool {
	others := other.addresses()
	for key, as := range l.addresses() {
		if !slices.Equal(*as, *others[key]) {
			return false
		}
	}
	return true
}

// TLS is the server's certificates, and what TLS is spoken.
type TLS struct {
	Certificate  string // in PEM, as the others; given with Key or not at all
	Key          string
	Certificates []certs.Files // more of them

	Profile string // one of [Profiles]
	Minimum uint16 // the least version, such as tls.VersionTLS12; 0: the profile's
	Curves  []tls.CurveID

	ClientCA string // who signs clients' certificates; empty: they are not asked for
}

// Files are those of all certificates, the preferred first; nil: to be found.
func (t *TLS) Files() (all []certs.Files) {
	if t.Certificate != "" {
		all = append(all, certs.Files{Certificate: t.Certificate, Key: t.Key})
	}
	return append(all, t.Certificates...)
}

// Protocols is what TLS is spoken.
func (t *TLS) Protocols() certs.Protocols {
	p := certs.Protocols{Minimum: tls.VersionTLS12, Curves: t.Curves}
	if t.Profile == ProfileModern {
		p.Minimum = tls.VersionTLS13
	}
	if t.Minimum > p.Minimum {
		p.Minimum = t.Minimum
	}
	p.Legacy = p.Minimum
	if t.Profile == ProfileLegacy {
		p.Legacy = max(t.Minimum, tls.VersionTLS10)
	}
	return p
}

// Auth is who may log in, and how.
type Auth struct {
	Sources []string // of [Sources], in order; nil: those that there are

	PasswdFile    string   // may hold %d; empty: there is none
	PasswdDomains []string // those that the file is asked for; nil: all

	PAMService string
	PAMHelper  string   // the program; empty: where it is installed
	PAMDomains []string // whose addresses are those of system users; nil: the MTA's local ones
	PAMSession bool
	FoldCase   bool // of system users' names

	Postfix        []string // folders with a main.cf; nil: the default instance
	PasswordMaps   string   // Postfix tables with password hashes by address
	VirtualDomains []string // those that these are for; nil: all

	Allow        auth.Networks
	Deny         auth.Networks
	UserNetworks map[string]auth.Networks // by user, user@domain or @domain

	CacheTime    time.Duration
	FailureDelay time.Duration
	Network      bool // PAM modules and Postfix's tables may use it

	Plaintext bool
	APOP      bool
	CRAMMD5   bool
	SCRAM     SCRAM
	Binding   bool // SCRAM with -PLUS is offered too

	MasterUsers string // a passwd file; empty: there are none

	CertificateUsers string // who the owners of clients' certificates are; empty: these say so

	OAuth oauth.Options // bearer tokens, see Tokens
}

// SCRAM is when mechanisms of SCRAM are offered.
type SCRAM int

const (
	SCRAMAuto   SCRAM = iota // when everybody can use them
	SCRAMAlways              // when somebody can
	SCRAMNever
)

// POP3 is choices that the protocol leaves to the server.
type POP3 struct {
	UTF8Headers pop3.UTF8Policy
	Expire      string // the EXPIRE capability's argument; empty: not announced
}

// Index is how the index of mailboxes is kept.
type Index struct {
	StateDir    string
	Watch       index.Watch
	CommitDelay time.Duration
	CommitCount int
	KeepTime    time.Duration
	MarkSeen    bool
}

// Limits bounds what clients can use up.
type Limits struct {
	pop3.Limits
	SessionsPerUser int
	LoginDelay      time.Duration
	ShutdownTime    time.Duration
}

// Log is what is logged, and how.
type Log struct {
	Level  string // one of [Levels]
	Format string // one of [Formats]
}

const (
	// DefaultUser is the user that packages make.
	DefaultUser = "sidepop"

	// DefaultRuntime is where system services keep their sockets (hier(7);
	// systemd's RuntimeDirectory).
	DefaultRuntime = "/run/sidepop"

	// DefaultMinUID is where the ids of people begin (login.defs(5)): below are
	// services, whose files are no mail.
	DefaultMinUID = 1000

	// DefaultPAMService is the file in /etc/pam.d that packages install.
	DefaultPAMService = "sidepop"

	// DefaultMailbox is where MTAs that deliver to home directories usually
	// put Maildirs, for where nothing is known of the MTA.
	DefaultMailbox = "~/Maildir"

	// DefaultStateDir is where system services keep what they can't lose
	// without a cost (hier(7); systemd's StateDirectory).
	DefaultStateDir = "/var/lib/sidepop"

	// DefaultCommitDelay is what a crash may cost: messages counted again.
	DefaultCommitDelay = time.Second

	// DefaultCommitCount makes a commit of some 100 ms on a slow disk.
	DefaultCommitCount = 5000

	// DefaultSessionsPerUser: several devices of one person poll at the same
	// time, and a session that a broken network left behind must not lock its
	// owner out for the idle time. RFC 1939, section 4 would have one: a
	// maildrop there is locked, while messages in a Maildir need no lock.
	DefaultSessionsPerUser = 10

	// DefaultShutdownTime is shorter than the 90 seconds that systemd waits
	// before it kills, and the 30 seconds of most container managers.
	DefaultShutdownTime = 20 * time.Second
)

// Sources are what auth.sources can name, in the order that is the default.
var Sources = []string{SourcePasswd, SourceVirtual, SourcePAM}

// The sources of accounts.
const (
	SourcePasswd  = "passwd"  // auth.passwd_file
	SourceVirtual = "virtual" // Postfix's virtual mailboxes, with auth.password_maps
	SourcePAM     = "pam"     // system users
)

// Profiles are the values of tls.profile, the strictest first.
var Profiles = []string{ProfileModern, ProfileIntermediate, ProfileLegacy}

// The profiles of TLS.
const (
	ProfileModern       = "modern"       // TLS 1.3
	ProfileIntermediate = "intermediate" // TLS 1.2 and 1.3
	ProfileLegacy       = "legacy"       // that, and TLS 1.0 and 1.1 on listeners for old devices
)

// Levels and Formats are the values of log.level, the least talkative first,
// and of log.format, the default first.
var (
	Levels  = []string{"error", "warn", "info", "debug"}
	Formats = []string{"auto", "text", "json", "journald"}
)

// Default is a configuration with every default.
func Default() *Config {
	return &Config{
		User:    DefaultUser,
		Runtime: DefaultRuntime,
		MinUID:  DefaultMinUID,
		UIDL:    index.SchemeOwn,
		TLS:     TLS{Profile: ProfileIntermediate},
		Auth: Auth{
			PAMService:   DefaultPAMService,
			FoldCase:     true,
			FailureDelay: auth.DefaultFailureDelay,
			OAuth:        oauth.Options{UserClaim: oauth.DefaultUserClaim},
		},
		POP3: POP3{UTF8Headers: pop3.SendUTF8, Expire: "NEVER"},
		Index: Index{
			StateDir:    DefaultStateDir,
			Watch:       index.WatchAll,
			CommitDelay: DefaultCommitDelay,
			CommitCount: DefaultCommitCount,
			KeepTime:    index.DefaultKeep,
			MarkSeen:    true,
		},
		Limits: Limits{
			Limits: pop3.Limits{
				Line:          pop3.DefaultLine,
				SASLLine:      pop3.DefaultSASLLine,
				Login:         pop3.DefaultLogin,
				Idle:          pop3.DefaultIdle,
				Write:         pop3.DefaultWrite,
				BadCommands:   pop3.DefaultBadCommands,
				LoginFailures: pop3.DefaultLoginFailures,
				Connections:   pop3.DefaultConnections,
				PerAddress:    pop3.DefaultPerAddress,
			},
			SessionsPerUser: DefaultSessionsPerUser,
			ShutdownTime:    DefaultShutdownTime,
		},
		Log: Log{Level: "info", Format: "auto"},
	}
}

// Bounds of limits. They are far from anything sensible, to catch mistakes such
// as a wrong unit.
const (
	day = 24 * time.Hour

	// minLine: a shorter limit would break RFC 2449, section 4. maxLine: what
	// one connection may make the server hold for one command.
	minLine, maxLine = pop3.DefaultLine, 8 << 10

	// minSASLLine is RFC 5034, section 4; maxSASLLine carries the longest bearer
	// token that package auth and the keeper's socket take.
	minSASLLine, maxSASLLine = pop3.DefaultSASLLine, 64 << 10

	// minWait gives slow machines the time for a TLS handshake.
	minWait = 5 * time.Second

	// maxStateDir leaves room for the longest name of a socket in it in what a
	// socket's address takes (unix(7): 108 bytes with the zero at the end).
	maxStateDir = 107 - len("/notify-keeper")

	// maxRuntime leaves room for the name of the keeper's socket in the same way.
	maxRuntime = 107 - len("/"+KeeperSocket)

	// maxUID is where an int ends on small machines.
	maxUID = 1<<31 - 1

	// Commits that are too rare or too large make logins wait for the disk, and
	// a crash costly; those that are too frequent wear it out.
	minCommitDelay, maxCommitDelay = 10 * time.Millisecond, 10 * time.Minute
	minCommitCount, maxCommitCount = 100, 100_000

	// minKeep is not less than mail programs need from one session to the next.
	minKeep = time.Minute

	// maxCacheTime bounds for how long somebody can log in who is locked out of
	// a directory, whose changes can't be noticed.
	maxCacheTime = day

	// minFailureDelay is as good as none, for those who want that;
	// maxFailureDelay leaves time for another attempt within limits.login_time.
	minFailureDelay, maxFailureDelay = 10 * time.Millisecond, time.Minute

	maxCount       = 10_000
	maxConnections = 1_000_000
	maxShutdown    = 10 * time.Minute
)

// HoldOver gives c the values of another configuration, that of a server's start,
// in what holds only from a start on. It says which keys, or tables, that are.
func (c *Config) HoldOver(started *Config) (keys []string) {
	hold := func(key string, changed bool) {
		if changed {
			keys = append(keys, key)
		}
	}
	hold("user", c.User != started.User)
	hold("runtime_dir", c.Runtime != started.Runtime)
	hold("uidl", c.UIDL != started.UIDL)
	hold("x_uidl", c.XUIDL != started.XUIDL)
	hold("uidl_lists_before", !c.ListsBefore.Equal(started.ListsBefore))
	hold("listen", !c.Listen.same(&started.Listen))
	hold("auth.pam_session", c.Auth.PAMSession != started.Auth.PAMSession)
	hold("auth.network", c.Auth.Network != started.Auth.Network)
	hold("index", c.Index != started.Index)
	hold("log", c.Log != started.Log)
	c.User, c.Runtime, c.UIDL, c.XUIDL = started.User, started.Runtime, started.UIDL, started.XUIDL
	c.Auth.PAMSession, c.Auth.Network = started.Auth.PAMSession, started.Auth.Network
	c.ListsBefore, c.Index, c.Log = started.ListsBefore, started.Index, started.Log
	proxies, certificates := c.Listen.Proxies, c.Listen.ProxyCertificates
	c.Listen = started.Listen
	c.Listen.Proxies, c.Listen.ProxyCertificates = proxies, certificates
	return keys
}
