// Package watch tells which names in which directories were touched, and can
// prove that it has told everything. It knows nothing of what the directories
// are for.
//
// It is inotify(7) through fsnotify, and what inotify cannot see it finds out
// by other means:
//   - A directory that is removed or moved itself is told by [Handler.Lost].
//   - An unmounted one is told by Lost at the next [Watcher.Sync] after that.
//   - One whose path leads elsewhere since a directory above it was moved, or
//     another file system mounted over it, makes no event. [Watcher.Add] finds
//     it, so a caller that must be sure calls Add, then Sync, before it trusts
//     what it knows of a directory.
//
// Invariants:
//   - One goroutine reads fsnotify's events and errors and calls the Handler,
//     so the Handler sees everything in the order of inotify's queue.
//   - That goroutine calls no method of fsnotify and waits for no lock that is
//     held while one is called: fsnotify may wait for it with its own lock held.
//   - A name may be told without having been touched. The reverse does not
//     happen: what is not told was lost in an overflow, and that is told.
//   - A path is watched anew only when no event of its earlier watch is left, so
//     Lost always means the present one.
//   - File system calls on directories are made on the goroutine that calls
//     Add, so a caller that has given its thread a user's identity keeps it.
package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// errClosed is what everything fails with after Close.
var errClosed = fmt.Errorf("the watcher is closed: %w", fs.ErrClosed)

// Handler is told what happens. Its methods are called from one goroutine, in
// the order of the events, and must return soon. They must not call the Watcher,
// nor wait for anything that is held while the Watcher is called.
type Handler interface {
	// Touched says that name in dir was created, removed, or renamed to or
	// from. Writes and changes of attributes are not told. The name holds any
	// bytes that a file name can.
	Touched(dir, name string)

	// Lost says that the watch of dir has ended; [Watcher.Add] can begin a new one.
	Lost(dir string)

	// Overflow says that events of any directory may have been lost, Lost
	// included: [Watcher.Add] makes sure of a directory.
	Overflow()
}

// Watcher watches directories. Its methods may be called from many goroutines.
type Watcher struct {
	h        Handler
	fsnotify *fsnotify.Watcher
	cookies  cookies
	mounts   mounts
	lost     chan []string // for the Handler, from others than inotify
	done     chan struct{} // closed by Close
	running  sync.WaitGroup

	// adding is held while fsnotify's watches are changed. It comes before mu.
	adding sync.Mutex

	// mu guards what follows and is never held while waiting for anything.
	mu     sync.Mutex
	closed bool
	table  table

	// ended counts the watches that were ended without their own event, and
	// settled how many of those cannot make an event any more.
	ended, settled uint64

	next    *round // the round that a Sync that begins now joins; nil: none yet
	rounds  bool   // a goroutine runs the rounds
	awaited string // name of the cookie under way
	arrived chan error
}

// New makes a Watcher. cookies is a directory for [Watcher.Sync], used by this
// program alone and best on a tmpfs such as /run; it is made if it is missing.
// The error wraps [ErrLimit] when there are too many inotify instances.
func New(cookies string, h Handler) (*Watcher, error) {
	if err := checkPath(cookies); err != nil {
		return nil, err
	}
	fsw, err := fsnotify.NewWatcher()
	if errors.Is(err, unix.EMFILE) {
		err = fmt.Errorf("%w; or this process has too many files open", limitError("instances", err))
	}
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &Watcher{
		h:        h,
		fsnotify: fsw,
		cookies:  newCookies(cookies),
		lost:     make(chan []string),
		done:     make(chan struct{}),
		table:    newTable(),
	}
	w.table.parents[filepath.Dir(cookies)]++
	w.running.Go(w.dispatch)
	if w.mounts, err = openMounts(); err == nil {
		err = w.prepare()
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Len is the number of directories watched.
func (w *Watcher) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.table.watched)
}

// Close ends all watches. It returns after the last call of the Handler; a Sync
// that waits fails with [fs.ErrClosed].
func (w *Watcher) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	w.mu.Unlock()
	close(w.done)
	err := w.fsnotify.Close()
	w.running.Wait()
	w.cookies.close()
	w.mounts.close()
	return err
}

// dispatch hands everything to the Handler until fsnotify is closed.
//
// fsnotify's one reading goroutine takes inotify's events in their order, an
// overflow among them, and goes on to the next when the last one has been received
// here: neither the channel of events nor that of errors has a buffer. So an
// overflow is never handled after a cookie's event that follows it.
func (w *Watcher) dispatch() {
	errs := w.fsnotify.Errors
	for {
		select {
		case ev, ok := <-w.fsnotify.Events:
			if !ok {
				return
			}
			w.event(ev)
		case err, ok := <-errs:
			if !ok {
				errs = nil // closed just before the events are
				continue
			}
			w.failure(err)
		case dirs := <-w.lost:
			for _, dir := range dirs {
				w.h.Lost(dir)
			}
		}
	}
}

// event handles one event: of the name in a directory, or, in the form that
// fsnotify gives it, of a watched directory itself. The two cannot be mixed up
// since no directory is watched together with its parent.
func (w *Watcher) event(ev fsnotify.Event) {
	if ev.Op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) == 0 {
		return
	}
	i := strings.LastIndexByte(ev.Name, '/')
	dir, name := ev.Name[:i], ev.Name[i+1:]
	w.mu.Lock()
	if dir == w.cookies.dir {
		if name == w.awaited && ev.Has(fsnotify.Create) {
			w.finish(nil)
		}
		w.mu.Unlock()
		return
	}
	ended := w.table.drop(ev.Name)
	first, others := w.table.lookup(dir)
	w.mu.Unlock()
	if first != "" {
		w.h.Touched(first, name)
	}
	for _, dir := range others {
		w.h.Touched(dir, name)
	}
	for _, dir := range ended {
		w.h.Lost(dir)
	}
}

// failure handles what fsnotify calls an error.
func (w *Watcher) failure(err error) {
	if err == unix.EINVAL {
		// fsnotify ends the watch of a directory that was moved, and it was
		// removed meanwhile. The event itself follows. Anybody can bring this
		// about, so it must not make all directories suspect.
		return
	}
	w.mu.Lock()
	w.table.overflows++
	w.mu.Unlock()
	w.h.Overflow()
	w.mu.Lock()
	w.finish(fmt.Errorf("%w: %w", ErrOverflow, err))
	w.mu.Unlock()
}

// tell has the Handler told that the watches of dirs have ended.
func (w *Watcher) tell(dirs []string) {
	if len(dirs) == 0 {
		return
	}
	select {
	case <-w.done:
		return
	default:
	}
	select {
	case w.lost <- dirs:
	case <-w.done:
	}
}

// start has fsnotify watch path, which it does not watch yet. adding is held.
func (w *Watcher) start(path string) error {
	err := w.fsnotify.Add(path)
	switch {
	case errors.Is(err, unix.ENOSPC):
		return limitError("watches", err)
	case errors.Is(err, fsnotify.ErrClosed):
		return errClosed
	}
	return err
}

// stop has fsnotify forget path. All that can go wrong is that there is no such
// watch any more. adding is held.
func (w *Watcher) stop(path string) { _ = w.fsnotify.Remove(path) }
