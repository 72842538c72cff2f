package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is many programs at work on one Maildir. Each message holds its own
// unique name, so that none can be taken for another.
type crowd struct {
	*testing.T
	x       *Index
	dir     string
	n       atomic.Int64
	there   sync.Map // unique names that were delivered
	taken   sync.Map // unique names that a session began to remove
	removed sync.Map // unique names of which a session says that they are removed
}

func (c *crowd) deliver() {
	name := fmt.Sprintf("%d.M%dP1.crowd", 1700000000+rand.IntN(1000), c.n.Add(1))
	tmp := filepath.Join(c.dir, "tmp", name)
	if err := errors.Join(os.WriteFile(tmp, []byte(name+"\n"), 0o600), os.Rename(tmp, filepath.Join(c.dir, "new", name))); err != nil {
		c.Error(err)
	}
	c.there.Store(name, true)
}

// session is one login: it has to see what was there before it and stays, and no
// message that was removed before it.
func (c *crowd) session() {
	var before, gone []string
	c.there.Range(func(name, _ any) bool { before = append(before, name.(string)); return true })
	c.removed.Range(func(name, _ any) bool { gone = append(gone, name.(string)); return true })
	m, err := c.x.Open(c.Context(), c.dir, "alice", self)
	if err != nil {
		c.Error(err)
		return
	}
	defer m.Close()
	seen := make(map[string]bool, m.Len())
	for i := range m.Len() {
		seen[m.Message(i).UIDL] = true
	}
	if len(seen) != m.Len() {
		c.Errorf("%d UIDLs of %d messages", len(seen), m.Len())
	}
	for _, name := range before {
		if !seen[name] && c.stays(name) {
			c.Errorf("%s was there before the login and is not seen", name)
		}
	}
	for _, name := range gone {
		if seen[name] {
			c.Errorf("%s was removed before the login and is seen", name)
		}
	}
	var remove, marked []int
	for i := range m.Len() {
		switch rand.IntN(8) {
		case 0:
			c.taken.Store(m.Message(i).UIDL, true)
			remove = append(remove, i)
		case 1, 2:
			marked = append(marked, i)
		case 3:
			c.read(m, i)
		}
	}
	if failed, err := m.Commit(c.Context(), remove, marked); failed > 0 || err != nil {
		c.Errorf("%d of %d not removed: %v", failed, len(remove), err)
	}
	for _, i := range remove {
		c.removed.Store(m.Message(i).UIDL, true)
	}
}

// stays says that no session has begun to remove a message.
func (c *crowd) stays(name string) bool {
	_, taken := c.taken.Load(name)
	return !taken
}

func (c *crowd) read(m *Mailbox, i int) {
	want := m.Message(i).UIDL
	f, err := m.OpenMessage(i)
	if errors.Is(err, ErrGone) {
		if c.stays(want) {
			c.Errorf("%s is said to be gone", want)
		}
		return
	}
	if err != nil {
		c.Error(err)
		return
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != want+"\n" {
		c.Errorf("message %s holds %q, %v", want, b, err)
	}
}

// rename is a mail program at work on the same Maildir.
func (c *crowd) rename() {
	entries, err := os.ReadDir(filepath.Join(c.dir, "cur"))
	if err != nil || len(entries) == 0 {
		return
	}
	name := entries[rand.IntN(len(entries))].Name()
	to := uniqueName(name) + []string{":2,", ":2,S", ":2,FS"}[rand.IntN(3)]
	_ = os.Rename(filepath.Join(c.dir, "cur", name), filepath.Join(c.dir, "cur", to))
}

func (c *crowd) operator() {
	progress := func(int, int) {}
	if rand.IntN(2) == 0 {
		if _, err := c.x.Rebuild(c.Context(), c.dir, self, progress); err != nil {
			c.Error(err)
		}
		return
	}
	differences, err := c.x.Verify(c.Context(), c.dir, self, progress)
	if err != nil && !errors.Is(err, ErrChanging) {
		c.Error(err)
	}
	for _, d := range differences {
		// Where a message is, a session may learn later than the index.
		if strings.HasPrefix(d.What, "in the index as ") {
			continue
		}
		c.Errorf("the index was wrong: %s %s", d.Name, d.What)
	}
}

// TestCrowd has many sessions on few mailboxes, which remove and mark messages,
// while mail arrives, other programs set flags, and an operator verifies and
// rebuilds.
func TestCrowd(t *testing.T) {
	for name, o := range map[string]Options{"watched": {}, "unwatched": {Watch: WatchNone}, "no store": {}} {
		t.Run(name, func(t *testing.T) {
			o.MarkSeen, o.Measure, o.CommitDelay = true, measure, time.Millisecond
			if name != "no store" {
				o.State = memory(t)
			}
			x, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := x.Close(); err != nil {
					t.Error(err)
				}
			}()
			stop := time.Now().Add(1500 * time.Millisecond)
			var crowds []*crowd
			var running sync.WaitGroup
			for range 3 {
				c := &crowd{T: t, x: x, dir: memory(t)}
				crowds = append(crowds, c)
				makeNumbered(t, c.dir, 0)
				for range 50 {
					c.deliver()
				}
				for _, do := range []func(){c.session, c.session, c.session, c.deliver, c.rename, c.operator} {
					running.Go(func() {
						for time.Now().Before(stop) && !t.Failed() {
							do()
							if x.store != nil && rand.IntN(20) == 0 {
								if _, err := x.List(); err != nil {
									t.Error(err)
								}
							}
							time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
						}
					})
				}
			}
			running.Wait()
			for _, c := range crowds {
				got := listing(t, x, c.dir)
				sameListing(t, "in the end", got, naive(t, o, c.dir))
				taken := 0
				c.taken.Range(func(_, _ any) bool { taken++; return true })
				if n := int(c.n.Load()); len(got) != n-taken || taken == 0 {
					t.Errorf("%d messages are left of %d, and %d were removed", len(got), n, taken)
				}
				t.Logf("%d delivered, %d removed", c.n.Load(), taken)
			}
		})
	}
}

// TestCountHoldsUpNobody opens small mailboxes while a big one is being counted:
// one that is known, one that gets mail, and one for the first time. How much is
// counted meanwhile is what the count holds them up. Each message of the big one takes
// a while without a processor, so that little is counted while a login waits for one.
func TestCountHoldsUpNobody(t *testing.T) {
	const (
		messages = 20_000
		rounds   = 30
		usual    = 10            // counted during a login in the middle, in 5 ms: half of a turn
		most     = messages / 20 // during the longest, which the system may keep from running
	)
	var done atomic.Int64 // messages counted of the big one
	measure := func(r io.Reader) (octets int64, err error) {
		if octets, err = drain(r); octets > int64(len("10\n")) {
			time.Sleep(time.Duration(runtime.GOMAXPROCS(0)) * time.Millisecond / 2)
			done.Add(1)
		}
		return octets, err
	}
	big, small := memory(t), memory(t)
	makeNumbered(t, big, messages)
	makeNumbered(t, small, 10)
	x := newIndex(t, Options{Measure: measure, State: memory(t)})
	listing(t, x, small)
	var first []string
	for range rounds {
		dir := memory(t)
		makeNumbered(t, dir, 3)
		first = append(first, dir)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	counted := make(chan error, 1)
	go func() {
		_, err := x.Open(ctx, big, "", self)
		counted <- err
	}()
	eventually(t, "the count has begun", func() bool {
		all, err := x.List()
		return err == nil && slices.ContainsFunc(all, func(i Info) bool { return i.Path == big && i.Total == messages })
	})
	meanwhile := make(map[string][]int64)
	for i := range rounds {
		login := func(what, dir string, want int) {
			before := done.Load()
			if got := len(listing(t, x, dir)); got != want {
				t.Errorf("%s: %d messages, want %d", what, got, want)
			}
			meanwhile[what] = append(meanwhile[what], done.Load()-before)
		}
		login("known", small, 10+i)
		name := fmt.Sprintf("1800000000.M%dP1.late", i)
		if err := os.WriteFile(filepath.Join(small, "new", name), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		login("with new mail", small, 11+i)
		login("first", first[i], 3)
	}
	cancel()
	if err := <-counted; !errors.Is(err, context.Canceled) {
		t.Errorf("the count was over before the logins were: %v", err)
	}
	for what, all := range meanwhile {
		slices.Sort(all)
		middle, longest := all[len(all)/2], all[len(all)-1]
		t.Logf("%s: %d messages were counted during a login, and %d during the longest", what, middle, longest)
		if middle > usual || longest > most {
			t.Errorf("%s: of %d messages %d were counted during a login, and %d during the longest", what, messages, middle, longest)
		}
	}
}
