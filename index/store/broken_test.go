package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

const pageSize = 4096

// sample makes a store with everything in it, a tree of three levels included,
// and gives the file and what it holds.
func sample(t testing.TB) (file []byte, want map[string]string) {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	want = make(map[string]string)
	for i := range 20 {
		m := fmt.Sprint("mailbox", i)
		s.Update(Update{Mailbox: m, Clear: true, Header: []byte(m), Put: entries(20 * (i + 1))})
		if i%5 == 0 {
			s.Update(Update{Mailbox: m, Drop: true})
		}
		if i%3 == 0 {
			mustFlush(t, s)
		}
	}
	for i := range 3 {
		if _, err := s.Begin(fmt.Sprint("journal", i), make([]byte, 3000*i)); err != nil {
			t.Fatal(err)
		}
	}
	s.Update(Update{Mailbox: "big", Clear: true, Header: make([]byte, 10_000), Put: []Entry{{[]byte("k"), make([]byte, maxValue)}}})
	mustFlush(t, s)
	for i := range 20 {
		m := fmt.Sprint("mailbox", i)
		want[m] = load(t, s, m)
	}
	want["big"] = load(t, s, "big")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(s.path())
	if err != nil {
		t.Fatal(err)
	}
	l, err := checkFile(s.path())
	if err != nil {
		t.Fatal(err)
	}
	return file[:l.size()], want
}

// exercise opens a store that holds this file, reads, changes and reopens it.
// What is there must be right, whatever the file, and a store must work after.
func exercise(t *testing.T, about string, file []byte, want map[string]string) *notices {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), file, 0o600); err != nil {
		t.Fatal(err)
	}
	n := new(notices)
	s, err := Open(dir, Options{Note: n.note, Delay: time.Millisecond})
	if err != nil {
		t.Fatalf("%s: %v", about, err)
	}
	compare := func() {
		t.Helper()
		for m, w := range want {
			if got := load(t, s, m); got != "none" && got != w {
				t.Errorf("%s: %s holds %.80q, want %.80q", about, m, got, w)
			}
		}
	}
	compare()
	if err := s.Mailboxes(func(m string, h []byte) error {
		if want[m] == "" || !strings.HasPrefix(want[m], string(h)+":") {
			t.Errorf("%s: mailbox %q", about, m)
		}
		return nil
	}); err != nil {
		t.Errorf("%s: %v", about, err)
	}
	for m := range want {
		s.Update(Update{Mailbox: m, Delete: [][]byte{entries(3)[2].Key}})
		s.Update(Update{Mailbox: m, Put: entries(3)[2:]})
	}
	s.Update(Update{Mailbox: "mailbox7", Drop: true})
	id, err := s.Begin("m", []byte("data"))
	if err != nil {
		t.Fatalf("%s: %v", about, err)
	}
	s.Update(Update{Mailbox: "new", Clear: true, Put: put("a=1")})
	mustFlush(t, s)
	if load(t, s, "new") == "none" { // one that was found damaged only now
		s.Update(Update{Mailbox: "new", Clear: true, Put: put("a=1")})
		mustFlush(t, s)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("%s: %v", about, err)
	}
	s, err = Open(dir, Options{Note: n.note})
	if err != nil {
		t.Fatalf("%s, again: %v", about, err)
	}
	defer s.Close()
	if got := load(t, s, "new"); got != ": a=1" {
		t.Errorf("%s: the new mailbox holds %q", about, got)
	}
	if r, ok := s.journal.get(id); !ok || string(r.data) != "data" {
		t.Errorf("%s: the journal has lost a record", about)
	}
	return n
}

func TestTruncated(t *testing.T) {
	file, want := sample(t)
	if n := exercise(t, "whole", file, want); len(n.list) != 0 {
		t.Errorf("the whole file: %+v", n.list)
	}
	for at := 0; at < len(file); at += pageSize {
		n := exercise(t, fmt.Sprintf("cut at %d of %d", at, len(file)), file[:at], want)
		if w := min(at, 1); n.count(SetAside) != w || len(n.list) != w {
			t.Errorf("cut at %d: %+v", at, n.list)
		}
	}
	for _, at := range []int{1, 100, pageSize - 1, 2*pageSize + 17, len(file) - 1} {
		n := exercise(t, fmt.Sprintf("cut at %d of %d", at, len(file)), file[:at], want)
		if n.count(SetAside) != 1 {
			t.Errorf("cut at %d: %+v", at, n.list)
		}
	}
}

// TestFlipped changes bytes. It need not be noticed where nothing is read: in
// free pages, between elements, in the older meta page.
func TestFlipped(t *testing.T) {
	file, want := sample(t)
	rnd := newRand(2)
	noticed := 0
	const rounds = 150
	for round := range rounds {
		b := append([]byte(nil), file...)
		var at []int
		for range 1 + rnd.IntN(8) {
			i := rnd.IntN(len(b))
			if rnd.IntN(2) == 0 { // half of them where the structure is
				i = i/pageSize*pageSize + rnd.IntN(200)
			}
			b[i] ^= byte(1 + rnd.IntN(255))
			at = append(at, i)
		}
		if exercise(t, fmt.Sprintf("round %d, flipped %d", round, at), b, want).count(SetAside) > 0 {
			noticed++
		}
	}
	if noticed < rounds/2 {
		t.Errorf("%d of %d damaged files were noticed", noticed, rounds)
	}
}

// TestPages puts pages in the places of others.
func TestPages(t *testing.T) {
	file, want := sample(t)
	rnd := newRand(3)
	pages := len(file) / pageSize
	for range 40 {
		b := append([]byte(nil), file...)
		from, to := rnd.IntN(pages), rnd.IntN(pages)
		copy(b[to*pageSize:(to+1)*pageSize], file[from*pageSize:])
		exercise(t, fmt.Sprintf("page %d in the place of %d", from, to), b, want)
		native.PutUint64(b[to*pageSize:], uint64(to))
		exercise(t, fmt.Sprintf("page %d as %d", from, to), b, want)
	}
}

func checkBytes(t *testing.T, file []byte) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), fileName)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := checkFile(path)
	return err
}

// TestCrafted has damage that bbolt might not survive: it is noticed before.
func TestCrafted(t *testing.T) {
	file, want := sample(t)
	find := func(flags uint16) int {
		for at := 2 * pageSize; at < len(file); at += pageSize {
			if native.Uint16(file[at+8:]) == flags && native.Uint64(file[at:]) == uint64(at/pageSize) {
				b := append([]byte(nil), file...)
				native.PutUint16(b[at+8:], 0)
				if checkBytes(t, b) != nil { // it is in use
					return at
				}
			}
		}
		t.Fatalf("no page with flags %x", flags)
		return 0
	}
	branch, list := find(flagBranch), find(flagFree)
	for _, tt := range []struct {
		about string
		at    int
		bytes []byte
	}{
		{"a branch that leads to itself", branch + pageHeader + 8, native.AppendUint64(nil, uint64(branch/pageSize))},
		{"a branch that leads to a meta page", branch + pageHeader + 8, native.AppendUint64(nil, 1)},
		{"a branch that leads nowhere", branch + pageHeader + 8, native.AppendUint64(nil, 1<<60)},
		{"a branch that leads to one page twice", branch + pageHeader + elementSize + 8, file[branch+pageHeader+8:][:8]},
		{"a key far away", branch + pageHeader, native.AppendUint32(nil, 1<<31)},
		{"too many branches", branch + 10, native.AppendUint16(nil, 0xFFFE)},
		{"no branches", branch + 10, native.AppendUint16(nil, 0)},
		{"a branch of a million pages", branch + 12, native.AppendUint32(nil, 1<<20)},
		{"a branch of all pages there can be", branch + 12, native.AppendUint32(nil, 1<<32-1)},
		{"a list of too many pages", list + 10, native.AppendUint16(nil, 0xFFFE)},
		{"a list of 2^56 pages", list + 8, append(native.AppendUint16(native.AppendUint16(nil, flagFree), manyFree),
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)},
		{"a free page in use", list + pageHeader, native.AppendUint64(nil, uint64(branch/pageSize))},
		{"a free page beyond the end", list + pageHeader, native.AppendUint64(nil, 1<<40)},
	} {
		b := append([]byte(nil), file...)
		copy(b[tt.at:], tt.bytes)
		if err := checkBytes(t, b); !isBroken(err) {
			t.Errorf("%s: checked, %v", tt.about, err)
			continue
		}
		if n := exercise(t, tt.about, b, want); n.count(SetAside) != 1 || len(n.list) != 1 {
			t.Errorf("%s: %+v", tt.about, n.list)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, tt := range []struct {
		about  string
		change func(*bolt.Tx) error
	}{
		{"another version", func(tx *bolt.Tx) error {
			return tx.Bucket(bucketAbout).Put(keyFormat, []byte("sidepop index 0"))
		}},
		{"no version", func(tx *bolt.Tx) error { return tx.Bucket(bucketAbout).Delete(keyFormat) }},
		{"of another program", func(tx *bolt.Tx) error {
			_, err := tx.CreateBucket([]byte("mine"))
			return errors.Join(err, tx.DeleteBucket(bucketAbout))
		}},
		{"without a part", func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketEntries) }},
	} {
		dir := t.TempDir()
		if err := mustOpen(t, dir, Options{}).Close(); err != nil {
			t.Fatal(err)
		}
		db, err := bolt.Open(filepath.Join(dir, fileName), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(tt.change), db.Close()); err != nil {
			t.Fatal(err)
		}
		var n notices
		s := mustOpen(t, dir, Options{Note: n.note})
		if len(n.list) != 1 || n.list[0].Event != SetAside || n.list[0].Err == nil {
			t.Errorf("%s: %+v", tt.about, n.list)
			continue
		}
		if _, err := os.Stat(n.list[0].Path); err != nil || !strings.HasPrefix(n.list[0].Path, s.path()+".broken-") {
			t.Errorf("%s: set aside as %s, %v", tt.about, n.list[0].Path, err)
		}
	}
}

// TestMissing begins with no file, and with one that bbolt made and nothing else.
func TestMissing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, compactName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	note := func(n Notice) { t.Errorf("%+v", n) }
	s := mustOpen(t, dir, Options{Note: note})
	if info, err := os.Stat(s.path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	dir = t.TempDir()
	db, err := bolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, Options{Note: note})
	s.Update(Update{Mailbox: "m", Clear: true})
	mustFlush(t, s)
	if load(t, s, "m") != ":" {
		t.Error("nothing was stored")
	}
}

func TestBrokenKept(t *testing.T) {
	dir := t.TempDir()
	for range keptBroken + 3 {
		if err := os.WriteFile(filepath.Join(dir, fileName), make([]byte, 5*pageSize), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := mustOpen(t, dir, Options{}).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := filepath.Glob(filepath.Join(dir, brokenName+"*")); err != nil || len(kept) != keptBroken {
		t.Errorf("kept %q, %v", kept, err)
	}
}

// TestDamagedOpen damages the file of a store in use. The journal survives.
func TestDamagedOpen(t *testing.T) {
	for _, tt := range []struct {
		about  string
		damage func(f *os.File, size int64) error
	}{
		{"cut to nothing", func(f *os.File, size int64) error { return f.Truncate(0) }},
		{"cut to the meta pages", func(f *os.File, size int64) error { return f.Truncate(2 * pageSize) }},
		{"zeros", func(f *os.File, size int64) error {
			_, err := f.WriteAt(make([]byte, size-2*pageSize), 2*pageSize)
			return err
		}},
		{"ones", func(f *os.File, size int64) error {
			_, err := f.WriteAt([]byte(strings.Repeat("\xff", int(size-2*pageSize))), 2*pageSize)
			return err
		}},
		{"ones throughout", func(f *os.File, size int64) error {
			_, err := f.WriteAt([]byte(strings.Repeat("\xff", int(size))), 0)
			return err
		}},
	} {
		for _, readFirst := range []bool{true, false} {
			about := fmt.Sprint(tt.about, ", read first: ", readFirst)
			dir := t.TempDir()
			var n notices
			s := mustOpen(t, dir, Options{Note: n.note, Delay: never})
			s.Update(Update{Mailbox: "m", Clear: true, Header: []byte("h"), Put: entries(2000)})
			id, err := s.Begin("m", []byte("data"))
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(s.path(), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(tt.damage(f, info.Size()), f.Close()); err != nil {
				t.Fatal(err)
			}
			if readFirst && load(t, s, "m") != "none" {
				t.Errorf("%s: a damaged mailbox was found", about)
			}
			s.Update(Update{Mailbox: "m", Put: put("z=1")})
			s.Update(Update{Mailbox: "n", Clear: true, Put: put("a=1")})
			mustFlush(t, s)
			if load(t, s, "m") != "none" || load(t, s, "n") != ": a=1" {
				t.Errorf("%s: %.80q and %q", about, load(t, s, "m"), load(t, s, "n"))
			}
			if n.count(SetAside) != 1 || len(n.list) != 1 {
				t.Errorf("%s: %+v", about, n.list)
			}
			if err := s.Close(); err != nil {
				t.Errorf("%s: %v", about, err)
			}
			s = mustOpen(t, dir, Options{})
			if r, ok := s.journal.get(id); !ok || string(r.data) != "data" {
				t.Errorf("%s: the journal has lost its record", about)
			}
		}
	}
}

// TestDamagedBusy cuts the file again and again while everybody uses the store.
func TestDamagedBusy(t *testing.T) {
	dir := t.TempDir()
	var n notices
	s := mustOpen(t, dir, Options{Note: n.note, Delay: time.Millisecond, Count: 100})
	es := entries(500)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		m := fmt.Sprint(i)
		wg.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-stop:
					return
				default:
				}
				s.Update(Update{Mailbox: m, Clear: round%10 == 0, Put: es[round%10*50:][:50]})
				if got := load(t, s, m); got != "none" && strings.Count(got, "=")%50 != 0 {
					t.Errorf("mailbox %s has %d entries", m, strings.Count(got, "="))
				}
				id, err := s.Begin(m, []byte(m))
				if err != nil {
					t.Error(err)
				}
				if round%10 > 0 {
					s.End(id)
				}
			}
		})
	}
	for range 10 {
		mustFlush(t, s) // there is a new file
		before := n.count(SetAside)
		if err := os.Truncate(s.path(), 2*pageSize); err != nil {
			t.Error(err)
		}
		until(t, func() bool { return n.count(SetAside) > before })
	}
	close(stop)
	wg.Wait()
	mustFlush(t, s)
	ids := s.journal.ids()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = mustOpen(t, dir, Options{})
	if again := s.journal.ids(); !slices.Equal(again, ids) || len(ids) == 0 {
		t.Errorf("the journal has %d records, then %d", len(ids), len(again))
	}
}
