package watch

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestConcurrentAdd: of two who add a directory at the same time, neither ends the
// watch that the other one relies on.
func TestConcurrentAdd(t *testing.T) {
	h := new(recorder)
	w, root := newWatcher(t, h), memory(t)
	for i := range 1000 {
		dir := mkdir(t, root, fmt.Sprint(i))
		var wg sync.WaitGroup
		wg.Go(func() {
			for range rand.IntN(2000) {
			}
			addPath(w, dir)
		})
		for range rand.IntN(2000) {
		}
		if _, err := addPath(w, dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(30)) * time.Microsecond)
		touch(t, filepath.Join(dir, "x"))
		wg.Wait()
		fresh, err := addPath(w, dir)
		if err != nil {
			t.Fatal(err)
		}
		mustSync(t, w)
		got := h.take()
		if !fresh && !slices.Contains(got, "touched "+dir+" x") {
			t.Fatalf("directory %d: an event was lost, and nobody was told", i)
		}
		w.Remove(dir)
	}
}
