package index

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// repairs are Events that keep what was repaired.
type repairs struct {
	silent
	mu  sync.Mutex
	all []string
}

func (r *repairs) Repaired(path, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, filepath.Base(path)+": "+what)
}

func (r *repairs) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// TestRepair changes the content of a message long after its delivery. That shows
// when it is opened, or verified; later logins are right.
func TestRepair(t *testing.T) {
	for _, how := range []string{"open", "verify", "rebuild"} {
		t.Run(how, func(t *testing.T) {
			dir := maildirWith(t, map[string]string{"new/1.a": "one\n", "new/2.b": "two\n"})
			path := filepath.Join(dir, "new/1.a")
			if err := os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
				t.Fatal(err)
			}
			r := new(repairs)
			x := newIndex(t, Options{Events: r})
			listing(t, x, dir)
			if err := os.WriteFile(path, []byte("another\none\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			switch how {
			case "open":
				m, err := x.Open(t.Context(), dir, "", self)
				if err != nil {
					t.Fatal(err)
				}
				if s := content(t, m, 0); s != "another\none\n" {
					t.Errorf("read %q", s)
				}
				if got, want := r.take(), []string{"1.a: it had 4 bytes when it was counted, and has 12 now"}; !slices.Equal(got, want) {
					t.Errorf("repaired %q, want %q", got, want)
				}
				m.Close()
			case "verify":
				all, err := x.Verify(t.Context(), dir, self, func(int, int) {})
				if want := []Difference{{"1.a", "4 bytes and 5 octets in the index, 12 and 14 in the Maildir"}}; err != nil || !slices.Equal(all, want) {
					t.Errorf("differences %q, %v, want %q", all, err, want)
				}
				if all, err = x.Verify(t.Context(), dir, self, func(int, int) {}); len(all) > 0 || err != nil {
					t.Errorf("verified again: %q, %v", all, err)
				}
			case "rebuild":
				if n, err := x.Rebuild(t.Context(), dir, self, func(int, int) {}); n != 2 || err != nil {
					t.Errorf("rebuilt %d messages, %v", n, err)
				}
			}
			want := naive(t, Options{}, dir)
			eventually(t, "the repair", func() bool { return slices.Equal(listing(t, x, dir), want) })
		})
	}
}
