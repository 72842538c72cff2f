package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// counter32 counts what is measured.
type counter32 struct {
	n  atomic.Int32
	at int32  // when so many are reached,
	do func() // this happens, in the middle of reading
}

func (c *counter32) measure(r io.Reader) (int64, error) {
	if c.n.Add(1) == c.at {
		c.do()
	}
	return measure(r)
}

// makeNumbered makes a Maildir at dir with n messages in new.
func makeNumbered(t testing.TB, dir string, n int) {
	t.Helper()
	for _, f := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, "new", numberedName(i)), fmt.Appendf(nil, "%d\n", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	age(t, dir)
}

const (
	interruptedMessages = 20_000
	interruptedAt       = 8_000
)

// TestInterruptedCount ends a login in the middle of counting. The next one
// counts the rest, in the same process and in the next.
func TestInterruptedCount(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			dir := memory(t)
			makeNumbered(t, dir, interruptedMessages)
			ctx, cancel := context.WithCancel(t.Context())
			c := &counter32{at: interruptedAt, do: cancel}
			o := Options{Measure: c.measure, State: t.TempDir()}
			x, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { x.Close() }()
			if _, err := x.Open(ctx, dir, "", self); !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted: error %v", err)
			}
			if n := c.n.Load(); n > interruptedAt+100 {
				t.Errorf("%d were measured, though it was interrupted at %d", n, interruptedAt)
			}
			if restart {
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
				if x, err = New(o); err != nil {
					t.Fatal(err)
				}
			}
			sameListing(t, "the next login", listing(t, x, dir), naive(t, Options{}, dir))
			// Beside the rest, those that were being measured; after a restart,
			// each processor's portion that was not complete.
			slack := runtime.GOMAXPROCS(0)
			if restart {
				slack *= together
			}
			if n := int(c.n.Load()); n < interruptedMessages || n > interruptedMessages+slack {
				t.Errorf("%d were measured in all, for %d messages", n, interruptedMessages)
			}
		})
	}
}

// childStop counts the Maildir at args[0] and kills itself in the middle, when
// the store has had time for what was counted.
func childStop(args []string) {
	c := &counter32{at: interruptedAt}
	c.do = func() {
		time.Sleep(time.Second) // a busy machine needs it
		must(0, syscall.Kill(os.Getpid(), syscall.SIGKILL))
		select {}
	}
	x := must(New(Options{Measure: c.measure, State: args[1], CommitDelay: 10 * time.Millisecond}))
	must(x.Open(context.Background(), args[0], "", self))
}

// TestKilledCount is the same with the process killed, whatever the number of
// its processors.
func TestKilledCount(t *testing.T) {
	for _, processors := range []int{1, 2} {
		t.Run(fmt.Sprint(processors), func(t *testing.T) {
			t.Setenv("GOMAXPROCS", fmt.Sprint(processors))
			dir, state := memory(t), t.TempDir()
			makeNumbered(t, dir, interruptedMessages)
			startChild(t, "stop", dir, state).killed(t)
			c := new(counter32)
			x := newIndex(t, Options{Measure: c.measure, State: state})
			sameListing(t, "the next login", listing(t, x, dir), naive(t, Options{}, dir))
			// Other processors went on meanwhile, so more may have been counted.
			if n := int(c.n.Load()); n == 0 || n > interruptedMessages-interruptedAt+together*processors {
				t.Errorf("%d were measured after a kill at %d of %d", n, interruptedAt, interruptedMessages)
			}
		})
	}
}

// TestInterruptedLists: a worker that gives way when it has counted, but has not
// asked the lists, takes no message's UIDL from it.
func TestInterruptedLists(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			dir, o := maildirWith(t, map[string]string{"new/1.a": "a"}), Options{State: t.TempDir(), Watch: WatchNone}
			list := []byte("3 V7 N3\n1 :1.a\n2 :2.b\n")
			if err := os.WriteFile(filepath.Join(dir, "dovecot-uidlist"), list, 0o600); err != nil {
				t.Fatal(err)
			}
			x := newIndex(t, o)
			sameListing(t, "at first", listing(t, x, dir), []string{"0000000100000007 1 1"})
			do(t, self, deliver(dir, "2.b", "bb"))
			m := x.use(dir)
			m.busy <- struct{}{}
			m.wanted.Add(1)
			if err := m.refresh(t.Context(), "", false); err != errTurn {
				t.Fatalf("error %v, want %v", err, errTurn)
			}
			m.wanted.Add(-1)
			if len(m.list) != 2 {
				t.Errorf("%d messages are known, want 2: nothing was interrupted", len(m.list))
			}
			<-m.busy
			x.release(m)
			if restart {
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
				x = newIndex(t, o)
			}
			sameListing(t, "the next login", listing(t, x, dir), []string{"0000000100000007 1 1", "0000000200000007 2 2"})
		})
	}
}
