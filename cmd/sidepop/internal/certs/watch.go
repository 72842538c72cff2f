package certs

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long files are left alone before they are read: certbot replaces
// one symlink after the other.
const settle = 100 * time.Millisecond

// maxLinks is how many symlinks lead to a file at most, as in the kernel
// (path_resolution(7)).
const maxLinks = 40

// watch tells when directory entries change.
type watch struct {
	changed  chan struct{} // has something in it after changes
	touched  atomic.Bool   // something has changed since take
	complete bool          // all that is to be followed is
	watcher  *fsnotify.Watcher
	ended    sync.WaitGroup

	mu      sync.Mutex
	names   map[string]bool // paths of entries
	folders map[string]bool // folders of which every entry counts
	watched map[string]bool // folders that are watched, which may be replaced themselves
}

// newWatch begins a watch of nothing. Without inotify it never is complete.
func newWatch() *watch {
	w := &watch{changed: make(chan struct{}, 1)}
	var err error
	if w.watcher, err = fsnotify.NewWatcher(); err != nil {
		return w // the files are looked at every second then
	}
	w.ended.Go(w.run)
	return w
}

func (w *watch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close()
		w.ended.Wait()
	}
}

// take says whether something has changed since it was called last.
func (w *watch) take() bool { return w.touched.Swap(false) }

// run waits for changes, and until there have been none for a moment.
func (w *watch) run() {
	quiet := time.NewTimer(settle)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case e, ok := <-w.watcher.Events:
			if !ok {
				return
			}
			if w.counts(e.Name) {
				quiet.Reset(settle)
			}
		case _, ok := <-w.watcher.Errors: // such as a queue that was too short
			if !ok {
				return
			}
			quiet.Reset(settle)
		case <-quiet.C:
			w.touched.Store(true)
			select {
			case w.changed <- struct{}{}:
			default: // it has not been looked at what was there before
			}
		}
	}
}

func (w *watch) counts(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[name] || w.folders[filepath.Dir(name)] || w.watched[name]
}

// follow watches these entries, and every one of these folders where they are
// there, and nothing else.
func (w *watch) follow(names, folders []string) {
	if w.watcher == nil {
		return
	}
	wanted := make(map[string]bool)
	w.mu.Lock()
	w.names, w.folders = make(map[string]bool), make(map[string]bool)
	for _, name := range names {
		w.names[name], wanted[filepath.Dir(name)] = true, true
	}
	for _, folder := range folders {
		if _, err := os.Stat(folder); err == nil {
			w.folders[folder], wanted[folder] = true, true
		}
	}
	w.watched = wanted
	w.mu.Unlock()
	for _, folder := range w.watcher.WatchList() {
		if !wanted[folder] {
			_ = w.watcher.Remove(folder) // it may be gone
		}
	}
	w.complete = true
	for folder := range wanted {
		if w.watcher.Add(folder) != nil {
			w.complete = false
		}
	}
}

// entries are the directory entries whose change can change what a path leads to:
// that of the file, and of every symlink on the way.
func entries(path string) (all []string) {
	at, rest := "/", split(path)
	for links := 0; len(rest) > 0; {
		name := filepath.Join(at, rest[0])
		rest = rest[1:]
		fi, err := os.Lstat(name)
		switch {
		case err != nil:
			return append(all, name)
		case fi.Mode().Type() == os.ModeSymlink:
			all = append(all, name)
			target, err := os.Readlink(name)
			if links++; err != nil || links > maxLinks {
				return all
			}
			if filepath.IsAbs(target) {
				at = "/"
			}
			rest = append(split(target), rest...)
		case len(rest) == 0:
			all = append(all, name)
		default:
			at = name
		}
	}
	return all
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}
