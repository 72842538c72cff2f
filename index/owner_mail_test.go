package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sidepop/index/store"
)

// skips are Events that keep what was skipped and why, by base name.
type skips struct {
	silent
	mu  sync.Mutex
	all map[string]string
	not []error // NotWatched
}

func (s *skips) Skipped(path, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[string]string)
	}
	s.all[filepath.Base(path)] = reason
}

func (s *skips) NotWatched(_ string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.not = append(s.not, err)
}

// sees gives the unique-ids that an owner's login sees, each message read.
func sees(t testing.TB, x *Index, dir string, o Owner) ([]string, error) {
	t.Helper()
	m, err := x.Open(t.Context(), dir, fmt.Sprint("user", o.UID), o)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	for i := range m.Len() {
		content(t, m, i)
	}
	return uidls(m), nil
}

// TestOthersMail: owners lead their Maildirs to what is not theirs.
func TestOthersMail(t *testing.T) {
	if !asKeeper(t) {
		return
	}
	for mode, watch := range map[string]Watch{"all": WatchAll, "none": WatchNone} {
		a, b := home(t, alice), home(t, bob)
		bobs := filepath.Join(b, "Maildir")
		in := func(name string) string { return filepath.Join(a, name) }
		do(t, bob, deliver(bobs, "1.secret", "secret\n"))
		do(t, alice,
			deliver(in("files"), "1.own", "own\n"),
			symlink(bobs+"/new/1.secret", in("files/new/2.secret")),
			symlink("/etc/shadow", in("files/cur/3.shadow")),
			symlink(bobs+"/new/1.secret", in("files/dovecot-uidlist")),
			deliver(in("unreadable"), "1.own", "own\n"), deliver(in("unreadable"), "2.no", "no\n"),
			func() error { return os.Chmod(in("unreadable/new/2.no"), 0) },
			deliver(in("new"), "1.own", "own\n"), func() error { return os.RemoveAll(in("new/new")) },
			symlink(bobs+"/new", in("new/new")),
			deliver(in("cur"), "1.own", "own\n"), func() error { return os.RemoveAll(in("cur/cur")) },
			symlink(bobs+"/cur", in("cur/cur")),
			symlink(bobs, in("whole")), symlink("/etc/shadow", in("shadow")), symlink("/root", in("root")),
			symlink("nowhere", in("dangling")), symlink("files", in("linked")), symlink(in("loop"), in("loop")),
		)
		var told skips
		x := newIndex(t, Options{As: as(), Watch: watch, Events: &told})
		for _, c := range []struct {
			dir  string
			sees []string
			err  string
		}{
			{in("files"), []string{"1.own"}, ""},
			{in("linked"), []string{"1.own"}, ""},
			{in("unreadable"), []string{"1.own"}, ""},
			{in("new"), nil, "new must be a directory itself"},
			{in("cur"), nil, "cur must be a directory itself"},
			{in("whole"), nil, "permission denied"},
			{in("root"), nil, "permission denied"},
			{in("loop"), nil, "too many levels of symbolic links"},
			{in("shadow"), nil, ErrFile.Error()},
			{in("shadow/Maildir"), nil, "not a directory"},
			{in("dangling"), nil, errDangling.Error()},
			{in("dangling/Maildir"), nil, errDangling.Error()},
			{in("nothing"), []string{}, ""},
			{in("nothing/Maildir"), []string{}, ""},
			{in("linked/nothing"), nil, errDangling.Error()},
			{bobs, nil, "permission denied"},
		} {
			got, err := sees(t, x, c.dir, alice)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || !slices.Equal(got, c.sees) {
				t.Errorf("watch %s: alice sees %q in %s, error %v; want %q, %q", mode, got, c.dir, err, c.sees, c.err)
			}
		}
		for name, want := range map[string]string{
			"2.secret": "a symbolic link", "3.shadow": "a symbolic link", "2.no": "permission denied", "dovecot-uidlist": "a symbolic link",
		} {
			if told.all[name] != want {
				t.Errorf("watch %s: %s was skipped for %q", mode, name, told.all[name])
			}
		}
		if got, err := sees(t, x, bobs, bob); err != nil || !slices.Equal(got, []string{"1.secret"}) {
			t.Errorf("watch %s: bob sees %q, %v", mode, got, err)
		}
	}
}

// TestGroups: what is readable for a group is so for those who are in it.
func TestGroups(t *testing.T) {
	if !asKeeper(t) {
		return
	}
	owner := Owner{bob.UID, team, nil}
	dir := filepath.Join(home(t, owner), "M")
	do(t, owner, deliver(dir, "1.a", "1"), deliver(dir, "2.b", "2"), func() error {
		return errors.Join(os.Chmod(filepath.Dir(dir), 0o750), os.Chmod(dir, 0o750), os.Chmod(dir+"/new", 0o750), os.Chmod(dir+"/cur", 0o750),
			os.Chmod(dir+"/new/1.a", 0o640))
	})
	var told skips
	x := newIndex(t, Options{As: as(), Events: &told})
	in, out := Owner{alice.UID, alice.GID, []uint32{61903, team}}, alice
	for _, c := range []struct {
		o    Owner
		sees []string
	}{
		{out, nil}, {in, []string{"1.a"}}, {out, nil}, {Owner{alice.UID, team, nil}, []string{"1.a"}}, {owner, []string{"1.a", "2.b"}}, {in, []string{"1.a"}},
	} {
		got, err := sees(t, x, dir, c.o)
		if !slices.Equal(got, c.sees) || c.sees == nil && !errors.Is(err, unix.EACCES) || c.sees != nil && err != nil {
			t.Errorf("%v sees %q, %v", c.o, got, err)
		}
	}
	do(t, owner, func() error { return os.Chmod(dir+"/new/2.b", 0o640) })
	if got, err := sees(t, x, dir, in); err != nil || len(got) != 2 {
		t.Errorf("after chmod: %q, %v", got, err)
	}
	if len(told.not) > 0 {
		t.Errorf("not watched: %v", told.not)
	}
}

// TestTwoOwners: a Maildir is served as one user's at a time, and what another
// one takes over is what he can read.
func TestTwoOwners(t *testing.T) {
	if !asKeeper(t) {
		return
	}
	dir, state := filepath.Join(home(t, alice), "M"), t.TempDir()
	open := func() error {
		return errors.Join(os.Chmod(filepath.Dir(dir), 0o711), os.Chmod(dir, 0o755), os.Chmod(dir+"/new", 0o755), os.Chmod(dir+"/cur", 0o755),
			os.Chmod(dir+"/new/1.a", 0o644))
	}
	do(t, alice, deliver(dir, "1.a", "1"), deliver(dir, "2.b", "2"), open)
	var counted counter32
	x := newIndex(t, Options{As: as(), State: state, Measure: counted.measure})
	m, err := x.Open(t.Context(), dir, "a", alice)
	if err != nil || m.Len() != 2 {
		t.Fatal(m, err)
	}
	want := fmt.Sprintf("it is served as user id 61001, and account %q has user id 61002", "b")
	if _, err := x.Open(t.Context(), dir, "b", bob); !errors.Is(err, ErrOwner) || !strings.Contains(err.Error(), want) {
		t.Errorf("bob beside alice: %v", err)
	}
	_, verr := x.Verify(t.Context(), dir, bob, func(int, int) {})
	_, rerr := x.Rebuild(t.Context(), dir, bob, func(int, int) {})
	if !errors.Is(verr, ErrOwner) || !errors.Is(rerr, ErrOwner) {
		t.Errorf("bob verifies: %v; rebuilds: %v", verr, rerr)
	}
	if got, err := sees(t, x, dir, Owner{alice.UID, alice.GID, []uint32{team}}); err != nil || len(got) != 2 {
		t.Errorf("alice with another group: %q, %v", got, err)
	}
	m.Close()
	// Who may not read it takes nothing over.
	do(t, alice, func() error { return os.Chmod(dir, 0o700) })
	if _, err := sees(t, x, dir, bob); !errors.Is(err, unix.EACCES) {
		t.Errorf("bob, who may not: %v", err)
	}
	before := counted.n.Load()
	if got, err := sees(t, x, dir, alice); err != nil || len(got) != 2 || counted.n.Load() != before {
		t.Errorf("alice sees %q, %v, and %d messages were counted", got, err, counted.n.Load()-before)
	}
	do(t, alice, open)
	for range 2 {
		for _, c := range []struct {
			o    Owner
			sees []string
		}{{bob, []string{"1.a"}}, {bob, []string{"1.a"}}, {alice, []string{"1.a", "2.b"}}, {bob, []string{"1.a"}}} {
			if got, err := sees(t, x, dir, c.o); err != nil || !slices.Equal(got, c.sees) {
				t.Errorf("%d sees %q, %v", c.o.UID, got, err)
			}
			if is, ok := x.Owner(dir); !ok || is.UID != c.o.UID {
				t.Errorf("the owner is %v", is)
			}
		}
		// The same after a restart: it is stored as bob's, and alice's are more.
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = newIndex(t, Options{As: as(), State: state})
		if is, ok := x.Owner(dir); !ok || is.UID != bob.UID {
			t.Errorf("the stored owner is %v", is)
		}
		if got, err := sees(t, x, dir, alice); err != nil || len(got) != 2 {
			t.Errorf("alice sees %q, %v", got, err)
		}
	}
}

// TestOwnersFinishRemovals: what a crash has left is finished as those whose
// removals they were, before any login.
func TestOwnersFinishRemovals(t *testing.T) {
	if !asKeeper(t) {
		return
	}
	state := t.TempDir()
	s, err := store.Open(state, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dirs := map[string]Owner{filepath.Join(home(t, alice), "M"): alice, filepath.Join(home(t, bob), "M"): bob}
	for dir, o := range dirs {
		do(t, o, deliver(dir, "1.a", "1"), deliver(dir, "2.b", "2"), deliver(dir, "3.c", "3"))
		record := appendString(appendOwner(nil, &o), string(appendString(nil, "1.a")))
		record = append(appendString(record, "3.c"), byte(folderNew))
		if _, err := s.Begin(dir, record); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r := new(recoveries)
	x := newIndex(t, Options{As: as(), State: state, Events: r})
	if len(r.all) != 2 || r.all[0] != "M 2 <nil>" || r.all[1] != "M 2 <nil>" {
		t.Errorf("told %q", r.all)
	}
	for dir, o := range dirs {
		if got, err := sees(t, x, dir, o); err != nil || !slices.Equal(got, []string{"2.b"}) {
			t.Errorf("%d sees %q, %v", o.UID, got, err)
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if n := openRecords(t, state); n != 0 {
		t.Errorf("%d records are left", n)
	}
}
