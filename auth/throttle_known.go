package auth

import (
	"container/list"
	"slices"
	"time"
)

const (
	// knownTime is how long an address stays known after a login from it: a
	// holiday.
	knownTime = 30 * 24 * time.Hour

	// maxKnownAddresses bounds the addresses of one account, so that somebody who
	// has one cannot fill the memory alone: home, work, some of a telephone.
	maxKnownAddresses = 8

	// maxKnownAccounts bounds the accounts: about 30 MB with all their addresses.
	// The one without a login for longest gives way.
	maxKnownAccounts = 100_000
)

// known has the addresses from which accounts have logged in. Times are those
// since some fixed instant.
type known struct {
	accounts map[accountKey]*list.Element // of *knownAccount
	recent   list.List                    // the last login first
}

type knownAccount struct {
	key       accountKey
	credited  time.Duration // when a login last lowered an address's penalty
	addresses []knownAddress
}

type knownAddress struct {
	key  addressKey
	seen time.Duration
}

// has says whether an account has logged in from an address lately.
func (k *known) has(account accountKey, address addressKey, now time.Duration) bool {
	element := k.accounts[account]
	if element == nil {
		return false
	}
	return slices.ContainsFunc(element.Value.(*knownAccount).addresses, func(a knownAddress) bool {
		return a.key == address && now-a.seen < knownTime
	})
}

// note remembers a login. It says whether it is the account's first within a
// failure's half-life: only such a one counts in favour of its address, or an
// attacker would log in to his own account between guesses.
func (k *known) note(account accountKey, address addressKey, now time.Duration) (first bool) {
	a := k.find(account, now)
	a.addresses = slices.DeleteFunc(a.addresses, func(a knownAddress) bool {
		return a.key == address || now-a.seen >= knownTime
	})
	if len(a.addresses) == maxKnownAddresses {
		a.addresses = slices.Delete(a.addresses, 0, 1) // the one without a login for longest
	}
	a.addresses = append(a.addresses, knownAddress{address, now})
	first = now-a.credited >= failureHalfLife
	if first {
		a.credited = now
	}
	return first
}

// find gives the account as the one with the last login, a new one if need be.
func (k *known) find(account accountKey, now time.Duration) *knownAccount {
	if element := k.accounts[account]; element != nil {
		k.recent.MoveToFront(element)
		return element.Value.(*knownAccount)
	}
	if k.accounts == nil {
		k.accounts = make(map[accountKey]*list.Element)
	}
	if k.recent.Len() >= maxKnownAccounts {
		oldest := k.recent.Remove(k.recent.Back()).(*knownAccount)
		delete(k.accounts, oldest.key)
	}
	a := &knownAccount{key: account, credited: now - failureHalfLife}
	k.accounts[account] = k.recent.PushFront(a)
	return a
}
