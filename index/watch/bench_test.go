package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

type ignore struct{}

func (ignore) Touched(dir, name string) {}
func (ignore) Lost(dir string)          {}
func (ignore) Overflow()                {}

// reportCPU adds the processor time of the whole process to the figures.
func reportCPU(b *testing.B) {
	cpu := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := cpu()
	b.Cleanup(func() { b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op") })
}

func BenchmarkSync(b *testing.B) {
	for _, callers := range []int{1, 8, 1000} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			w := newWatcher(b, ignore{})
			mustSync(b, w)
			todo := make(chan struct{}, b.N)
			for range b.N {
				todo <- struct{}{}
			}
			close(todo)
			reportCPU(b)
			b.ReportAllocs()
			b.ResetTimer()
			made := w.cookies.n
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range todo {
						if err := w.Sync(b.Context()); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(w.cookies.n-made)/float64(b.N), "cookies/op")
		})
	}
}

// BenchmarkAddSame is what an Add costs of what is watched already.
func BenchmarkAddSame(b *testing.B) {
	w, dir := newWatcher(b, ignore{}), b.TempDir()
	add(b, w, dir)
	b.ReportAllocs()
	for b.Loop() {
		if fresh, err := addPath(w, dir); fresh || err != nil {
			b.Fatal(fresh, err)
		}
	}
}

// BenchmarkEvents is what one event costs from its cause to the Handler.
func BenchmarkEvents(b *testing.B) {
	w, dir := newWatcher(b, ignore{}), memory(b)
	add(b, w, dir)
	paths := [2]string{filepath.Join(dir, "1712345677.M1P2.mx1:2,"), filepath.Join(dir, "1712345677.M1P2.mx1:2,S")}
	touch(b, paths[0])
	reportCPU(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if err := os.Rename(paths[i%2], paths[1-i%2]); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 0 {
			mustSync(b, w)
		}
	}
	mustSync(b, w)
}

// BenchmarkAdd watches 10,000 directories and reports the memory of the process
// for each.
func BenchmarkAdd(b *testing.B) {
	const mailboxes = 5000
	root := b.TempDir()
	dirs := make([]string, 0, 2*mailboxes)
	for i := range mailboxes {
		for _, folder := range []string{"new", "cur"} {
			dirs = append(dirs, mkdir(b, root, fmt.Sprintf("user%05d", i), "Maildir", folder))
		}
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		b.StopTimer()
		w := newWatcher(b, ignore{})
		before := heap()
		b.StartTimer()
		for _, dir := range dirs {
			add(b, w, dir)
		}
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/float64(len(dirs)), "heap-B/dir")
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
