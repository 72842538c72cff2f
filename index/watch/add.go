package watch

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNested says that a directory cannot be watched together with one that
// lies directly in it: fsnotify would leave out the end of the inner one.
var ErrNested = errors.New("a directory and one directly in it cannot both be watched")

// errReplaced says that dir changed between two looks at it. The next Add
// finds it at rest, or its owner is playing tricks.
var errReplaced = errors.New("the directory was replaced meanwhile")

// Add watches dir, an absolute path without needless elements, which is the
// directory that the caller has opened as fd: which links may lead there is for
// him to decide. If it is watched already, that costs one system call. Otherwise,
// and once after each overflow, fresh is true: whatever happened in dir before Add
// returned may not have been told. After an error dir is not watched. Calls of Add
// and Remove for the same dir are for the caller to order; any order leaves the
// Watcher sound.
//
// The last element of dir must be a directory, not a symbolic link to one.
// inotify takes paths only, so Add looks before and after whether dir leads to
// what fd is. An owner who swaps it to and fro in just these moments could still
// have a watch put on another directory that the caller's thread may read. It
// brings him nothing but events of names that he does not have. If he swaps in a
// file system that does not answer, all other calls wait with this one.
//
// The error wraps [ErrLimit], [ErrNoNotification], [ErrNested] or that of the
// system call.
func (w *Watcher) Add(dir string, fd int) (fresh bool, err error) {
	if err := checkPath(dir); err != nil {
		return false, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		if refused := checkFileSystem(fd); refused != nil {
			err = refused // FUSE lets only its own user look
		}
		return false, fmt.Errorf("watch %q: %w", dir, err)
	}
	id := identityOf(&st)
	if w.has(dir, id) {
		return false, nil
	}
	if err := w.renew(dir, fd, id); err != nil {
		w.removeUnless(dir, id) // it may be another goroutine's by now
		return false, fmt.Errorf("watch %q: %w", dir, err)
	}
	return true, nil
}

// renew ends the watch of dir, if there is one, and begins another. fd keeps the
// number of the directory from being given to another one.
func (w *Watcher) renew(dir string, fd int, id identity) error {
	if err := checkFileSystem(fd); err != nil {
		return err
	}
	if w.removeUnless(dir, id) {
		return nil
	}
	if err := w.settle(); err != nil {
		return err
	}
	w.adding.Lock()
	defer w.adding.Unlock()
	if w.has(dir, id) { // by another goroutine meanwhile
		return nil
	}
	if err := w.attach(dir, id); err != nil {
		w.remove(dir)
		return err
	}
	return nil
}

// settle waits until the events of all watches that were ended are handled: one
// that says that a directory was moved, say, could be taken for an event of the
// next watch of that path.
func (w *Watcher) settle() error {
	w.mu.Lock()
	settled := w.settled == w.ended
	w.mu.Unlock()
	if settled {
		return nil
	}
	return w.Sync(context.Background()) // it has a bound of its own
}

// Remove ends the watch of dir, if there is one. Events that were under way may
// still be told. Further paths of the same directory are told as lost, if dir
// was the first of them.
func (w *Watcher) Remove(dir string) {
	w.adding.Lock()
	defer w.adding.Unlock()
	w.remove(dir)
}

// removeUnless is Remove, unless dir is watched as the directory id: then
// another goroutine has begun that watch meanwhile, and relies on it.
func (w *Watcher) removeUnless(dir string, id identity) (watched bool) {
	w.adding.Lock()
	defer w.adding.Unlock()
	if w.has(dir, id) {
		return true
	}
	w.remove(dir)
	return false
}

// remove is Remove with adding held.
func (w *Watcher) remove(dir string) {
	w.mu.Lock()
	if w.table.isOther(dir) {
		w.table.dropOther(dir)
		w.mu.Unlock()
		return
	}
	w.mu.Unlock()
	if dirs := w.end(dir); len(dirs) > 0 {
		w.tell(dirs[1:])
	}
}

// end ends the watch that fsnotify knows as path, if there is one, and gives all
// paths of the directory, path first. adding is held.
func (w *Watcher) end(path string) (dirs []string) {
	w.mu.Lock()
	dirs = w.table.drop(path)
	if len(dirs) > 0 {
		w.ended++
	}
	w.mu.Unlock()
	if len(dirs) > 0 {
		w.stop(path)
	}
	return dirs
}

// has says whether the directory with that identity is watched as dir.
//
// The number of a removed directory may have been given to the next one of that
// name. Then the end of the old one is in the queue already: the Handler is told
// before the next Sync returns.
func (w *Watcher) has(dir string, id identity) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.table.has(dir, id) && !w.closed
}

// attach begins the watch of dir. adding is held.
func (w *Watcher) attach(dir string, id identity) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return errClosed
	}
	if w.table.isWatched(dir) { // another goroutine found another directory there
		w.mu.Unlock()
		return errReplaced
	}
	if w.nested(dir) {
		w.mu.Unlock()
		return ErrNested
	}
	// A watch that may have ended in an overflow is not to be shared.
	if first := w.table.first[id]; first != "" && !w.table.has(first, id) {
		w.mu.Unlock()
		w.tell(w.end(first))
		w.mu.Lock()
	}
	// It is in the table before fsnotify has it, so that no event is missed
	// that ends it.
	first := w.table.insert(dir, id)
	w.mu.Unlock()
	if err := leadsTo(dir, id); err != nil {
		return err
	}
	if first {
		if err := w.start(dir); err != nil {
			return err
		}
	}
	if err := leadsTo(dir, id); err != nil {
		return err
	}
	if !w.has(dir, id) {
		return errReplaced
	}
	return nil
}

// nested says whether dir is the parent of a watched directory or in one. mu is held.
func (w *Watcher) nested(dir string) bool {
	parent := filepath.Dir(dir)
	return w.table.parents[dir] > 0 || w.table.isWatched(parent) || dir == w.cookies.dir || parent == w.cookies.dir
}

// checkPath refuses paths of which fsnotify would make another string.
func checkPath(dir string) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || strings.IndexByte(dir, 0) >= 0 {
		return fmt.Errorf("watch %q: an absolute path without needless elements is needed", dir)
	}
	return nil
}

// leadsTo fails unless the directory with that identity is at dir now.
func leadsTo(dir string, id identity) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.ENOTDIR
	}
	if identityOf(&st) != id {
		return errReplaced
	}
	return nil
}

func identityOf(st *unix.Stat_t) identity { return identity{st.Ino, uint32(st.Dev)} }
