package watch

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// names is a Handler that keeps which names it was told of.
type names struct {
	mu       sync.Mutex
	touched  map[string]bool
	overflow bool
}

func (n *names) Touched(dir, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.touched[filepath.Join(dir, name)] = true
}

func (n *names) Lost(string) {}

func (n *names) Overflow() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.overflow = true
}

// missing counts those of paths that were not told; complete says that
// there was no overflow to account for them.
func (n *names) missing(paths []string) (missing int, complete bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, path := range paths {
		if !n.touched[path] {
			missing++
		}
	}
	return missing, !n.overflow
}

// memory makes a directory on a tmpfs, if there is one, where files are made faster.
func memory(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "watch")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFlood creates many files at once, with the queue as it is and with one
// that holds everything.
func TestFlood(t *testing.T) {
	const files = 100_000
	flood := func(t *testing.T) (missing int, complete bool) {
		h := &names{touched: make(map[string]bool)}
		w, dir := newWatcher(t, h), memory(t)
		add(t, w, dir)
		paths := make([]string, files)
		for i := range paths {
			paths[i] = filepath.Join(dir, fmt.Sprint(i))
			if err := unix.Mknod(paths[i], unix.S_IFREG|0o600, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Sync(t.Context()); err != nil && !errors.Is(err, ErrOverflow) {
			t.Error(err)
		}
		return h.missing(paths)
	}
	t.Run("queue as it is", func(t *testing.T) {
		missing, complete := flood(t)
		t.Logf("%d of %d missing, no overflow: %v", missing, files, complete)
		if complete && missing > 0 {
			t.Errorf("%d missing without an overflow", missing)
		}
	})
	t.Run("large queue", func(t *testing.T) {
		setLimit(t, "max_queued_events", 8*files)
		if missing, complete := flood(t); missing > 0 || !complete {
			t.Errorf("%d missing, no overflow: %v", missing, complete)
		}
	})
}

// TestRenameStorm moves files about in several goroutines. After each Sync
// everything that was done before must have been told.
func TestRenameStorm(t *testing.T) {
	h := &names{touched: make(map[string]bool)}
	w, root := newWatcher(t, h), t.TempDir()
	dirs := []string{mkdir(t, root, "new"), mkdir(t, root, "cur")}
	for _, dir := range dirs {
		add(t, w, dir)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			at := filepath.Join(dirs[0], fmt.Sprint(g, "-0"))
			touch(t, at)
			done := []string{at}
			for n := 1; n < 5000; n++ {
				to := filepath.Join(dirs[rand.IntN(2)], fmt.Sprint(g, "-", n))
				if err := os.Rename(at, to); err != nil {
					t.Error(err)
					return
				}
				at = to
				done = append(done, to)
				if rand.IntN(20) > 0 {
					continue
				}
				if err := w.Sync(t.Context()); err != nil && !errors.Is(err, ErrOverflow) {
					t.Error(err)
				}
				missing, complete := h.missing(done)
				if !complete {
					t.Error("overflow although Sync holds the writers back")
					return
				}
				if missing > 0 {
					t.Errorf("%d of %d missing", missing, len(done))
				}
				done = done[:0]
			}
		})
	}
	wg.Wait()
}
