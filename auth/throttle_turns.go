package auth

// place is where attempts take turns and failures are counted. A stranger takes three, in the order of the
// kinds; a regular has one of its own, so that an attacker behind the same address
// keeps it from nothing.
type place struct {
	kind    placeKind
	address addressKey
	account accountKey
}

type placeKind int

const (
	regularPlace placeKind = iota // an account at an address
	addressPlace
	sitePlace
	accountPlace
	placeKinds // how many there are
)

// placeLimits are those of each kind of place. Free is how many failures delay
// nothing.
//
// Asking is how many attempts ask a source at once, and wait for their penalty
// before it, until they are known to be right or wrong. At an address, and in a
// site, it is as many as would not be delayed if all failed: so a crowd with right
// passwords waits for nobody's penalty but only for its turn, and attempts at the
// same time are no more than as many in a row. On an account it bounds what many
// addresses together can guess, to 7 a second; it is not lower, or a few addresses
// would keep the owner's turn from coming, if he is a stranger.
//
// Share bounds all attempts under way by what is left of [maxAttempts] for others:
// an address gets a tenth, a site a third and an account half, and the more are in
// use, the less a further one gets. So it takes hundreds of addresses to leave
// nothing for another one.
var placeLimits = [placeKinds]struct{ free, asking, share int }{
	regularPlace: {freeFailures, freeFailures, 9},
	addressPlace: {freeFailures, freeFailures, 9},
	sitePlace:    {freeSiteFailures, freeSiteFailures, 2},
	accountPlace: {freeFailures, 100, 1},
}

// turns is a place with attempts under way.
type turns struct {
	attempts int
	asking   chan struct{} // holds one element for each attempt that has its turn
}

// places are those where an attempt takes turns.
func (w *who) places(regular bool) []place {
	if regular {
		return []place{{regularPlace, w.address, w.account}}
	}
	places := []place{{kind: addressPlace, address: w.address}}
	if w.inSite {
		places = append(places, place{kind: sitePlace, address: w.site})
	}
	return append(places, place{kind: accountPlace, account: w.account})
}

// admit enters an attempt at places, or at none if one of them has too many, when
// so many more are allowed in all. With mu held.
func (t *throttle) admit(places []place, left int) (all []*turns) {
	for _, p := range places {
		here := t.occupied[p]
		if here == nil {
			here = &turns{asking: make(chan struct{}, placeLimits[p.kind].asking)}
		}
		if here.attempts >= left/placeLimits[p.kind].share {
			return nil
		}
		all = append(all, here)
	}
	for i, p := range places {
		all[i].attempts++
		t.occupied[p] = all[i]
	}
	return all
}

// dismiss ends an attempt at places. With mu held.
func (t *throttle) dismiss(places []place) {
	for _, p := range places {
		here := t.occupied[p]
		if here.attempts--; here.attempts == 0 {
			delete(t.occupied, p)
		}
	}
}
