package index

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestMissing: mail that can't be looked at is neither gone nor removed.
func TestMissing(t *testing.T) {
	for _, c := range []struct {
		what   string
		away   string // below the Maildir
		opened bool   // a message, before
		failed int    // of three to be removed
		left   int    // afterwards, when all is back
	}{
		{"Maildir", "", false, 3, 3},
		{"new", "new", false, 2, 2},
		{"cur", "cur", false, 1, 1},
		{"Maildir, opened", "", true, 0, 0}, // wherever it is now
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := maildirWith(t, map[string]string{"new/1.a": "1", "new/2.b": "2", "cur/3.c": "3"})
			x := newIndex(t, Options{MarkSeen: true})
			m, err := x.Open(t.Context(), dir, "", self)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if c.opened {
				content(t, m, 0)
			}
			path := filepath.Join(dir, c.away)
			rename := func(from, to string) {
				t.Helper()
				if err := os.Rename(from, to); err != nil {
					t.Fatal(err)
				}
			}
			rename(path, dir+".away")
			for i := range 3 {
				f, err := m.OpenMessage(i)
				if err == nil {
					f.Close()
				} else if errors.Is(err, ErrGone) || c.failed == 0 {
					t.Errorf("message %d: %v", i, err)
				}
			}
			failed, err := m.Commit(t.Context(), []int{0, 1, 2}, []int{0})
			if failed != c.failed || (err != nil) != (c.failed > 0) {
				t.Errorf("%d not removed, %v; want %d", failed, err, c.failed)
			}
			if failed, err := m.Commit(t.Context(), nil, []int{0}); failed != 0 || err != nil {
				t.Errorf("marking alone: %d, %v", failed, err)
			}
			rename(dir+".away", path)
			if got := len(listing(t, x, dir)); got != c.left {
				t.Errorf("%d messages are left, want %d", got, c.left)
			}
		})
	}
}

// TestMissingInFolder: what other programs have removed is gone.
func TestMissingInFolder(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "1", "cur/2.b": "2"})
	m := open(t, dir, Options{})
	if err := errors.Join(os.Remove(dir+"/new/1.a"), os.Remove(dir+"/cur/2.b")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.OpenMessage(0); !errors.Is(err, ErrGone) {
		t.Errorf("open: %v", err)
	}
	if failed, err := m.Commit(t.Context(), []int{0, 1}, nil); failed != 0 || err != nil {
		t.Errorf("%d not removed, %v", failed, err)
	}
}
