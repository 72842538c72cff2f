package index

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"sidepop/index/watch"
)

// watchEvents are Events that count what the watch has trouble with.
type watchEvents struct {
	silent
	lagging    atomic.Int32
	notWatched atomic.Int32
	limited    atomic.Int32 // of notWatched, those for want of watches
}

func (e *watchEvents) Lagging() { e.lagging.Add(1) }

func (e *watchEvents) NotWatched(_ string, err error) {
	e.notWatched.Add(1)
	if errors.Is(err, watch.ErrLimit) {
		e.limited.Add(1)
	}
}

// setLimit sets a limit of inotify until restore is called.
func setLimit(t *testing.T, name string, value int) (restore func()) {
	t.Helper()
	path := "/proc/sys/fs/inotify/" + name
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, fmt.Append(nil, value), 0); err != nil {
		if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	restore = func() {
		if err := os.WriteFile(path, old, 0); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(restore)
	return restore
}

// indexedUnasked waits until the index has so many messages, without a login.
func indexedUnasked(t *testing.T, x *Index, dir string, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d messages in the index without a login", want), func() bool {
		all, err := x.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			if i.Path == dir {
				return i.Messages == want
			}
		}
		return false
	})
}

// TestOverflow loses events. Every login is right, and the first one makes the
// index current again.
func TestOverflow(t *testing.T) {
	restore := setLimit(t, "max_queued_events", 16)
	e := new(watchEvents)
	x := newIndex(t, Options{Events: e})
	restore() // the limit is taken when the queue is made
	dir, other := memory(t), memory(t)
	makeNumbered(t, dir, 5)
	makeNumbered(t, other, 5)
	listing(t, x, dir)
	listing(t, x, other)
	for round := range 5 {
		lagged := e.lagging.Load()
		x.mu.Lock() // the Handler needs it
		for i := range 500 {
			name := fmt.Sprintf("18%08d.M%dP1.flood", round, i)
			if err := unix.Mknod(filepath.Join(dir, "new", name), unix.S_IFREG|0o600, 0); err != nil {
				t.Error(err)
			}
		}
		if round > 0 {
			rename(t, dir, "new/"+numberedName(round-1), "cur/"+numberedName(round-1)+":2,S")
			if err := os.Remove(filepath.Join(other, "new", numberedName(round))); err != nil {
				t.Error(err)
			}
		}
		x.mu.Unlock()
		for range 2 {
			sameListing(t, "flooded", listing(t, x, dir), naive(t, Options{}, dir))
			sameListing(t, "the other", listing(t, x, other), naive(t, Options{}, other))
		}
		if e.lagging.Load() == lagged {
			t.Fatal("there was no overflow")
		}
		w := &writer{TB: t, dir: dir}
		eventually(t, "the watch can prove something", func() bool { return x.watch.Sync(t.Context()) == nil })
		n := len(listing(t, x, dir)) + 1
		w.deliverAs(fmt.Sprintf("19%08d.M1P1.after", round))
		indexedUnasked(t, x, dir, n)
	}
}

// TestWatchLimit runs out of watches: for all mailboxes, and for one of two.
func TestWatchLimit(t *testing.T) {
	dir, other := memory(t), memory(t)
	makeNumbered(t, dir, 3)
	makeNumbered(t, other, 3)
	w := &writer{TB: t, dir: dir}
	check := func(t *testing.T, x *Index, name string) {
		t.Helper()
		w.deliverAs(name)
		for range 2 {
			sameListing(t, name, listing(t, x, dir), naive(t, Options{}, dir))
		}
	}
	t.Run("all", func(t *testing.T) {
		e := new(watchEvents)
		restore := setLimit(t, "max_user_watches", 0)
		x := newIndex(t, Options{Events: e})
		restore()
		check(t, x, "1800000001.a")
		check(t, x, "1800000002.a")
		if e.limited.Load() == 0 {
			t.Error("nobody was told")
		}
	})
	t.Run("one", func(t *testing.T) {
		e := new(watchEvents)
		x := newIndex(t, Options{Events: e})
		listing(t, x, other)
		restore := setLimit(t, "max_user_watches", 1)
		check(t, x, "1800000003.a")
		check(t, x, "1800000004.a")
		if e.limited.Load() == 0 {
			t.Error("nobody was told")
		}
		// The other one is watched still.
		(&writer{TB: t, dir: other}).deliverAs("1800000003.b")
		indexedUnasked(t, x, other, 4)
		restore()
		check(t, x, "1800000005.a")
		n := len(listing(t, x, dir))
		w.deliverAs("1800000006.a")
		indexedUnasked(t, x, dir, n+1)
		listing(t, x, dir)
		if err := os.Remove(filepath.Join(dir, "new/1800000006.a")); err != nil {
			t.Fatal(err)
		}
		indexedUnasked(t, x, dir, n)
	})
}

// TestFlood delivers as many messages at once as a Maildir may ever hold, in the
// middle of them a login.
func TestFlood(t *testing.T) {
	const messages = 100_000
	dir := memory(t)
	makeNumbered(t, dir, 0)
	x := newIndex(t, Options{State: memory(t)})
	listing(t, x, dir)
	for i := range messages {
		if err := unix.Mknod(filepath.Join(dir, "new", numberedName(i)), unix.S_IFREG|0o600, 0); err != nil {
			t.Fatal(err)
		}
		if i == messages/2 {
			if n := len(listing(t, x, dir)); n != i+1 {
				t.Errorf("%d messages in the middle, want %d", n, i+1)
			}
		}
	}
	got := listing(t, x, dir)
	if len(got) != messages {
		t.Fatalf("%d messages, want %d", len(got), messages)
	}
	for i, line := range got {
		if want := numberedName(i) + " 0 0"; line != want {
			t.Fatalf("message %d is %q, want %q", i, line, want)
		}
	}
}

// TestRenameStorm moves and flags messages in several goroutines, without pause,
// and delivers and removes others, while there are logins: each sees every
// message that stays, once, and each of the others at most once.
func TestRenameStorm(t *testing.T) {
	for name, o := range map[string]Options{"watched": {}, "unwatched": {Watch: WatchNone}} {
		t.Run(name, func(t *testing.T) {
			const (
				movers   = 3
				messages = 60
				logins   = 200
			)
			dir := memory(t)
			makeNumbered(t, dir, messages)
			o.State = memory(t)
			x := newIndex(t, o)
			want := naive(t, Options{}, dir)
			var running sync.WaitGroup
			var stop atomic.Bool
			end := func() { stop.Store(true); running.Wait() }
			defer end()
			for g := range movers {
				s := storm{TB: t, dir: dir, places: make(map[string]string)}
				for i := g; i < messages; i += movers {
					s.places[numberedName(i)] = "new/" + numberedName(i)
				}
				running.Go(func() {
					for i := 0; !stop.Load() && s.move(fmt.Sprintf("1800000000.M%dP%d.passing", i, g)); i++ {
					}
				})
			}
			for range logins {
				lines := listing(t, x, dir)
				staying := slices.DeleteFunc(slices.Clone(lines), func(s string) bool { return strings.Contains(s, "passing") })
				sameListing(t, "during the storm", staying, want)
				if once := slices.Compact(slices.Sorted(slices.Values(lines))); len(once) != len(lines) {
					t.Fatalf("%d messages, and %d UIDLs", len(lines), len(once))
				}
			}
			end()
			sameListing(t, "after it", listing(t, x, dir), naive(t, Options{}, dir))
		})
	}
}

// storm is a program that renames.
type storm struct {
	testing.TB
	dir    string
	places map[string]string // by unique name
}

// move renames all messages that stay, and delivers, moves and removes another.
func (s *storm) move(passing string) bool {
	w := &writer{TB: s, dir: s.dir}
	w.deliverAs(passing)
	s.places[passing] = "new/" + passing
	for range 2 {
		for unique, from := range s.places {
			to := fmt.Sprintf([]string{"cur/%s", "cur/%s:2,", "cur/%s:2,S", "cur/%s:2,FS"}[rand.IntN(4)], unique)
			if err := os.Rename(filepath.Join(s.dir, from), filepath.Join(s.dir, to)); err != nil {
				s.Error(err)
				return false
			}
			s.places[unique] = to
		}
	}
	if err := os.Remove(filepath.Join(s.dir, s.places[passing])); err != nil {
		s.Error(err)
		return false
	}
	delete(s.places, passing)
	return true
}
