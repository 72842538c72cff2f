package index

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var drains = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// drain measures as the protocol would, without a rule.
func drain(r io.Reader) (octets int64, err error) {
	buf := drains.Get().(*[64 << 10]byte)
	defer drains.Put(buf)
	for {
		n, err := r.Read(buf[:])
		octets += int64(n)
		if err == io.EOF {
			return octets, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// BenchmarkLogin has what a login costs, by messages and by what has happened.
func BenchmarkLogin(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		dir := numbered(b, n)
		state := b.TempDir()
		o := Options{Measure: drain, State: state}
		open := func(b *testing.B, x *Index, want int) {
			m, err := x.Open(b.Context(), dir, "alice")
			if err != nil {
				b.Fatal(err)
			}
			if m.Len() != want {
				b.Fatalf("%d messages, not %d", m.Len(), want)
			}
			m.Close()
		}
		fresh := func(b *testing.B) *Index {
			x, err := New(o)
			if err != nil {
				b.Fatal(err)
			}
			return x
		}
		b.Run(fmt.Sprintf("first/%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				os.RemoveAll(state)
				os.Mkdir(state, 0o700)
				x := fresh(b)
				b.StartTimer()
				open(b, x, n)
				b.StopTimer()
				x.Close()
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("restart/%d", n), func(b *testing.B) {
			x := fresh(b)
			open(b, x, n)
			x.Close()
			time.Sleep(2 * clockGrain)
			b.ResetTimer()
			for b.Loop() {
				b.StopTimer()
				x := fresh(b)
				b.StartTimer()
				open(b, x, n)
				b.StopTimer()
				x.Close()
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("unchanged/%d", n), func(b *testing.B) {
			x := fresh(b)
			defer x.Close()
			open(b, x, n)
			for b.Loop() {
				open(b, x, n)
			}
		})
		b.Run(fmt.Sprintf("delivery/%d", n), func(b *testing.B) {
			x := fresh(b)
			defer x.Close()
			open(b, x, n)
			i := n
			for b.Loop() {
				b.StopTimer()
				tmp := filepath.Join(dir, "tmp", numberedName(i))
				os.WriteFile(tmp, []byte("x\n"), 0o600)
				if err := os.Rename(tmp, filepath.Join(dir, "new", numberedName(i))); err != nil {
					b.Fatal(err)
				}
				i++
				b.StartTimer()
				open(b, x, i)
			}
			b.StopTimer()
			for ; i > n; i-- {
				os.Remove(filepath.Join(dir, "new", numberedName(i-1)))
			}
		})
	}
}
