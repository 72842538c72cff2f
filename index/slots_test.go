package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestSlots has who gets the only slot next. Each who waits gives it back at once.
func TestSlots(t *testing.T) {
	for _, c := range []struct{ waiting, want string }{
		{"", ""}, {"b", "b"}, {"lll", "lll"}, {"bbl", "lbb"}, {"blbl", "llbb"},
		{"bb" + strings.Repeat("l", urgentRow+2), strings.Repeat("l", urgentRow) + "bllb"},
	} {
		s := newSlots(1)
		if err := s.take(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		got := make(chan rune, len(c.waiting))
		for i, who := range c.waiting {
			go func() {
				if err := s.take(t.Context(), who == 'l'); err != nil {
					t.Error(err)
				}
				got <- who
				s.give()
			}()
			for queued := 0; queued <= i; runtime.Gosched() {
				s.mu.Lock()
				queued = len(s.waiting[0]) + len(s.waiting[1])
				s.mu.Unlock()
			}
		}
		s.give()
		var order strings.Builder
		for range c.waiting {
			order.WriteRune(<-got)
		}
		if order.String() != c.want {
			t.Errorf("%s: the order is %s, want %s", c.waiting, order.String(), c.want)
		}
	}
}

// TestSlotsGivenUp: whoever does not wait any more has no slot, and takes none along.
func TestSlotsGivenUp(t *testing.T) {
	s := newSlots(1)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, urgent := range []bool{false, true} {
		if err := s.take(done, urgent); err != nil { // it is free
			t.Fatal(err)
		}
		if err := s.pause(done, urgent); err != nil { // nobody waits
			t.Fatal(err)
		}
		for range 100 {
			if err := s.take(done, urgent); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		s.give()
	}
	if s.free != 1 || len(s.waiting[0])+len(s.waiting[1]) > 0 {
		t.Errorf("%d free, %d wait", s.free, len(s.waiting[0])+len(s.waiting[1]))
	}
}

// sparse makes files of a size that cost no space.
func sparse(t *testing.T, dir string, n int, size int64) {
	t.Helper()
	for i := range n {
		path := filepath.Join(dir, "new", fmt.Sprintf("%d.sparse", i))
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
			t.Fatal(err)
		}
	}
}

// readBy measures messages, and counts the bytes of all.
func readBy(read *atomic.Int64) func(io.Reader) (int64, error) {
	return func(r io.Reader) (int64, error) { return drain(&tallied{r, read}) }
}

type tallied struct {
	io.Reader
	n *atomic.Int64
}

func (r *tallied) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	return n, err
}

// TestCountingTurns: owners whose mail takes long to count keep neither others'
// logins waiting nor others' mail from being counted before these. What counts is
// how much of the others' was counted meanwhile: how long that takes is a matter of
// what else the machine does.
func TestCountingTurns(t *testing.T) {
	const (
		logins = 3
		most   = 20 * piece // in all of them, each of which has a few turns
	)
	var hogs []string
	for range runtime.GOMAXPROCS(0) { // for each worker one
		dir := maildirWith(t, nil)
		sparse(t, dir, 4*together, 256<<20)
		hogs = append(hogs, dir)
	}
	few := maildirWith(t, nil) // not too many for one go
	sparse(t, few, 2, maxMessage)
	var read atomic.Int64
	x := newIndex(t, Options{State: t.TempDir(), Measure: readBy(&read)})
	counting := func() (n int) {
		for _, dir := range hogs {
			m := x.use(dir)
			if m.counting.total.Load() > 0 {
				n++
			}
			x.release(m)
		}
		return n
	}
	for _, dir := range hogs {
		x.Know(dir, self)
	}
	eventually(t, "the workers are at work", func() bool { return counting() == len(hogs) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	login := make(chan error)
	go func() { // one that takes long as well
		_, err := x.Open(ctx, few, "", self)
		login <- err
	}()
	prepared := numbered(t, 10)
	x.Know(prepared, self)
	var meanwhile int64
	for range logins {
		dir := numbered(t, 5*together)
		before := read.Load()
		if got := len(listing(t, x, dir)); got != 5*together {
			t.Errorf("%d messages", got)
		}
		meanwhile += read.Load() - before
	}
	t.Logf("%d pieces of others' mail were counted during %d logins", meanwhile/piece, logins)
	if meanwhile > most {
		t.Errorf("%d bytes of others' mail were counted during %d logins, want at most %d", meanwhile, logins, int64(most))
	}
	eventually(t, "others' mail is counted", func() bool {
		m := x.use(prepared)
		defer x.release(m)
		if !m.tryLock() {
			return false
		}
		defer m.unlock()
		return len(m.list) == 10
	})
	// A login that waits for its own mailbox gets what was counted by then.
	some, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := x.Open(some, hogs[0], "", self); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a login in the midst: %v", err)
	}
	cancel()
	if err := <-login; !errors.Is(err, context.Canceled) {
		t.Errorf("a login that was given up: %v", err)
	}
	eventually(t, "the workers are at it again", func() bool { return counting() == len(hogs) })
}

// TestTooLarge: a file that would take for ever is not served.
func TestTooLarge(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "1", "cur/2.b": "2"})
	for name, size := range map[string]int64{"new/3.tib": 4 << 40, "new/4.byte": maxMessage + 1} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
			t.Fatal(err)
		}
	}
	var told skips
	x := newIndex(t, Options{Events: &told})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	m, err := x.Open(ctx, dir, "", self)
	if err != nil || m.Len() != 2 {
		t.Fatal(m, err)
	}
	m.Close()
	for _, name := range []string{"3.tib", "4.byte"} {
		if told.all[name] != "larger than 68719476736 bytes" {
			t.Errorf("%s was skipped for %q", name, told.all[name])
		}
	}
}
