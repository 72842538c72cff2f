package index

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"sidepop/index/watch"
)

// heap is the bytes in use.
func heap() int64 {
	var s runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// rest waits until nothing is left to do, so that the index's memory can be
// measured.
func rest(t testing.TB, x *Index) {
	t.Helper()
	eventually(t, "nobody is at work", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, m := range x.mailboxes {
			if m.refs > 0 {
				return false
			}
		}
		return true
	})
	if err := x.store.Flush(); err != nil {
		t.Fatal(err)
	}
}

// entryMemory measures what an entry costs in memory beside its file name: after
// counting, and after being loaded from the store.
func entryMemory(t testing.TB) (counted, loaded float64) {
	const messages = 100_000
	dir, state := memory(t), memory(t)
	makeNumbered(t, dir, 0)
	names := int64(0)
	for i := range messages {
		name := numberedName(i) + ".mx1.example.net:2,S"
		if err := os.WriteFile(filepath.Join(dir, "cur", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		names += int64(len(name))
	}
	age(t, dir)
	measure := func() float64 {
		x := newIndex(t, Options{State: state})
		before := heap()
		m, err := x.Open(t.Context(), dir, "", self)
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		rest(t, x)
		after := heap()
		if m.Len() != messages {
			t.Fatalf("%d messages", m.Len())
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		return float64(after-before-names) / messages
	}
	return measure(), measure()
}

func TestEntryMemory(t *testing.T) {
	const most = slower * 100
	counted, loaded := entryMemory(t)
	t.Logf("an entry takes %.1f bytes beside its name when counted, %.1f when loaded", counted, loaded)
	if counted > most || loaded > most {
		t.Errorf("an entry takes more than %d bytes", most)
	}
	if counted < 80 || loaded < 80 {
		t.Error("that cannot be: an entry alone has 80")
	}
}

// nobodyListens is a Handler without an index.
type nobodyListens struct{}

func (nobodyListens) Touched(string, string) {}
func (nobodyListens) Lost(string)            {}
func (nobodyListens) Overflow()              {}

// TestInactiveMemory has many mailboxes that were opened once and are not used
// any more. With a watch they cost what the watch takes for their folders.
func TestInactiveMemory(t *testing.T) {
	const (
		mailboxes = 10_000
		most      = slower * 200
	)
	root := memory(t)
	dirs := make([]string, mailboxes)
	for i := range dirs {
		dirs[i] = filepath.Join(root, fmt.Sprintf("example.net/user%05d/Maildir", i))
		for _, f := range folderNames {
			if err := os.MkdirAll(filepath.Join(dirs[i], f), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dirs[i], "new", numberedName(i)), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	watches := func() int64 {
		before := heap()
		w, err := watch.New(filepath.Join(t.TempDir(), "cookies"), nobodyListens{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for _, dir := range dirs {
			d, err := openDirs(dir, false, new(haste))
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range folderNames {
				if _, err := w.Add(dir+"/"+f, d.fd(folder(i))); err != nil {
					t.Fatal(err)
				}
			}
			d.close()
		}
		return heap() - before
	}()
	for name, mode := range map[string]Watch{"all": WatchAll, "active": WatchActive, "none": WatchNone} {
		x := newIndex(t, Options{State: memory(t), Watch: mode})
		before := heap()
		for _, dir := range dirs {
			m, err := x.Open(t.Context(), dir, "alice", self)
			if err != nil {
				t.Fatal(err)
			}
			m.Close()
		}
		rest(t, x)
		inUse := heap() - before
		x.sweep(time.Now().Add(2 * DefaultKeep))
		if n := len(x.mailboxes); n > 0 {
			t.Fatalf("watch %s: %d mailboxes are in memory", name, n)
		}
		took := heap() - before
		if mode != WatchNone { // what was needed for watches is kept for the next ones
			took -= watches
			inUse -= watches
		}
		t.Logf("watch %s: a mailbox takes %d bytes in use, %d after that (the watch of one: %d)",
			name, inUse/mailboxes, took/mailboxes, watches/mailboxes)
		if took > most*mailboxes {
			t.Errorf("watch %s: a mailbox that nobody uses takes %d bytes, more than %d", name, took/mailboxes, most)
		}
		runtime.KeepAlive(dirs)
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
