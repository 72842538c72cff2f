package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sidepop/index/store"
)

// recoveries are Events that keep what was recovered.
type recoveries struct {
	silent
	all []string
}

func (r *recoveries) Recovered(maildir string, messages int, err error) {
	r.all = append(r.all, fmt.Sprintf("%s %d %v", filepath.Base(maildir), messages, err))
}

// removal is a record of the journal: of this process's files, unique names, and
// names in folders.
func removal(unique []string, whole ...place) []byte {
	var names, rest []byte
	for _, u := range unique {
		names = appendString(names, u)
	}
	for _, p := range whole {
		rest = append(appendString(rest, p.name), byte(p.folder))
	}
	return append(appendString(appendOwner(nil, self.ordered()), string(names)), rest...)
}

// TestFinishRemovals starts with a journal that a crash has left.
func TestFinishRemovals(t *testing.T) {
	malformed := "the index store holds a malformed record"
	for _, tt := range []struct {
		about   string
		record  []byte
		prepare func(dir string) error
		left    []string // of new/1.a, cur/2.b:2,S, cur/3.c
		told    string   // after the Maildir's name
		kept    bool     // the record is tried again at the next start
	}{
		{about: "by unique names", record: removal([]string{"1.a", "2.b"}), left: []string{"3.c"}, told: "2 <nil>"},
		{about: "moved meanwhile", record: removal([]string{"1.a"}), left: []string{"2.b", "3.c"}, told: "1 <nil>",
			prepare: func(dir string) error { return os.Rename(dir+"/new/1.a", dir+"/cur/1.a:2,FS") }},
		{about: "done already", record: removal([]string{"0.z"}), left: []string{"1.a", "2.b", "3.c"}, told: "0 <nil>"},
		{about: "by place", record: removal(nil, place{"2.b:2,S", folderCur}, place{"1.a", folderCur}), left: []string{"1.a", "3.c"}, told: "1 <nil>"},
		{about: "both", record: removal([]string{"1.a"}, place{"2.b:2,S", folderCur}), left: []string{"3.c"}, told: "2 <nil>"},
		{about: "nothing", record: removal(nil), left: []string{"1.a", "2.b", "3.c"}, told: "0 <nil>"},
		{about: "empty record", record: []byte{}, left: []string{"1.a", "2.b", "3.c"}, told: "0 " + malformed},
		{about: "cut short", record: removal([]string{"1.a", "2.b"})[:len(removal(nil))+5], left: []string{"1.a", "2.b", "3.c"}, told: "0 " + malformed},
		{about: "a name cut short", record: append(removal(nil)[:len(removal(nil))-1], "\x04\x041.a\x00"...), left: []string{"1.a", "2.b", "3.c"}, told: "0 " + malformed},
		{about: "no such folder", record: removal(nil, place{"1.a", folders}), left: []string{"1.a", "2.b", "3.c"}, told: "0 " + malformed},
		{about: "no folder", record: append(removal(nil), "\x031.a"...), left: []string{"1.a", "2.b", "3.c"}, told: "0 " + malformed},
		{about: "out of the folder", record: removal(nil, place{"../new/1.a", folderCur}, place{"../../outside", folderNew}), left: []string{"1.a", "2.b", "3.c"}},
		{about: "new is gone", record: removal([]string{"2.b"}, place{"1.a", folderNew}), left: []string{"3.c"}, told: "1 <nil>",
			prepare: func(dir string) error { return os.RemoveAll(dir + "/new") }},
		{about: "a directory in its place", record: removal([]string{"1.a", "2.b"}), left: []string{"3.c"}, told: "1 is a directory", kept: true,
			prepare: func(dir string) error { return errors.Join(os.Remove(dir+"/new/1.a"), os.Mkdir(dir+"/new/1.a", 0o700)) }},
		{about: "the Maildir is a file", record: removal([]string{"1.a"}), kept: true,
			prepare: func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) }},
	} {
		t.Run(tt.about, func(t *testing.T) {
			root, state := t.TempDir(), t.TempDir()
			dir := filepath.Join(root, "M")
			for name, content := range map[string]string{"new/1.a": "1", "cur/2.b:2,S": "2", "cur/3.c": "3", "../outside": "no"} {
				path := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			s, err := store.Open(state, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Begin(dir, tt.record); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if tt.prepare != nil {
				if err := tt.prepare(dir); err != nil {
					t.Fatal(err)
				}
			}
			r := new(recoveries)
			x := newIndex(t, Options{State: state, Events: r})
			if len(r.all) != 1 || !strings.HasPrefix(r.all[0], "M "+tt.told) {
				t.Errorf("told %q, want M %s", r.all, tt.told)
			}
			if tt.left != nil {
				m, err := x.Open(t.Context(), dir, "", self)
				if err != nil {
					t.Fatal(err)
				}
				if got := uidls(m); !slices.Equal(got, tt.left) {
					t.Errorf("left: %q, want %q", got, tt.left)
				}
				m.Close()
			}
			checkFile(t, filepath.Join(root, "outside"), "no")
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			if kept := openRecords(t, state) > 0; kept != tt.kept {
				t.Errorf("the record is kept: %v", kept)
			}
		})
	}
}

// TestFinishAwayMaildir: the Maildir of an unfinished removal is not there at the
// start, as when a file system is not mounted yet. Some of the messages were
// removed before the crash, so the others may not come back.
func TestFinishAwayMaildir(t *testing.T) {
	root, state := t.TempDir(), t.TempDir()
	dir := filepath.Join(root, "M")
	makeNumbered(t, dir, 3)
	s, err := store.Open(state, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(dir, removal([]string{numberedName(0), numberedName(1)})); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "new", numberedName(0))), os.Rename(dir, dir+".away")); err != nil {
		t.Fatal(err)
	}
	x := newIndex(t, Options{State: state})
	if got := listing(t, x, dir); len(got) != 0 {
		t.Errorf("a Maildir that is not there has %q", got)
	}
	if err := errors.Join(x.Close(), os.Rename(dir+".away", dir)); err != nil {
		t.Fatal(err)
	}
	x = newIndex(t, Options{State: state})
	if got, want := listing(t, x, dir), []string{numberedName(2) + " 2 3"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
}

// TestFinishImmutable: files that can't be removed stay listed, and are tried again.
func TestFinishImmutable(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	makeNumbered(t, dir, 3)
	path := filepath.Join(dir, "new", numberedName(1))
	if err := immutable(path, true); err != nil {
		if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip("no file can be made immutable here: ", err)
	}
	defer immutable(path, false)
	x := newIndex(t, Options{State: state})
	m, err := x.Open(t.Context(), dir, "", self)
	if err != nil {
		t.Fatal(err)
	}
	failed, err := m.Commit(t.Context(), []int{0, 1}, nil)
	if failed != 1 || !errors.Is(err, unix.EPERM) {
		t.Errorf("%d failed, %v", failed, err)
	}
	m.Close()
	want := []string{numberedName(1) + " 2 3", numberedName(2) + " 2 3"}
	if got := listing(t, x, dir); !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	// The client was told, so nothing is left to do.
	if n := openRecords(t, state); n != 0 {
		t.Errorf("%d records are left", n)
	}
	s, err := store.Open(state, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(dir, removal([]string{numberedName(1), numberedName(2)})); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{numberedName(1) + " 2 3"}, {}} {
		x := newIndex(t, Options{State: state})
		if got := listing(t, x, dir); !slices.Equal(got, want) {
			t.Errorf("left: %q, want %q", got, want)
		}
		if err := errors.Join(x.Close(), immutable(path, false)); err != nil && !errors.Is(err, unix.ENOENT) {
			t.Fatal(err)
		}
	}
	if n := openRecords(t, state); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// immutable keeps a file from being removed, even by root (chattr(1), +i).
func immutable(path string, on bool) error {
	const fsImmutable = 0x10
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	flags &^= fsImmutable
	if on {
		flags |= fsImmutable
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags))
}
