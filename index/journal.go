package index

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A record of the journal says whose messages a Commit removes, and which: unique
// names, and whole places where several files share one.

// journal notes a removal durably. end is called when all files are removed that
// can be; what failed then is not tried again.
func (x *Index) journal(s *Mailbox, messages []int) (end func(), err error) {
	if x.store == nil {
		return func() {}, nil
	}
	var unique, whole []byte
	for _, i := range messages {
		e := s.list[i]
		if !e.odd() {
			unique = appendString(unique, e.unique)
			continue
		}
		for _, p := range append([]place{s.m.place(e)}, s.odd[e].links...) {
			whole = append(appendString(whole, p.name), byte(p.folder))
		}
	}
	record := append(appendString(appendOwner(nil, s.owner), string(unique)), whole...)
	id, err := x.store.Begin(s.m.path, record)
	if err != nil {
		return nil, err
	}
	path, owner := s.m.path, s.owner
	return func() {
		// The record may go only when the removals are as durable as it is,
		// and nobody has to wait for that.
		x.tasks.Go(func() {
			var d *dirs
			err := x.as(owner, func() (err error) {
				d, err = x.openDirs(path)
				return err
			})
			if err == nil && d != nil {
				d.sync()
				d.close()
			}
			x.store.End(id)
		})
	}, nil
}

// sync makes what was removed stay removed.
func (d *dirs) sync() {
	for _, f := range d.folders {
		if f != nil {
			_ = unix.Fsync(int(f.Fd())) // on a file system that can't, nothing can be done
		}
	}
}

// halfDone is a removal that a crash has interrupted.
type halfDone struct {
	id     uint64
	record []byte
}

// finishRemovals removes what a crash has left of removals that had begun.
func (x *Index) finishRemovals() error {
	err := x.store.Unfinished(func(id uint64, path string, record []byte) error {
		if x.unfinished == nil {
			x.unfinished = make(map[string][]halfDone)
		}
		x.unfinished[path] = append(x.unfinished[path], halfDone{id, bytes.Clone(record)})
		return nil
	})
	if err != nil {
		return err
	}
	for path := range x.unfinished {
		x.finishRemovalsOf(path)
	}
	return nil
}

// finishRemovalsOf does it for one Maildir. What can't be done yet, as when a
// file system is not mounted, is tried again at its next login.
func (x *Index) finishRemovalsOf(path string) {
	x.mu.Lock()
	all := x.unfinished[path]
	delete(x.unfinished, path)
	x.mu.Unlock()
	for _, r := range all {
		n, err := x.finishRemoval(path, r.record)
		x.o.Events.Recovered(path, n, err)
		if err == nil || errors.Is(err, errFormat) {
			x.store.End(r.id)
			continue
		}
		x.mu.Lock()
		x.unfinished[path] = append(x.unfinished[path], r)
		x.mu.Unlock()
	}
}

// errAway says that a Maildir with an unfinished removal is not there.
var errAway = errors.New("the Maildir is not there: what remains to be removed is removed when it is back")

func (x *Index) finishRemoval(path string, record []byte) (removed int, err error) {
	owner, unique, whole, err := decodeRemoval(record)
	if err != nil {
		return 0, err
	}
	err = x.as(owner, func() (err error) {
		removed, err = x.removeRest(path, unique, whole)
		return err
	})
	return removed, err
}

// removeRest removes what is left of a removal, in a section.
func (x *Index) removeRest(path string, unique map[string]bool, whole []place) (removed int, err error) {
	d, err := x.openDirs(path)
	if err == nil && d == nil {
		err = errAway
	}
	if err != nil {
		return 0, err
	}
	defer d.close()
	if d.folders == [folders]*os.File{} { // as in a mount point
		return 0, errAway
	}
	var failed error
	unlink := func(p place) {
		switch err := d.unlink(p); {
		case err == nil:
			removed++
		case !isGone(err):
			failed = err
		}
	}
	for _, p := range whole {
		if d.folders[p.folder] != nil {
			unlink(p)
		}
	}
	err = d.read(x.ctx, func(p place) bool {
		if unique[uniqueName(p.name)] {
			unlink(p)
		}
		return true
	})
	d.sync()
	return removed, errors.Join(err, failed)
}

func decodeRemoval(record []byte) (owner *Owner, unique map[string]bool, whole []place, err error) {
	r := decoder{b: record}
	owner = r.owner()
	names := decoder{b: []byte(r.string())}
	unique = make(map[string]bool)
	for len(names.b) > 0 {
		unique[names.string()] = true
	}
	for len(r.b) > 0 {
		name := r.string()
		if len(r.b) == 0 || r.b[0] >= byte(folders) || strings.Contains(name, "/") || name == "" || name[0] == '.' {
			return nil, nil, nil, errFormat
		}
		whole = append(whole, place{name, folder(r.b[0])})
		r.b = r.b[1:]
	}
	if r.bad || names.bad {
		return nil, nil, nil, errFormat
	}
	return owner, unique, whole, nil
}
