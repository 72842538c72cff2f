package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// within fails the test if done is not closed soon.
func within(t *testing.T, about string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s still waits", about)
	}
}

func mkdir(t testing.TB, path ...string) string {
	t.Helper()
	dir := filepath.Join(path...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func touch(t testing.TB, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), nil, 0o600); err != nil {
		t.Error(err)
	}
}

// addPath has whatever directory dir leads to watched as dir, as a caller does that
// follows all links.
func addPath(w *Watcher, dir string) (fresh bool, err error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		w.Remove(dir)
		return false, err
	}
	defer unix.Close(fd)
	return w.Add(dir, fd)
}

func add(t testing.TB, w *Watcher, dir string) {
	t.Helper()
	if _, err := addPath(w, dir); err != nil {
		t.Fatal(err)
	}
}

func mustSync(t testing.TB, w *Watcher) {
	t.Helper()
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// cookieNow is the name of the cookie file.
func cookieNow(t testing.TB, w *Watcher) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(w.cookies.dir, "*"))
	if err != nil || len(names) > 1 {
		t.Fatalf("cookies %q, error %v", names, err)
	}
	return strings.Join(names, "")
}

// startSync begins a Sync and returns when its cookie has been made.
func startSync(t *testing.T, w *Watcher) (result chan error) {
	t.Helper()
	before := cookieNow(t, w)
	result = make(chan error, 1)
	go func() { result <- w.Sync(t.Context()) }()
	for deadline := time.Now().Add(10 * time.Second); cookieNow(t, w) == before; {
		if time.Now().After(deadline) {
			t.Fatal("no cookie was made")
		}
		runtime.Gosched()
	}
	return result
}

// TestSyncJoins begins one Sync while the Handler is blocked, then many more.
// Those must wait for a cookie that is newer than what happened between, and
// one is enough for all of them.
func TestSyncJoins(t *testing.T) {
	h := &recorder{block: make(chan struct{})}
	w, dir := newWatcher(t, h), t.TempDir()
	add(t, w, dir)
	touch(t, dir, "before")
	early := startSync(t, w)
	touch(t, dir, "between")
	var late sync.WaitGroup
	for range 1000 {
		late.Go(func() {
			if err := w.Sync(t.Context()); err != nil {
				t.Error(err)
			}
			if !slices.Contains(h.peek(), "touched "+dir+" between") {
				t.Error("Sync returned before it was told what was before")
			}
		})
	}
	close(h.block)
	if err := <-early; err != nil {
		t.Error(err)
	}
	late.Wait()
	made := w.cookies.n
	t.Logf("%d cookies for 1001 callers", made)
	if made > 100 {
		t.Errorf("%d cookies for 1001 callers", made)
	}
}

func (r *recorder) peek() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// TestMovedRemoved removes a moved directory before fsnotify knows that it
// moved, which it then reports as an error. It is no overflow.
func TestMovedRemoved(t *testing.T) {
	h := &recorder{block: make(chan struct{})}
	w, root := newWatcher(t, h), t.TempDir()
	busy, dir := mkdir(t, root, "busy"), mkdir(t, root, "dir")
	add(t, w, busy)
	add(t, w, dir)
	touch(t, busy, "x") // holds up the Handler
	touch(t, busy, "y") // holds up fsnotify
	moved := dir + ".moved"
	if err := errors.Join(os.Rename(dir, moved), os.Remove(moved)); err != nil {
		t.Fatal(err)
	}
	close(h.block)
	mustSync(t, w)
	want := []string{"touched " + busy + " x", "touched " + busy + " y", "lost " + dir}
	if got := h.take(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestSettle adds a directory while the end of its predecessor is still to be
// handled: it must not be taken for the end of the new one.
func TestSettle(t *testing.T) {
	h := &recorder{block: make(chan struct{})}
	w, root := newWatcher(t, h), t.TempDir()
	dir := mkdir(t, root, "dir")
	add(t, w, dir)
	touch(t, dir, "x")
	if err := os.Rename(dir, dir+".moved"); err != nil {
		t.Fatal(err)
	}
	mkdir(t, dir)
	for len(w.fsnotify.WatchList()) > 1 { // until fsnotify knows
		runtime.Gosched()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if fresh, err := addPath(w, dir); !fresh || err != nil {
			t.Errorf("%v, error %v", fresh, err)
		}
	}()
	for w.Len() > 0 { // until Add has ended the old watch
		runtime.Gosched()
	}
	close(h.block)
	within(t, "Add", done)
	h.take()
	touch(t, dir, "y")
	mustSync(t, w)
	if got := h.take(); !slices.Equal(got, []string{"touched " + dir + " y"}) {
		t.Errorf("told %q", got)
	}
}

func TestSyncContext(t *testing.T) {
	h := &recorder{block: make(chan struct{})}
	w, dir := newWatcher(t, h), t.TempDir()
	add(t, w, dir)
	touch(t, dir, "x")
	ctx, cancel := context.WithCancel(t.Context())
	first := startSync(t, w)
	second := make(chan error)
	go func() { second <- w.Sync(ctx) }()
	cancel()
	if err := <-second; err != context.Canceled {
		t.Errorf("error %v", err)
	}
	if err := w.Sync(ctx); err != context.Canceled {
		t.Errorf("error %v", err)
	}
	close(h.block)
	if err := <-first; err != nil {
		t.Errorf("another's context: %v", err)
	}
}

// TestCookiesRepaired does to the directory of cookies what should not be done.
func TestCookiesRepaired(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
		fails bool // the first Sync after that
	}{
		{"file removed", func(dir string) error {
			names, _ := filepath.Glob(dir + "/*")
			return os.Remove(names[0])
		}, false},
		{"file touched", func(dir string) error {
			names, _ := filepath.Glob(dir + "/*")
			return errors.Join(os.Chmod(names[0], 0o644), os.Chtimes(names[0], time.Time{}, time.Now()))
		}, false},
		{"removed", os.RemoveAll, true},
		{"moved", func(dir string) error { return os.Rename(dir, dir+".bak") }, true},
		{"replaced", func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".bak"), os.Mkdir(dir, 0o700))
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // some wait for the time limit
			h := new(recorder)
			w, dir := newWatcher(t, h), t.TempDir()
			add(t, w, dir)
			mustSync(t, w)
			if err := tt.spoil(w.cookies.dir); err != nil {
				t.Fatal(err)
			}
			if err := w.Sync(t.Context()); (err != nil) != tt.fails {
				t.Errorf("error %v", err)
			}
			for range 3 {
				mustSync(t, w)
			}
			touch(t, dir, "x")
			mustSync(t, w)
			if got := h.take(); !slices.Contains(got, "touched "+dir+" x") {
				t.Errorf("told %q", got)
			}
		})
	}
}

// TestCookiesShared has two Watchers by mistake use the same directory, as when a
// program is started before its predecessor has ended.
func TestCookiesShared(t *testing.T) {
	h := new(recorder)
	w := newWatcher(t, h)
	touch(t, w.cookies.dir, cookiePrefix+"left-by-a-crash")
	touch(t, w.cookies.dir, "somebody's")
	for range 3 {
		other, err := New(w.cookies.dir, h)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			mustSync(t, w)
			mustSync(t, other)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
	mustSync(t, w)
	entries, err := os.ReadDir(w.cookies.dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left are %v, error %v", entries, err)
	}
	if got := h.take(); len(got) > 0 {
		t.Errorf("told %q", got)
	}
}

func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	h := &recorder{block: make(chan struct{})}
	w, err := New(filepath.Join(t.TempDir(), "cookies"), h)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	add(t, w, dir)
	touch(t, dir, "x")
	syncing := startSync(t, w)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := <-syncing; !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Sync under way: error %v", err)
	}
	select {
	case <-closed:
		t.Error("closed while the Handler is called")
	default:
	}
	close(h.block)
	within(t, "Close", closed)
	if err := w.Sync(t.Context()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Sync: error %v", err)
	}
	if _, err := addPath(w, t.TempDir()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Add: error %v", err)
	}
	if _, err := addPath(w, dir); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Add again: error %v", err)
	}
	w.Remove(dir)
	if err := w.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	if name := cookieNow(t, w); name != "" {
		t.Errorf("%s is left", name)
	}
	for range 1000 { // a goroutine that is done may still be counted
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, were %d", runtime.NumGoroutine(), before)
}

func TestAddPath(t *testing.T) {
	w := newWatcher(t, new(recorder))
	dir := t.TempDir()
	for _, path := range []string{"", ".", "x", dir + "/", dir + "/.", "//" + dir, dir + "/../x", dir + "\x00"} {
		if _, err := w.Add(path, unix.AT_FDCWD); err == nil || !strings.Contains(err.Error(), "absolute path") {
			t.Errorf("%q: error %v", path, err)
		}
	}
	for _, path := range []string{w.cookies.dir, filepath.Dir(w.cookies.dir), filepath.Join(mkdir(t, w.cookies.dir, "x"))} {
		if _, err := addPath(w, path); !errors.Is(err, ErrNested) {
			t.Errorf("%q: error %v", path, err)
		}
	}
	if _, err := New("cookies", new(recorder)); err == nil {
		t.Error("a relative directory of cookies")
	}
	if _, err := New("/nowhere/at/all", new(recorder)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("cookies nowhere: error %v", err)
	}
	if w.Len() != 0 {
		t.Errorf("%d watched", w.Len())
	}
}

// TestAddIdentity adds directories with another user's identity.
func TestAddIdentity(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "only root can take another identity")
	}
	const nobody = 65534
	root, err := os.MkdirTemp("/tmp", "watch") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	own, foreign := mkdir(t, root, "own"), mkdir(t, root, "foreign")
	if err := errors.Join(os.Chmod(root, 0o711), os.Chown(own, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	h := new(recorder)
	w := newWatcher(t, h)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends here
		if err := unix.Setfsuid(nobody); err != nil {
			t.Error(err)
			return
		}
		if fresh, err := addPath(w, own); !fresh || err != nil {
			t.Errorf("own: %v, %v", fresh, err)
		}
		if _, err := addPath(w, foreign); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("foreign: %v", err)
		}
		if err := w.Sync(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	within(t, "Add", done)
	touch(t, own, "x")
	touch(t, foreign, "x")
	mustSync(t, w)
	if got := h.take(); !slices.Equal(got, []string{"touched " + own + " x"}) {
		t.Errorf("told %q", got)
	}
	if w.Len() != 1 {
		t.Errorf("%d watched", w.Len())
	}
}

// TestConcurrent does everything at once. In the end the directory that nobody
// moved must still be told of.
func TestConcurrent(t *testing.T) {
	h := new(recorder)
	w, root := newWatcher(t, h), t.TempDir()
	calm := mkdir(t, root, "calm")
	add(t, w, calm)
	var wg sync.WaitGroup
	for i := range 8 {
		dir := filepath.Join(root, fmt.Sprint(i%4))
		wg.Go(func() {
			for n := range 200 {
				switch (n + i) % 5 {
				case 0:
					_ = os.Mkdir(dir, 0o700)
				case 1, 3:
					_, _ = addPath(w, dir) // it may be gone
				case 2:
					_ = os.Rename(dir, filepath.Join(root, fmt.Sprint(i, "-", n)))
				case 4:
					w.Remove(dir)
				}
				if err := w.Sync(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	h.take()
	touch(t, calm, "x")
	mustSync(t, w)
	if got := h.take(); !slices.Equal(got, []string{"touched " + calm + " x"}) {
		t.Errorf("told %q", got)
	}
	for i := range 4 {
		w.Remove(filepath.Join(root, fmt.Sprint(i)))
	}
	if n := w.Len(); n != 1 {
		t.Errorf("%d watched", n)
	}
	tab := &w.table
	if len(tab.first) != 1 || len(tab.others) != 0 || len(tab.parents) != 2 || len(w.fsnotify.WatchList()) != 2 {
		t.Errorf("left over: %v, fsnotify has %q", *tab, w.fsnotify.WatchList())
	}
}
