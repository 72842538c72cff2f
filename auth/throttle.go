package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// ErrBusy says that so many attempts are under way that this one was not made:
// nobody was asked whether the password is right. The same login may work later.
var ErrBusy = errors.New("too many login attempts at once")

const (
	// freeFailures is how many failures of an address, or on an account, delay
	// nothing: a person tries that often.
	freeFailures = 3

	// freeSiteFailures is the same for an IPv6 /48, which can be a household or
	// a university.
	freeSiteFailures = 30

	// firstPenalty is the delay after the free failures. It doubles with each
	// further one, up to maxPenalty. The longest delay, and the answer of a
	// failure after it, must be within the time that a session has to log in,
	// and before clients give up waiting (30 s and more).
	firstPenalty = time.Second
	maxPenalty   = 15 * time.Second

	// maxAsking is how many attempts of an address ask a source at once, until
	// they are known to be right or wrong: those that would not be delayed if
	// all of them failed. So a crowd with right passwords waits for nobody's
	// penalty but only for its turn, and attempts at the same time are no more
	// than as many in a row.
	maxAsking = freeFailures

	// maxAttempts bounds the attempts under way, asking or waiting, once for
	// those from where the account is known and once for others: each is a
	// goroutine, and a session that exists anyway.
	maxAttempts = 4000

	// addressShare and siteShare bound the attempts under way of one address and
	// of one /48 by what is left of maxAttempts for others: one address gets a
	// tenth, and the more are in use, the less a further one gets, so that it
	// takes hundreds of addresses to leave nothing for another one.
	addressShare = 9
	siteShare    = 2
)

// addressKey is a client's IPv4 address, or the /64 of its IPv6 address, since
// that is what one household gets at least; or, in the table of sites, the /48.
// Connections without an address, and those of ::1, have the zero value.
type addressKey [16]byte

// accountKey is a keyed hash of a folded user name.
type accountKey [16]byte

// place is where attempts take turns: an address, or an account there if it is
// known there. So an attacker behind a common address makes nobody wait for a
// turn who has logged in from there.
type place struct {
	address addressKey
	account accountKey // zero if not known
}

// who makes an attempt, on what.
type who struct {
	address addressKey
	site    addressKey // only with IPv6
	inSite  bool
	account accountKey
}

// throttle makes those wait who fail. An attempt counts as a failure from when a
// source is asked until it succeeds: an address's, its site's, and the account's.
// Where the account is known it does not wait for the account's failures, and
// counts only once it has failed, and not as one of the account.
type throttle struct {
	start  time.Time // what the times of the tables are counted from
	secret [sha256.Size]byte

	mu        sync.Mutex // held for no longer than table lookups take
	addresses failures[addressKey]
	sites     failures[addressKey]
	accounts  failures[accountKey]
	known     known
	places    map[place]*turns
	siteUse   map[addressKey]int // attempts under way, strangers' only
	strangers int                // attempts under way in all
	regulars  int                // the same where the account is known
}

// turns is a place with attempts under way.
type turns struct {
	attempts int
	asking   chan struct{} // holds one element for each attempt that has its turn
}

func newThrottle() *throttle {
	t := &throttle{start: time.Now(), places: make(map[place]*turns), siteUse: make(map[addressKey]int)}
	rand.Read(t.secret[:]) // never fails
	return t
}

func (t *throttle) now() time.Duration { return time.Since(t.start) }

func (t *throttle) who(l Login) who {
	w := who{account: accountKey(t.hash([]byte(foldUser(l.User)))[:])}
	remote := l.Remote.Unmap().WithZone("")
	switch {
	case remote.Is4():
		w.address = remote.As16()
	case remote.Is6():
		w.address = network(remote, 64)
		w.site, w.inSite = network(remote, 48), true
	}
	return w
}

// network gives the network of an IPv6 address.
func network(addr netip.Addr, bits int) addressKey {
	return netip.PrefixFrom(addr, bits).Masked().Addr().As16()
}

// hash is a hash that nobody outside can compute.
func (t *throttle) hash(data []byte) []byte {
	h := hmac.New(sha256.New, t.secret[:])
	h.Write(data)
	return h.Sum(nil)
}

// foldUser gives the one form of all that [nameForms] looks up as one user.
func foldUser(user string) string {
	if forms, err := forms("user name", user); err == nil {
		user = forms[len(forms)-1]
	}
	return strings.ToLower(user)
}
