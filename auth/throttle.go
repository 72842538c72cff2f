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

	// maxAttempts bounds the attempts under way, asking or waiting, once for
	// strangers and once for regulars: each is a goroutine, and a session that
	// exists anyway.
	maxAttempts = 4000
)

// addressKey is a client's IPv4 address, or the /64 of its IPv6 address, since
// that is what one household gets at least; or, of a site, the /48. Connections
// without an address, and those of ::1, have the zero value.
type addressKey [16]byte

// accountKey is a keyed hash of a folded user name, or of what all names of an account
// have in common.
type accountKey [16]byte

// who makes an attempt, on what.
type who struct {
	address addressKey
	site    addressKey // only with IPv6
	inSite  bool
	account accountKey
}

// throttle makes those wait who fail. An account is a regular at an address where
// it has logged in, and a stranger elsewhere. An attempt counts as a failure from
// when a source is asked until it succeeds, in each of its places: a stranger's as
// one of the address, of its site, and of the account, a regular's as one of this
// account at this address. So a regular waits for its own failures alone, whoever
// else is behind its address, a webmail's for instance, or after its account.
type throttle struct {
	start  time.Time // what the times of the tables are counted from
	secret [sha256.Size]byte

	mu        sync.Mutex // held for no longer than table lookups take
	failed    [placeKinds]failures
	known     known
	occupied  map[place]*turns
	strangers int // attempts under way in all
	regulars  int
	stats     GuardStats // but for what is under way
}

func newThrottle() *throttle {
	t := &throttle{start: time.Now(), occupied: make(map[place]*turns)}
	rand.Read(t.secret[:]) // never fails
	return t
}

func (t *throttle) now() time.Duration { return time.Since(t.start) }

func (t *throttle) who(user string, remote netip.Addr) who {
	w := who{account: t.keyOf(user)}
	remote = remote.Unmap().WithZone("")
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

func (t *throttle) keyOf(user string) accountKey {
	h := hmac.New(sha256.New, t.secret[:])
	h.Write([]byte(foldUser(user)))
	return accountKey(h.Sum(nil)[:len(accountKey{})])
}

// foldUser gives the one form of all that [nameForms] looks up as one user.
func foldUser(user string) string {
	if forms, err := forms("user name", user); err == nil {
		user = forms[len(forms)-1]
	}
	return strings.ToLower(user)
}
