package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOwnerAlways has everything that the index does with a Maildir done as its
// owner, at once for two of them.
func TestOwnerAlways(t *testing.T) {
	if !asKeeper(t) {
		return
	}
	for _, o := range []Owner{alice, bob} {
		t.Run(fmt.Sprint(o.UID), func(t *testing.T) {
			t.Parallel()
			ownerAlways(t, o)
		})
	}
}

func ownerAlways(t *testing.T, o Owner) {
	dir, state := filepath.Join(home(t, o), "M"), t.TempDir()
	const n = 5 * together // counted by workers
	for i := range n {
		do(t, o, deliver(dir, fmt.Sprintf("%d.n", 1000+i), "X-UIDL: x"+fmt.Sprint(i)+"\n\n"))
	}
	quota := filepath.Join(dir, quotaFile)
	do(t, o, func() error { return os.WriteFile(quota, []byte("0S\n"), 0o600) })
	var told skips
	options := Options{As: as(), State: state, XUIDL: true, MarkSeen: true, Events: &told}
	x := newIndex(t, options)
	// Known before its first login: counted and watched.
	x.Know(dir, o)
	known := func(want int) {
		t.Helper()
		eventually(t, fmt.Sprintf("the index has %d messages", want), func() bool {
			all, err := x.List()
			return err == nil && len(all) == 1 && all[0].Messages == want && all[0].Total == 0 && all[0].Watched
		})
	}
	known(n)
	do(t, o, deliver(dir, "2000.a", "a\n"))
	known(n + 1)
	// A session that sees, marks and removes.
	m, err := x.Open(t.Context(), dir, "u", o)
	if err != nil || m.Len() != n+1 || m.Message(1).UIDL != "x1" {
		t.Fatal(m, err)
	}
	files := make([]*File, 4)
	if got, err := m.OpenMessages(n-2, files); got != 3 || err != nil {
		t.Errorf("%d opened, %v", got, err)
	}
	for _, f := range files[:3] {
		f.Close()
	}
	if failed, err := m.Commit(t.Context(), []int{0, 1, n}, []int{2}); failed != 0 || err != nil {
		t.Errorf("%d not removed, %v", failed, err)
	}
	m.Close()
	do(t, o, func() error {
		b, err := os.ReadFile(quota)
		if want := "0S\n-26 -3\n"; string(b) != want {
			t.Errorf("%s has %q, want %q", quotaFile, b, want)
		}
		_, serr := os.Stat(dir + "/cur/1002.n:2,S")
		return errors.Join(err, serr)
	})
	for what, err := range map[string]error{
		"verify":  second(x.Verify(t.Context(), dir, o, func(int, int) {})),
		"rebuild": second(x.Rebuild(t.Context(), dir, o, func(int, int) {})),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// After a restart nobody has logged in, and mail is indexed as it comes.
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = newIndex(t, options)
	eventually(t, "the folders are watched", func() bool { return x.watch.Len() == 2 })
	do(t, o, deliver(dir, "2001.b", "b\n"))
	eventually(t, "the index has the message", func() bool {
		all, err := x.List()
		return err == nil && len(all) == 1 && all[0].Messages == n-1
	})
	if len(told.all) > 0 || len(told.not) > 0 {
		t.Errorf("skipped %q, not watched %v", told.all, told.not)
	}
}

func second[T any](_ T, err error) error { return err }

// TestSections has how often the owner's rights are taken.
func TestSections(t *testing.T) {
	if !asKeeper(t) {
		return
	}
	dir := filepath.Join(home(t, alice), "M")
	do(t, alice, deliver(dir, "1.a", "1"), deliver(dir, "2.b", "2"), func() error {
		then := time.Now().Add(-2 * writeTime) // else they are looked at again
		err := errors.Join(os.Chtimes(dir+"/new/1.a", then, then), os.Chtimes(dir+"/new/2.b", then, then))
		age(t, dir)
		return err
	})
	x := newIndex(t, Options{As: as(), Watch: WatchNone})
	var m *Mailbox
	login := func() {
		var err error
		if m, err = x.Open(t.Context(), dir, "", alice); err != nil {
			t.Fatal(err)
		}
	}
	login()
	m.Close()
	for _, c := range []struct {
		what string
		do   func()
		want int32
	}{
		{"a login with nothing changed", login, 1},
		{"nothing done", func() { m.Commit(context.Background(), nil, nil) }, 0},
		{"two messages", func() {
			if n, err := m.OpenMessages(0, make([]*File, 2)); n != 2 || err != nil {
				t.Error(n, err)
			}
		}, 1},
	} {
		before := sections.Load()
		c.do()
		if n := sections.Load() - before; n != c.want {
			t.Errorf("%s: %d sections, want %d", c.what, n, c.want)
		}
	}
	before := sections.Load()
	if failed, err := m.Commit(t.Context(), []int{0}, nil); failed != 0 || err != nil {
		t.Error(failed, err)
	}
	eventually(t, "the removal is synced, in the second section", func() bool { return sections.Load()-before == 2 })
	m.Close()
}

// TestOwnersSearch: a message that other programs have renamed meanwhile is
// searched for, which no script can bring about.
func TestOwnersSearch(t *testing.T) {
	if !asKeeper(t) {
		return
	}
	dir := filepath.Join(home(t, alice), "M")
	do(t, alice, deliver(dir, "1.a", "1"), deliver(dir, "2.b", "2"))
	x := newIndex(t, Options{As: as()})
	m := x.use(dir)
	m.owner = &alice
	u := &update{ctx: t.Context(), m: m}
	err := m.as(func() (err error) {
		u.dirs, err = x.openDirs(dir)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer u.dirs.close()
	err = u.search(map[string]key{"1.a": parseName("1.a"), "3.c": parseName("3.c")})
	if err != nil || len(u.added) != 1 || u.added[0].unique != "1.a" {
		t.Errorf("%d messages, %v", len(u.added), err)
	}
}
