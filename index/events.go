package index

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"sidepop/index/watch"
)

// handler is the Index as the watch sees it. Its methods are called one after
// the other, in the order of the events, and hold locks for moments.
type handler Index

func (h *handler) Touched(dir, name string) {
	x := (*Index)(h)
	m, f := x.watchedMailbox(dir)
	if m == nil {
		return
	}
	defer x.release(m)
	if name == "" || name[0] == '.' {
		return
	}
	m.events.Lock()
	if len(m.touched) < maxTouched {
		m.touched = append(m.touched, place{name, f})
	} else {
		m.flooded = true
	}
	m.events.Unlock()
	x.enqueue(m)
}

func (h *handler) Lost(dir string) {
	x := (*Index)(h)
	if m, _ := x.watchedMailbox(dir); m != nil {
		defer x.release(m)
		m.events.Lock()
		m.lost = true
		m.events.Unlock()
		x.enqueue(m)
	}
}

func (h *handler) Overflow() {
	x := (*Index)(h)
	x.epoch.Add(1)
	x.o.Events.Lagging()
}

// watchedMailbox gives the mailbox of one of its folders, to be released.
func (x *Index) watchedMailbox(dir string) (*mailbox, folder) {
	f := slices.Index(folderNames[:], filepath.Base(dir))
	if f < 0 {
		return nil, 0
	}
	return x.use(filepath.Dir(dir)), folder(f)
}

// enqueue gives the workers something to do, where there are any.
func (x *Index) enqueue(m *mailbox) {
	if x.watch == nil || x.ctx.Err() != nil {
		return
	}
	x.mu.Lock()
	if !m.queued {
		m.queued = true
		m.refs++
		x.work = append(x.work, m)
	}
	x.mu.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// worker brings mailboxes up to date that the watch has told something of.
func (x *Index) worker() {
	for {
		x.mu.Lock()
		var m *mailbox
		if len(x.work) > 0 {
			m = x.work[0]
			x.work = x.work[1:]
			m.queued = false
		}
		x.mu.Unlock()
		if m != nil {
			x.follow(m)
			x.release(m)
			continue
		}
		select {
		case <-x.wake:
		case <-x.ctx.Done():
			return
		}
	}
}

// follow brings a mailbox up to date, unless somebody is at it: then unlock
// sees to it.
func (x *Index) follow(m *mailbox) {
	if !m.tryLock() {
		return
	}
	defer m.unlock()
	if err := m.refresh(x.ctx, "", false); err != nil && !errors.Is(err, errTurn) && x.ctx.Err() == nil {
		x.o.Events.Skipped(m.path, err.Error())
	}
}

// turn is how long a worker counts one mailbox while others wait, at least one
// message in any case. It is long beside the time for reading all names, with which
// the next turn begins.
const turn = 2 * time.Second

// errTurn says that a worker's turn is over. What was counted is kept.
var errTurn = errors.New("other mailboxes are waiting")

// turnIsOver says whether a worker that began then should turn to others.
func (x *Index) turnIsOver(begun time.Time) bool {
	if time.Since(begun) < turn {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.work) > 0
}

// watchDirs watches the folders of an opened Maildir, in a section: package watch
// makes the system calls on the goroutine that calls it. It says whether that is
// done, and whether they were watched already, all the time since the last call.
func (x *Index) watchDirs(d *dirs) (done, still bool, err error) {
	if x.watch == nil {
		return false, false, nil
	}
	still = true
	for f, name := range folderNames {
		path := d.dir + "/" + name
		if d.folders[f] == nil {
			x.watch.Remove(path)
			return false, false, nil
		}
		fresh, err := x.watch.Add(path, d.fd(folder(f)))
		if err != nil {
			return false, false, err
		}
		still = still && !fresh
	}
	return true, still, nil
}

// notWatched tells why a mailbox isn't, if there is a reason to be told.
func (x *Index) notWatched(path string, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrClosed) {
		x.o.Events.NotWatched(path, err)
	}
}

// Know takes up the mailbox of an account before its first login, if there is a
// Maildir: it is watched from then on, and counted by the workers one after the
// other. It returns at once; the work ends with the index. Without a watch of all
// mailboxes, and after Close, it does nothing.
func (x *Index) Know(path string, owner Owner) {
	if x.watch == nil || x.o.Watch != WatchAll {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ctx.Err() != nil {
		return // Close may have ceased to wait for tasks
	}
	if x.known == nil {
		x.known = make(map[string]*Owner)
		x.tasks.Go(x.takeUpAll)
	}
	x.known[path] = owner.ordered()
}

// takeUpAll deals with what Know was told, until there is nothing left.
func (x *Index) takeUpAll() {
	for {
		x.mu.Lock()
		known := x.known
		if len(known) == 0 || x.ctx.Err() != nil {
			x.known = nil
			x.mu.Unlock()
			return
		}
		x.known = make(map[string]*Owner)
		x.mu.Unlock()
		for path, owner := range known {
			if x.ctx.Err() != nil {
				break
			}
			x.takeUp(path, owner)
		}
	}
}

func (x *Index) takeUp(path string, owner *Owner) {
	if b, err := x.store.Header(path); err != nil || b != nil {
		return // watchAll has it
	}
	var p proof
	err := x.as(owner, func() (err error) {
		p, err = x.proofAt(path)
		return err
	})
	if err != nil || p.dirs == [folders]stamp{} {
		return
	}
	m := x.use(path)
	if m.tryLock() { // else there is a login, which tells
		if m.ready(); m.owner == nil {
			m.owner = owner
		}
		m.unlock()
	}
	x.enqueue(m)
	x.release(m)
}

// watchAll watches the mailboxes that the store knows. What happens in them from
// then on keeps them current; what happened before is seen at the next login.
func (x *Index) watchAll() {
	owners := make(map[string]*Owner)
	_ = x.store.Mailboxes(func(path string, b []byte) error {
		if h, err := decodeHeader(b); err == nil { // else it is counted anew at its next login
			owners[path] = h.owner
		}
		return nil
	})
	for path, owner := range owners {
		if x.ctx.Err() != nil {
			return
		}
		err := x.as(owner, func() error {
			d, err := x.openDirs(path)
			if err != nil || d == nil {
				return nil // the next login tells
			}
			defer d.close()
			_, _, err = x.watchDirs(d)
			return err
		})
		if errors.Is(err, watch.ErrLimit) {
			x.o.Events.NotWatched(path, err)
			return
		}
	}
}
