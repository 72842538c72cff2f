package index

import (
	"errors"
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
			m, err := x.Open(b.Context(), dir, "alice", self)
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

// BenchmarkAs has what it costs to act as the owner: in a login with nothing
// changed, and in opening messages.
func BenchmarkAs(b *testing.B) {
	const n = 1000
	for name, o := range map[string]Options{"process": {}, "owner": {As: actAs}} {
		if o.As != nil && os.Getuid() != 0 {
			continue
		}
		dir := filepath.Join(b.TempDir(), "M")
		makeNumbered(b, dir, n)
		owner := ProcessOwner()
		if o.As != nil {
			owner = alice
			if err := os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o711); err != nil {
				b.Fatal(err)
			}
		}
		then := time.Now().Add(-2 * writeTime) // else they are looked at again
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			return errors.Join(err, os.Chtimes(path, then, then), os.Chown(path, int(owner.UID), int(owner.GID)))
		})
		if err != nil {
			b.Fatal(err)
		}
		age(b, dir)
		o.Measure, o.State = drain, b.TempDir()
		x := newIndex(b, o)
		open := func() *Mailbox {
			m, err := x.Open(b.Context(), dir, "alice", owner)
			if err != nil || m.Len() != n {
				b.Fatal(m, err)
			}
			return m
		}
		open().Close()
		b.Run("login/"+name, func(b *testing.B) {
			for b.Loop() {
				open().Close()
			}
		})
		m := open()
		for _, batch := range []int{1, 16} {
			b.Run(fmt.Sprintf("open/%d/%s", batch, name), func(b *testing.B) {
				files := make([]*File, batch)
				for i := 0; b.Loop(); i += batch {
					if got, err := m.OpenMessages(i%(n-batch), files); got != batch || err != nil {
						b.Fatal(got, err)
					}
					for _, f := range files {
						f.Close()
					}
				}
			})
		}
		m.Close()
	}
}
