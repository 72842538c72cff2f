package store

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const benchEntries = 100_000

// entries gives n entries as an index has them: keys of 40 bytes, values of 20.
func entries(n int) []Entry {
	es := make([]Entry, n)
	for i := range es {
		es[i] = Entry{fmt.Appendf(nil, "%010d.M%06dP%08d.mx1.example.org", 1700000000+i, i%1000000, i)[:40], fmt.Appendf(nil, "%020d", i)}
	}
	return es
}

func BenchmarkLoad(b *testing.B) {
	s := mustOpen(b, b.TempDir(), Options{})
	s.Update(Update{Mailbox: "m", Clear: true, Put: entries(benchEntries)})
	mustFlush(b, s)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		found, err := s.Load("m", func([]byte) error { return nil }, func(k, v []byte) error { n++; return nil })
		if !found || err != nil || n != benchEntries {
			b.Fatal(found, err, n)
		}
	}
}

// BenchmarkPut has 100,000 entries come one by one, and be committed.
func BenchmarkPut(b *testing.B) {
	es := entries(benchEntries)
	s := mustOpen(b, b.TempDir(), Options{})
	before := processorTime()
	for b.Loop() {
		s.Update(Update{Mailbox: "m", Clear: true, Header: []byte("h")})
		for i := range es {
			s.Update(Update{Mailbox: "m", Put: es[i : i+1]})
		}
		mustFlush(b, s)
	}
	b.ReportMetric(float64((processorTime()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
}

// BenchmarkUpdate is what the caller waits for.
func BenchmarkUpdate(b *testing.B) {
	es := entries(benchEntries)
	s := mustOpen(b, b.TempDir(), Options{Delay: never, Count: 2 * benchEntries})
	s.Update(Update{Mailbox: "m", Clear: true})
	mustFlush(b, s)
	for i := 0; b.Loop(); i++ {
		if i%benchEntries == benchEntries-1 {
			b.StopTimer()
			mustFlush(b, s)
			b.StartTimer()
		}
		s.Update(Update{Mailbox: "m", Put: es[i%benchEntries : i%benchEntries+1]})
	}
}

func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkBegin(b *testing.B) {
	s := mustOpen(b, b.TempDir(), Options{})
	data := make([]byte, 1000)
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			id, err := s.Begin("m", data)
			if err != nil {
				b.Error(err)
			}
			s.End(id)
		}
	})
}

// BenchmarkCheck is what Open reads of a file with a million entries.
func BenchmarkCheck(b *testing.B) {
	dir := b.TempDir()
	s := mustOpen(b, dir, Options{})
	es := entries(benchEntries)
	for i := range 10 {
		s.Update(Update{Mailbox: fmt.Sprint("mailbox", i), Clear: true, Put: es})
	}
	mustFlush(b, s)
	path := s.path()
	for b.Loop() {
		if _, err := checkFile(path); err != nil {
			b.Fatal(err)
		}
	}
}
