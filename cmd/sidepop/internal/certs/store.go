package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// LookInterval is how often [Store.Refresh] should be called: people who
	// replace a certificate by hand look at once.
	LookInterval = time.Second

	// watchedInterval is how often the files are looked at although a watch would
	// tell of changes: those on a network file system it does not see.
	watchedInterval = 30 * time.Second
)

// Store is the certificates of a server, the preferred first. Its methods are
// called by one goroutine at a time.
type Store struct {
	find    func() []Found // nil: the files are named
	folders []string       // in which find looks
	events  Events
	pairs   []*pair
	watch   *watch
	looked  time.Time

	// unusable is how often in turn certificates were found that can't be used.
	unusable map[Files]int
}

// Named has certificates whose files are named. Each must be there.
func Named(files []Files, events Events) (*Store, error) {
	s := &Store{events: events}
	var faults []error
	for _, f := range files {
		p, err := load(f)
		faults = append(faults, err)
		s.pairs = append(s.pairs, p)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	s.begin()
	return s, nil
}

// Discovered has the certificates that find says are to be used, as long as it does:
// it is asked again, at once when something changes in these folders, in which it
// looks. Those that can't be used are told of.
func Discovered(find func() []Found, folders []string, events Events) *Store {
	s := &Store{find: find, folders: folders, events: events, unusable: make(map[Files]int)}
	s.pairs = s.chosen()
	s.begin()
	return s
}

func (s *Store) begin() {
	s.looked = time.Now()
	for _, p := range s.pairs {
		s.events.CertificateInUse(p.Certificate, p.current.Leaf)
		s.warnOfItself(p)
		p.warnOfEnd(s.looked, s.events)
	}
	s.watch = newWatch()
	s.follow()
}

// Close ends the watch. The certificates stay what they are.
func (s *Store) Close() { s.watch.close() }

// Changed has something in it when files have changed and been left alone for a
// moment: Refresh should be called.
func (s *Store) Changed() <-chan struct{} { return s.watch.changed }

// Current is the pairs in use.
func (s *Store) Current() (all []tls.Certificate) {
	for _, p := range s.pairs {
		all = append(all, *p.current)
	}
	return all
}

// Refresh reads files that have changed, and says whether there are other
// certificates in use now. It costs nothing where a watch would have told.
func (s *Store) Refresh() (changed bool) {
	now := time.Now()
	if !s.due(now) {
		return false
	}
	s.looked = now
	before := s.Current()
	if s.find != nil {
		s.pairs = s.chosen()
	}
	for _, p := range s.pairs {
		p.refresh(now, s.events)
		p.warnOfEnd(now, s.events)
	}
	s.follow()
	return !same(before, s.Current())
}

// due says whether the files are to be looked at.
func (s *Store) due(now time.Time) bool {
	if s.watch.take() || !s.watch.complete || now.Sub(s.looked) >= watchedInterval {
		return true
	}
	for _, p := range s.pairs {
		if p.fault != nil {
			return true
		}
	}
	return false
}

// chosen is the pairs that are found now. Those that were found before are what
// they were, and stay while they can't be read.
func (s *Store) chosen() (pairs []*pair) {
	known := make(map[Files]*pair)
	for _, p := range s.pairs {
		known[p.Files] = p
	}
	for _, f := range s.find() {
		p := known[f.Files]
		switch {
		case p != nil && (f.Used || f.Fault != nil):
			pairs = append(pairs, p)
		case f.Fault != nil:
			s.tellUnusable(f)
			continue
		case f.Used:
			pairs = append(pairs, f.pair)
			if !s.looked.IsZero() {
				s.events.Certificate(f.Certificate, f.Leaf)
				s.warnOfItself(f.pair)
			}
		}
		delete(s.unusable, f.Files)
	}
	return pairs
}

// warnOfItself tells of a certificate that was found and that is signed by itself. One
// that is named was chosen.
func (s *Store) warnOfItself(p *pair) {
	if s.find != nil && SelfSigned(p.current.Leaf) {
		s.events.CertificateSelfSigned(p.Certificate, p.current.Leaf)
	}
}

// tellUnusable tells of a certificate that was found and can't be used: at the start,
// or when it is so for the second time, since it may just be made.
func (s *Store) tellUnusable(f Found) {
	s.unusable[f.Files]++
	if n := s.unusable[f.Files]; s.looked.IsZero() || n == 2 {
		s.unusable[f.Files] = 2
		s.events.CertificateFault(fmt.Errorf("%s is not used: %w", f.Whose, f.Fault))
	}
}

// follow watches what leads to the files now, and to folders that are not there yet.
func (s *Store) follow() {
	var names []string
	for _, folder := range s.folders {
		if _, err := os.Stat(folder); err != nil {
			names = append(names, entries(folder)...)
		}
	}
	for _, p := range s.pairs {
		names = append(names, entries(p.Certificate)...)
		names = append(names, entries(p.Key)...)
	}
	s.watch.follow(names, s.folders)
}

func same(a, b []tls.Certificate) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Leaf != b[i].Leaf {
			return false
		}
	}
	return true
}
