package index

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestWatchLess: a watch that was ended for a large removal is not trusted for
// what came meanwhile, whoever has begun it again.
func TestWatchLess(t *testing.T) {
	const messages = 2 * fewRemovals
	dir := numbered(t, messages)
	x := newIndex(t, Options{})
	m, err := x.Open(t.Context(), dir, "", self)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.watchLess(messages)
	if err := os.WriteFile(filepath.Join(dir, "new", numberedName(messages)), []byte("late\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openDirs(dir, false, new(haste))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if done, still, err := x.watchDirs(d); !done || still || err != nil {
		t.Fatalf("the watch is there: %v, and was all the time: %v", done, still)
	}
	if got, want := listing(t, x, dir), naive(t, Options{}, dir); !slices.Equal(got, want) {
		t.Errorf("%d messages are listed, not %d", len(got), len(want))
	}
}
