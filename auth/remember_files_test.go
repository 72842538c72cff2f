package auth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestFileChangesForget(t *testing.T) {
	stamp := time.Now().Add(-time.Hour)
	write := func(content string) func(path string) error {
		return func(path string) error { return os.WriteFile(path, []byte(content), 0o600) }
	}
	// kept writes and gives the file the time of modification that it had.
	kept := func(f func(path string) error) func(path string) error {
		return func(path string) error { return errors.Join(f(path), os.Chtimes(path, stamp, stamp)) }
	}
	replace := func(path string) error {
		return errors.Join(kept(write("one"))(path+".new"), os.Rename(path+".new", path))
	}
	for _, c := range []struct {
		about  string
		absent bool // before
		change func(path string) error
	}{
		{"longer", false, write("longer")},
		{"the same size", false, write("two")},
		{"the same size and time of modification", false, kept(write("two"))},
		{"appended to, with the same time", false, kept(write("one."))},
		{"replaced by a like one", false, replace},
		{"given another mode", false, func(path string) error { return os.Chmod(path, 0o640) }},
		{"vanished", false, os.Remove},
		{"renamed", false, func(path string) error { return os.Rename(path, path+".off") }},
		{"became a loop", false, func(path string) error { return errors.Join(os.Remove(path), os.Symlink(path, path)) }},
		{"became a link to a like one", false, func(path string) error {
			return errors.Join(os.Rename(path, path+".off"), kept(write("one"))(path+".other"), os.Symlink(path+".other", path))
		}},
		{"appeared", true, write("one")},
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			path, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
			put(t, other, "other")
			if !c.absent {
				if err := kept(write("one"))(path); err != nil {
					t.Fatal(err)
				}
			}
			g := NewGuard(GuardOptions{CacheTime: time.Hour, Files: func() []string { return []string{other, path} }})
			source := &counting{password: "pw"}
			l := from("joe", "")
			if !source.login(t, g, l) || source.login(t, g, l) {
				t.Fatalf("%s: not remembered before", c.about)
			}
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			if !source.login(t, g, l) {
				t.Errorf("%s: still remembered", c.about)
			}
			if len(g.memory.logins) > 1 || g.memory.order.Len() != len(g.memory.logins) {
				t.Errorf("%s: %d logins in memory", c.about, len(g.memory.logins))
			}
		})
	}
}

// Nothing is remembered while a file has just changed or cannot be looked at:
// another change might not show.
func TestUnsettledFilesAreNotTrusted(t *testing.T) {
	dir := t.TempDir()
	fresh, loop := filepath.Join(dir, "fresh"), filepath.Join(dir, "loop")
	put(t, fresh, "one")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fresh, loop} {
		g := NewGuard(GuardOptions{CacheTime: time.Hour, Files: func() []string { return []string{path} }})
		source := &counting{password: "pw"}
		put(t, fresh, "two")
		for range 2 {
			if !source.login(t, g, from("joe", "")) {
				t.Errorf("%s: remembered", path)
			}
		}
	}
}

// What the old sources find right the new ones are asked about, whatever has begun
// when.
func TestAnewRemembersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := NewGuard(GuardOptions{CacheTime: time.Hour})
		c := &counting{password: "pw"}
		l := from("joe", "")
		c.login(t, old, l)
		g := old.Anew()
		c.login(t, old, l) // an attempt that has begun before
		if _, err := g.Do(t.Context(), l, answer(0, ErrCredentials)); !errors.Is(err, ErrCredentials) {
			t.Errorf("a login that the old sources have found right: %v", err)
		}
		for range 3 {
			old.seconds(t, from("jim", ""))
		}
		if s := g.seconds(t, from("jim", "")); s == 0 {
			t.Error("failures are forgotten")
		}
		g.Set(GuardOptions{Deny: networks(t, localNetwork)})
		if _, err := old.Do(t.Context(), l, c.verify(l)); !errors.Is(err, ErrCredentials) {
			t.Errorf("an attempt from a network that is denied now: %v", err)
		}
	})
}

// A login that was being asked about when a file changed was judged by the old.
func TestChangeWhileAsking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for about, change := range map[string]func(g *Guard){
		"a file": func(*Guard) { put(t, path, fmt.Sprint(time.Now())) },
		"a file, seen by another login": func(g *Guard) {
			put(t, path, "")
			_, _ = g.Do(context.Background(), from("jim", ""), answer(0, nil))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			put(t, path, "one")
			g := NewGuard(GuardOptions{CacheTime: time.Hour, Files: func() []string { return []string{path} }})
			c := &counting{password: "pw"}
			l := from("joe", "")
			if _, err := g.Do(t.Context(), l, func(ctx context.Context) (*Account, error) { change(g); return c.verify(l)(ctx) }); err != nil {
				t.Fatal(err)
			}
			if !c.login(t, g, l) {
				t.Errorf("%s: remembered", about)
			}
		})
	}
}
