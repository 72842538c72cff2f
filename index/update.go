package index

import (
	"context"
	"maps"
	"slices"
	"time"
)

// update is the work of making a mailbox's list that of the Maildir.
type update struct {
	ctx  context.Context
	m    *mailbox
	dirs *dirs
	now  proof // of dirs, before anything is read

	login bool      // somebody waits for the list, which has to be right
	begun time.Time // when this was

	added   []*entry
	removed map[*entry]bool
	lost    map[string]key // to be searched for: under none of the names that were seen
	unsure  bool           // a message could not be found, nor be told to be gone
	recast  bool           // lists of a previous server were applied anew
	retry   []place        // to be looked at again at the next login
	bulk    bool           // so many are counted that they are saved meanwhile
	unsaved []*entry       // of added, those that are not
	ownOdd  bool           // mailbox.odd is not a session's
}

// names deals with names that were touched, and those messages alone.
//
// A name that is gone by now may have been renamed since the watch was asked.
// Then the event of its new name is on its way: the watch is asked again, and
// only what it has nothing new of is gone.
func (u *update) names(touched []place) error {
	touched = append(touched, u.lookedAtAgain()...)
	var count []place
	gone := make(map[string]key) // of which the watch had nothing new
	for round := 0; len(touched) > 0; round++ {
		away := make(map[string]key) // of which it may have
		err := u.m.as(func() error {
			err := groups(u.withKnown(touched), func(g []candidate) error {
				delete(gone, g[0].unique)
				for _, c := range u.resolve(g, same(u.m.list, g[0].key), away) {
					count = append(count, c.place)
				}
				return nil
			})
			if len(away) > 0 {
				u.dirs.waitForRenames()
			}
			return err
		})
		if err != nil {
			return err
		}
		if len(away) == 0 {
			break
		}
		if round == maxRounds {
			u.lost = away // to be searched for
			break
		}
		maps.Copy(gone, away)
		var ok bool
		if touched, ok = u.m.told(u.ctx); !ok {
			u.removed = nil // nothing else has been done yet
			return u.everything()
		}
	}
	for _, k := range gone {
		u.remove(same(u.m.list, k)...)
	}
	return u.count(arrange(count))
}

// lookedAtAgain gives what a login has to look at again. The workers leave it.
func (u *update) lookedAtAgain() []place {
	if !u.login {
		u.retry = u.m.retry
		return nil
	}
	return u.m.retry
}

// maxRounds bounds how often the watch is asked again, while programs rename
// messages faster than that.
const maxRounds = 5

// withKnown makes candidates of names and of those under which their messages
// were known.
func (u *update) withKnown(names []place) []candidate {
	var places []place
	for _, c := range arrange(names) {
		places = append(places, c.place)
		for _, e := range same(u.m.list, c.key) {
			places = append(places, u.m.place(e))
			places = append(places, u.m.odd[e].links...)
		}
	}
	return arrange(places)
}

// everything deals with all names that there are.
func (u *update) everything() error {
	u.m.x.rescans.Add(1)
	var count []candidate
	err := u.m.as(func() (err error) {
		count, err = u.readAll()
		return err
	})
	if err != nil {
		return err
	}
	return u.count(count)
}

// readAll reads all names and gives what has to be counted.
func (u *update) readAll() (count []candidate, err error) {
	var names []place
	err = u.dirs.read(u.ctx, func(p place) bool {
		names = append(names, p)
		return true
	})
	if err != nil {
		return nil, err
	}
	again := make(map[string]bool)
	for _, p := range u.lookedAtAgain() {
		again[uniqueName(p.name)] = true
	}
	// Another directory under the same path may hold other files of the same
	// names, such as a backup's.
	replaced := false
	for f, s := range u.m.proof.dirs {
		replaced = replaced || s != (stamp{}) && !s.is(u.now.dirs[f])
	}
	rest := u.m.list
	lost := make(map[string]key)
	err = groups(arrange(names), func(g []candidate) error {
		known := u.skipTo(&rest, &g[0].key)
		if len(g) == 1 && len(known) == 1 && !known[0].odd() && !again[g[0].unique] && !replaced {
			u.moveTo(known[0], g[0].place)
			return nil
		}
		if len(g) == 1 && len(known) == 0 {
			count = append(count, g[0])
			return nil
		}
		count = append(count, u.resolve(g, known, lost)...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	u.remove(rest...)
	u.lost = lost
	return count, nil
}

// skipTo removes the entries before a key from what is left of the list: their
// names were not seen. It gives those of the key.
func (u *update) skipTo(rest *[]*entry, k *key) []*entry {
	list := *rest
	for i := 0; ; i++ {
		if i < len(list) {
			ek := list[i].key()
			if compareKeys(&ek, k) < 0 {
				u.remove(list[i])
				continue
			}
		}
		n := i
		for n < len(list) && list[n].unique == k.unique {
			n++
		}
		*rest = list[n:]
		return list[i:n]
	}
}

// groups calls f with the candidates of each unique name.
func groups(cs []candidate, f func([]candidate) error) error {
	for len(cs) > 0 {
		n := 1
		for n < len(cs) && cs[n].unique == cs[0].unique {
			n++
		}
		if err := f(cs[:n:n]); err != nil {
			return err
		}
		cs = cs[n:]
	}
	return nil
}

// resolve finds out what the names of one unique name are: most often one
// message that was being renamed, sometimes one with two links, rarely several
// messages. It gives what has to be counted, and notes in gone what is under none
// of the names.
func (u *update) resolve(g []candidate, known []*entry, gone map[string]key) (count []candidate) {
	var is stamp // the last one alive
	var alive []candidate
	for _, c := range g {
		s, err := u.dirs.look(c.place)
		if isGone(err) {
			continue
		}
		is, alive = s, append(alive, c)
	}
	odd := len(known) > 0 && known[0].odd()
	switch {
	case len(alive) == 0:
		if odd { // none of them is searched for: it could be taken for another
			u.remove(known...)
		}
		gone[g[0].unique] = g[0].key
		return nil
	case len(alive) == 1 && len(known) == 1 && !odd && is.size == known[0].bytes:
		u.moveTo(known[0], alive[0].place)
		u.lookAgain(alive[0].place, is.mtime)
		return nil
	}
	u.remove(known...)
	return alive
}

// lookAgain has a message looked at again at the next login that may not be
// complete: no program should write into new or cur, but some do.
func (u *update) lookAgain(p place, mtime int64) {
	if time.Now().UnixNano()-mtime < int64(writeTime) && len(u.retry) < maxRetry {
		u.retry = append(u.retry, p)
	}
}

// writeTime is how long after a write a message may get another one.
const writeTime = 2 * time.Second

func (u *update) remove(entries ...*entry) {
	if u.removed == nil {
		u.removed = make(map[*entry]bool)
	}
	for _, e := range entries {
		u.removed[e] = true
	}
}

func (u *update) moveTo(e *entry, p place) {
	if u.m.place(e) != p {
		u.m.setPlace(e, p)
	}
}

// oddities is the mailbox's map of them, to be changed: sessions keep theirs.
func (u *update) oddities() map[*entry]oddity {
	if !u.ownOdd {
		u.m.odd, u.ownOdd = maps.Clone(u.m.odd), true
		if u.m.odd == nil {
			u.m.odd = make(map[*entry]oddity)
		}
	}
	return u.m.odd
}

// install makes the new lists. What was found before an error counts too: it
// need not be counted again.
func (u *update) install() {
	m := u.m
	m.retry = u.retry
	if len(u.added) == 0 && len(u.removed) == 0 {
		return
	}
	for _, e := range u.added {
		m.octets += e.octets()
	}
	for e := range u.removed {
		m.octets -= e.octets()
		if e.rank != (rank{}) || e.source == fromList {
			m.away.add(e.unique)
		}
		if e.odd() {
			delete(u.oddities(), e)
		}
	}
	contested := len(m.renamed) > 0
	m.list = merge(m.list, u.removed, slices.Clone(u.added), compareEntries)
	served, renamed := m.list, m.renamed
	if m.order != orderDelivery {
		served = merge(m.served, u.removed, slices.Clone(u.added), m.order.compare)
	}
	if contested || m.contests(u.added) {
		renamed = assignUIDLs(served)
	}
	m.serve(served, renamed)
}

// contests says whether a new entry claims a UIDL that another one has, too.
func (m *mailbox) contests(added []*entry) bool {
	if m.order == orderDelivery && !m.x.o.XUIDL && len(m.odd) == 0 && !slices.ContainsFunc(added, (*entry).special) {
		return false // each has its unique name, and these are unique
	}
	claims := make(map[string]bool, len(added))
	for _, e := range added {
		claims[e.claim()] = true
	}
	n := 0
	for _, e := range m.list {
		if claims[e.claim()] {
			n++
		}
	}
	return n > len(claims)
}
