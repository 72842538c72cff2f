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
	// has one cannot fill the memory alone: home, work, some of a telephone. An
	// address counts for each of the names that were typed there.
	maxKnownAddresses = 8

	// maxKnownAccounts bounds the accounts: about 50 MB with all their addresses,
	// and 70 MB if each of these had a name of its own. The one without a login for
	// longest gives way.
	maxKnownAccounts = 100_000
)

// known has the addresses from which accounts have logged in, with the names that
// were typed. Times are those since some fixed instant.
type known struct {
	accounts map[accountKey]*list.Element // of *knownAccount, by what is the account's own
	names    map[accountKey]*list.Element // the same, by each name of its addresses
	recent   list.List                    // the last login first
}

type knownAccount struct {
	key       accountKey
	credited  time.Duration // when a login last lowered an address's penalty
	addresses []knownAddress
}

// knownAddress is where an account has logged in, and by which name.
type knownAddress struct {
	key  addressKey
	name accountKey
	seen time.Duration
}

// has says whether an account has logged in from an address lately, by this name.
func (k *known) has(name accountKey, address addressKey, now time.Duration) bool {
	element := k.names[name]
	if element == nil {
		return false
	}
	return slices.ContainsFunc(element.Value.(*knownAccount).addresses, func(a knownAddress) bool {
		return a.key == address && a.name == name && now-a.seen < knownTime
	})
}

// note remembers a login. It says whether it is the account's first within a
// failure's half-life: only such a one counts in favour of its address, or an
// attacker would log in to his own account between guesses. Own is what all names of
// the account have in common: one that takes any extension (joe+1, joe+2) has names
// without end.
func (k *known) note(own, name accountKey, address addressKey, now time.Duration) (first bool) {
	element := k.find(own, now)
	a := element.Value.(*knownAccount)
	k.unname(element)
	a.addresses = slices.DeleteFunc(a.addresses, func(a knownAddress) bool {
		return a.key == address && a.name == name || now-a.seen >= knownTime
	})
	if len(a.addresses) == maxKnownAddresses {
		a.addresses = slices.Delete(a.addresses, 0, 1) // the one without a login for longest
	}
	a.addresses = append(a.addresses, knownAddress{address, name, now})
	for _, address := range a.addresses {
		k.names[address.name] = element
	}
	first = now-a.credited >= failureHalfLife
	if first {
		a.credited = now
	}
	return first
}

// unname forgets the names of an account that are not another one's by now.
func (k *known) unname(element *list.Element) {
	for _, address := range element.Value.(*knownAccount).addresses {
		if k.names[address.name] == element {
			delete(k.names, address.name)
		}
	}
}

// find gives the account as the one with the last login, a new one if need be.
func (k *known) find(own accountKey, now time.Duration) *list.Element {
	if element := k.accounts[own]; element != nil {
		k.recent.MoveToFront(element)
		return element
	}
	if k.accounts == nil {
		k.accounts, k.names = make(map[accountKey]*list.Element), make(map[accountKey]*list.Element)
	}
	if k.recent.Len() >= maxKnownAccounts {
		oldest := k.recent.Back()
		k.unname(oldest)
		delete(k.accounts, k.recent.Remove(oldest).(*knownAccount).key)
	}
	a := &knownAccount{key: own, credited: now - failureHalfLife}
	k.accounts[own] = k.recent.PushFront(a)
	return k.accounts[own]
}
