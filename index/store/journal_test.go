package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func TestJournal(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{Delay: never})
	var ids []uint64
	for i := range 5 {
		id, err := s.Begin(fmt.Sprint("m", i), []byte{byte(i)})
		if err != nil || slices.Contains(ids, id) {
			t.Fatal(id, err)
		}
		ids = append(ids, id)
	}
	s.End(ids[1])
	s.End(ids[3])
	s.End(1000)
	unfinished := func() (list []string) {
		err := s.Unfinished(func(id uint64, m string, data []byte) error {
			list = append(list, fmt.Sprint(id, m, data))
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return list
	}
	var want []string
	for _, i := range []int{0, 2, 4} {
		want = append(want, fmt.Sprint(ids[i], fmt.Sprint("m", i), []byte{byte(i)}))
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, dir, Options{Delay: never})
		if got := unfinished(); !slices.Equal(got, want) {
			t.Errorf("unfinished %q, want %q", got, want)
		}
	}
	id, err := s.Begin("m", nil)
	if err != nil || slices.Contains([]uint64{ids[0], ids[2], ids[4]}, id) {
		t.Errorf("id %d is in use, %v", id, err)
	}
}

// TestDoubt has a record in the file whose commit failed, as far as memory knows.
func TestDoubt(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{Delay: never})
	id, err := s.Begin("m", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := record{"m", nil}
	var left []byte
	err = s.db.Load().Update(func(tx *bolt.Tx) error {
		b := new(batch)
		if b.buckets, err = openBuckets(tx); err != nil {
			return err
		}
		err := errors.Join(b.journal.Put(number(id-1), r.encode(id-1)), b.journal.Put(number(id+1), r.encode(id+1)),
			b.removeUnknown(&s.journal))
		return errors.Join(err, b.journal.ForEach(func(k, _ []byte) error { left = append(left, k...); return nil }))
	})
	if err != nil || string(left) != string(number(id)) {
		t.Errorf("left are %x, want %x, %v", left, id, err)
	}
}

// TestGroupCommit counts commits, which are the writer's transactions.
func TestGroupCommit(t *testing.T) {
	const removals = 200
	s := mustOpen(t, t.TempDir(), Options{Delay: never})
	before := transaction(t, s)
	var wg sync.WaitGroup
	ids := make([]uint64, removals)
	for i := range removals {
		wg.Go(func() {
			var err error
			if ids[i], err = s.Begin("m", make([]byte, 100)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != removals {
		t.Errorf("%d ids for %d removals", n, removals)
	}
	if n := transaction(t, s) - before; n < 1 || n > removals/4 {
		t.Errorf("%d commits for %d removals at once", n, removals)
	}
}

func transaction(t *testing.T, s *Store) uint64 {
	t.Helper()
	l, err := checkFile(s.path())
	if err != nil {
		t.Fatal(err)
	}
	return l.tx
}
