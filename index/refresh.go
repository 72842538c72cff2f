package index

import (
	"context"
	"errors"
	"slices"
	"time"
)

// refresh makes the list that of the Maildir as it is now. Whatever was complete
// before the call is in it; for a login, also what was not complete when it was
// looked at before. The caller holds the mailbox, by lock.
func (m *mailbox) refresh(ctx context.Context, user string, login bool) error {
	m.ready()
	if m.owner == nil { // a login will tell
		m.distrust()
		return nil
	}
	defer m.tellNews()
	m.halfway = false
	now := time.Now()
	s := sight{m: m, user: user}
	err := m.as(s.take)
	if err == nil && s.unchanged {
		return nil
	}
	if user != "" {
		m.user = user
	}
	if err != nil || s.dirs == nil {
		m.distrust()
		if err == nil {
			m.becomeEmpty()
		}
		return err
	}
	defer s.dirs.close()
	m.proven = false
	p := s.proof
	u := &update{ctx: ctx, m: m, dirs: s.dirs, now: p, login: login, begun: now}
	if touched, ok := m.synced(ctx, &s); ok {
		err = u.names(touched)
	} else if p, err = m.watchAnew(s.dirs); err == nil {
		u.now = p
		err = u.everything()
	}
	u.install()
	if err == nil && (p.lists != m.proof.lists || m.away.mayName(u.added)) {
		err = u.relist()
	}
	switch {
	case err != nil && m.away.mayName(u.added):
		p.lists = unapplied
	case err != nil:
		p.lists = m.proof.lists
	}
	if err != nil || u.unsure {
		m.distrust()
	}
	m.halfway = err != nil && (ctx.Err() != nil || errors.Is(err, errTurn))
	m.proof, m.proven = p, err == nil && !u.unsure && p.settled(now)
	m.save(u)
	return err
}

// ready asks the store once.
func (m *mailbox) ready() {
	if !m.loaded {
		m.load()
		m.loaded = true
	}
}

// sight is what the first section of a refresh finds: most often that nothing has
// changed, and then it is the only one.
type sight struct {
	m    *mailbox
	user string

	unchanged bool
	dirs      *dirs // nil: there is no Maildir
	proof     proof
	still     bool  // the directories of the proof are watched since they were read
	watch     error // why not
}

func (s *sight) take() error {
	m := s.m
	p, err := m.x.proofAt(m.path)
	if err == nil && m.proven && p == m.proof && len(m.retry) == 0 && m.quiet() && (s.user == "" || s.user == m.user) {
		s.unchanged = true
		return nil
	}
	if s.dirs, err = m.x.openDirs(m.path); err != nil || s.dirs == nil {
		return err
	}
	if s.proof, err = s.dirs.proof(); err != nil {
		s.dirs.close()
		return readError(m.path, err)
	}
	if s.sameDirs() {
		_, s.still, s.watch = m.x.watchDirs(s.dirs)
	}
	return nil
}

// sameDirs says that the directories are those that are watched.
func (s *sight) sameDirs() bool {
	m := s.m
	if m.x.watch == nil || m.epoch != m.x.epoch.Load() {
		return false
	}
	for f := range folders {
		if s.proof.dirs[f] == (stamp{}) || !s.proof.dirs[f].is(m.watched[f]) {
			return false
		}
	}
	return true
}

// quiet says that the watch has told nothing that nobody has dealt with.
func (m *mailbox) quiet() bool {
	m.events.Lock()
	defer m.events.Unlock()
	return len(m.touched) == 0 && !m.lost
}

// distrust makes the next refresh read everything.
func (m *mailbox) distrust() {
	m.proven, m.watched = false, [folders]stamp{}
	m.events.Lock()
	defer m.events.Unlock()
	m.touched, m.flooded, m.lost = nil, false, false
}

// synced gives what was touched in the directories of the proof since the list
// was last right, if the watch can prove that this is all.
func (m *mailbox) synced(ctx context.Context, s *sight) (touched []place, ok bool) {
	m.x.notWatched(m.path, s.watch)
	if !s.still {
		return nil, false
	}
	return m.told(ctx)
}

// told gives what was touched, to the knowledge of the watch, up to now; not ok
// if it can't be all.
func (m *mailbox) told(ctx context.Context) (touched []place, ok bool) {
	x := m.x
	if x.watch.Sync(ctx) != nil || m.epoch != x.epoch.Load() {
		return nil, false
	}
	m.events.Lock()
	defer m.events.Unlock()
	if m.lost || m.flooded {
		return nil, false
	}
	return m.take(), true
}

// take gives what the watch has told, each name once. It is called with events
// held.
func (m *mailbox) take() []place {
	touched := m.touched
	m.touched, m.flooded = nil, false
	slices.SortFunc(touched, func(a, b place) int { return comparePlaces(&a, &b) })
	return slices.Compact(touched)
}

// watchAnew makes sure that the directories are watched, before everything in
// them is read, and takes their proof. What was told before is not needed then.
func (m *mailbox) watchAnew(d *dirs) (proof, error) {
	m.epoch = m.x.epoch.Load()
	m.events.Lock()
	m.lost = false
	m.take()
	m.events.Unlock()
	m.watched = [folders]stamp{}
	var p proof
	var watching bool
	var werr error
	err := m.as(func() (err error) {
		watching, _, werr = m.x.watchDirs(d)
		if p, err = d.proof(); err != nil {
			err = readError(m.path, err)
		}
		return err
	})
	m.x.notWatched(m.path, werr)
	if err == nil && watching {
		m.watched = p.dirs
	}
	return p, err
}
