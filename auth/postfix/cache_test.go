package postfix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// An answer serves again, and one run serves all who ask at a time, until the
// table changes.
func TestCache(t *testing.T) {
	t.Parallel()
	f := newFake(t, "", func(o *Options) { o.CacheTime = time.Hour })
	f.write("index.db", "a\t1\nslow\ts\n")
	table := must(f.Table("hash:" + f.dir + "/index"))
	f.lookup(table, "a", "1")
	f.lookup(table, "a", "1")
	f.wantRuns(2) // the table has only just changed
	settle()
	// What was answered before that does not serve: it may be another version's.
	for range 3 {
		f.lookup(table, "a", "1")
		f.lookup(table, "b", "")
	}
	f.wantRuns(2)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { f.lookup(table, "slow", "s") })
	}
	all.Wait()
	f.wantRuns(1)
	f.write("index.db", "a\t2\n")
	f.lookup(table, "a", "2")
	f.write("index.db", "a\t3\n")
	f.lookup(table, "a", "3")
	f.wantRuns(2)
}

// What was not found is asked again sooner than what was.
func TestCacheTime(t *testing.T) {
	t.Parallel()
	f := newFake(t, "", func(o *Options) { o.CacheTime = 3 * time.Second })
	f.write("index.db", "a\t1\n")
	table := must(f.Table("hash:" + f.dir + "/index"))
	settle()
	f.lookup(table, "a", "1")
	f.lookup(table, "b", "")
	f.wantRuns(2)
	time.Sleep(3*time.Second/negativeShare + 50*time.Millisecond)
	f.lookup(table, "a", "1")
	f.lookup(table, "b", "")
	f.wantRuns(1)
	f.cacheTime = 50 * time.Millisecond
	f.lookup(table, "c", "")
	f.write("index.db", "a\t1\nc\t2\n")
	settle()
	f.runs("map")
	f.lookup(table, "c", "2")
	time.Sleep(60 * time.Millisecond)
	f.lookup(table, "c", "2")
	f.wantRuns(2)
}

func TestCacheOff(t *testing.T) {
	t.Parallel()
	f := newFake(t, "", func(o *Options) { o.CacheTime = -1 })
	f.write("index.db", "a\t1\n")
	table := must(f.Table("hash:" + f.dir + "/index"))
	settle()
	for range 3 {
		f.lookup(table, "a", "1")
	}
	f.wantRuns(3)
}

// A database that is down costs no process for each login, and is back soon.
func TestFaults(t *testing.T) {
	f := newFake(t, "")
	table := must(f.Table("mysql:" + f.dir + "/down"))
	fails := func(key string) {
		t.Helper()
		if _, _, err := table.Lookup(t.Context(), key); !errors.Is(err, ErrTemporary) {
			t.Errorf("%s: %v", key, err)
		}
	}
	start := time.Now()
	for n := range 50 {
		fails("same")
		fails(fmt.Sprint("key", n))
	}
	if n, most := f.runs("map"), int(time.Since(start)/pauseTime)+2; n > most {
		t.Errorf("postmap ran %d times, at most %d expected", n, most)
	}
	f.write("down", "key0\tup\n")
	time.Sleep(pauseTime)
	if value, ok, err := table.Lookup(t.Context(), "key0"); value != "up" || !ok || err != nil {
		t.Errorf("after it came up: %q %v %v", value, ok, err)
	}
}

// Who leaves while postmap runs is told so, and the others get their answer.
func TestLookupCancelled(t *testing.T) {
	t.Parallel()
	f := newFake(t, "")
	f.write("index.db", "slow\ts\n")
	table := must(f.Table("hash:" + f.dir + "/index"))
	settle()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		if _, _, err := table.Lookup(ctx, "slow"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrTemporary) {
			t.Errorf("the one who left: %v", err)
		}
	})
	time.Sleep(20 * time.Millisecond)
	all.Go(func() {
		if value, _, err := table.Lookup(t.Context(), "slow"); value != "s" || err != nil {
			t.Errorf("the one who stayed: %q %v", value, err)
		}
	})
	all.Wait()
}

// No more processes run at once than are allowed.
func TestSlots(t *testing.T) {
	f := newFake(t, "")
	script := "#!/bin/sh\nread -r key\nmkdir " + f.dir + "/running/$$\nls " + f.dir + "/running | wc -l >>" + f.dir +
		"/most\nsleep 0.05\nrmdir " + f.dir + "/running/$$\nexit 1\n"
	if err := os.WriteFile(f.postmap, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.dir+"/running", 0o755); err != nil {
		t.Fatal(err)
	}
	table := must(f.Table("mysql:" + f.dir + "/x"))
	var all sync.WaitGroup
	for n := range 5 * lookups {
		all.Go(func() {
			if _, ok, err := table.Lookup(t.Context(), fmt.Sprint(n)); ok || err != nil {
				t.Error(ok, err)
			}
		})
	}
	all.Wait()
	lines := strings.Fields(string(must(os.ReadFile(f.dir + "/most"))))
	if len(lines) != 5*lookups {
		t.Errorf("%d runs", len(lines))
	}
	for _, n := range lines {
		if n > fmt.Sprint(lookups) {
			t.Errorf("%s at once", n)
		}
	}
}

func TestCacheBound(t *testing.T) {
	var c cache
	until := time.Now().Add(time.Hour)
	for n := range maxEntries + 100 {
		c.put(entryID{key: fmt.Sprint(n)}, entry{until: until})
	}
	if len(c.entries) != maxEntries {
		t.Errorf("%d entries", len(c.entries))
	}
	c.put(entryID{key: "big"}, entry{value: strings.Repeat("x", maxValue+1), until: until})
	if _, ok := c.get(entryID{key: "big"}, "", time.Now()); ok {
		t.Error("a big value is kept")
	}
}
