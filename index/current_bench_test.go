package index

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkDelivery is the time from a message's rename into new to its entry in
// the index, without any login. An iteration is 2,000 deliveries, one after the
// other.
func BenchmarkDelivery(b *testing.B) {
	for _, messages := range []int{10, 10_000} {
		b.Run(fmt.Sprint(messages), func(b *testing.B) {
			const deliveries = 2000
			dir := memory(b)
			makeNumbered(b, dir, messages)
			measured := make(chan bool, 1)
			x := newIndex(b, Options{State: memory(b), Measure: func(r io.Reader) (int64, error) {
				select {
				case measured <- true:
				default:
				}
				return drain(r)
			}})
			listing(b, x, dir)
			m := x.use(dir)
			defer x.release(m)
			have := messages
			var took []time.Duration
			for b.Loop() {
				for range deliveries {
					name := numberedName(have)
					tmp := filepath.Join(dir, "tmp", name)
					if err := os.WriteFile(tmp, []byte("Subject: x\n\ntext\n"), 0o600); err != nil {
						b.Fatal(err)
					}
					select {
					case <-measured:
					default:
					}
					start := time.Now()
					if err := os.Rename(tmp, filepath.Join(dir, "new", name)); err != nil {
						b.Fatal(err)
					}
					have++
					<-measured
					// Whoever measures has the mailbox until the entry is in it.
					for n := 0; n != have; {
						if err := m.lock(b.Context()); err != nil {
							b.Fatal(err)
						}
						n = len(m.list)
						m.unlock()
					}
					took = append(took, time.Since(start))
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "us-median")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "us-99%")
		})
	}
}

// BenchmarkEntryMemory is what an entry takes in memory beside its file name.
func BenchmarkEntryMemory(b *testing.B) {
	var counted, loaded float64
	for b.Loop() {
		counted, loaded = entryMemory(b)
	}
	b.ReportMetric(counted, "B-counted/entry")
	b.ReportMetric(loaded, "B-loaded/entry")
}
