package store

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestGarbage clears a large mailbox again and again: its pages are used anew.
func TestGarbage(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{Delay: time.Millisecond})
	es := entries(3 * collectCount)
	var first int64
	for i := range 6 {
		s.Update(Update{Mailbox: "m", Clear: true, Put: es})
		mustFlush(t, s)
		until(t, func() bool {
			mustFlush(t, s)
			left := -1
			if err := s.view(func(b buckets, _ *bool) error { left = b.trash.Inspect().KeyN; return nil }); err != nil {
				t.Fatal(err)
			}
			return left == 0
		})
		info, err := os.Stat(s.path())
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			first = info.Size()
		}
		if i > 2 && info.Size() > first+first/2 {
			t.Errorf("the file has grown from %d to %d bytes", first, info.Size())
		}
	}
}

func TestCompact(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	for i := range 5 {
		s.Update(Update{Mailbox: fmt.Sprint(i), Clear: true, Put: entries(benchEntries)})
		mustFlush(t, s)
	}
	for i := range 4 {
		s.Update(Update{Mailbox: fmt.Sprint(i), Drop: true})
	}
	for range 4*benchEntries/collectCount + 1 {
		mustFlush(t, s)
	}
	if _, err := s.Begin("m", []byte("record")); err != nil {
		t.Fatal(err)
	}
	want := load(t, s, "4")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(s.path())
	var n notices
	s = mustOpen(t, dir, Options{Note: n.note})
	after, err := os.Stat(s.path())
	if err != nil || n.count(Compacted) != 1 || len(n.list) != 1 || after.Size() > before.Size()/2 {
		t.Errorf("%d bytes, then %d: %+v, %v", before.Size(), after.Size(), n.list, err)
	}
	if after.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", after.Mode())
	}
	if load(t, s, "4") != want || load(t, s, "3") != "none" || len(s.journal.ids()) != 1 {
		t.Error("compaction has changed what is there")
	}
	// Numbers of mailboxes are not used twice.
	s.Update(Update{Mailbox: "new", Clear: true, Put: put("a=1")})
	mustFlush(t, s)
	if load(t, s, "new") != ": a=1" || load(t, s, "4") != want {
		t.Error("a mailbox made after compaction")
	}
}
