package index

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestVersion: another number whenever anything else is listed, and the same one
// as long as nothing is. That it never lies is checked by [listing], in all tests.
func TestVersion(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "one\n", "new/2.b": "two\n", "cur/3.c:2,S": "three\n"})
	old := time.Unix(1e9, 0)
	if err := os.Chtimes(filepath.Join(dir, "new/1.a"), old, old); err != nil {
		t.Fatal(err)
	}
	x := newIndex(t, Options{MarkSeen: true})
	version := func() uint64 {
		m, err := x.Open(t.Context(), dir, "alice", self)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		return m.Version()
	}
	commit := func(remove, seen []int) func() error {
		return func() error {
			m, err := x.Open(t.Context(), dir, "alice", self)
			if err != nil {
				return err
			}
			_, err = m.Commit(t.Context(), remove, seen)
			return errors.Join(err, m.Close())
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	listing(t, x, dir)
	last := version()
	for _, test := range []struct {
		name    string
		do      func() error
		changes bool
	}{
		{"nothing", func() error { return nil }, false},
		{"delivery", deliver(dir, "4.d", "four\n"), true},
		{"rename", func() error { return os.Rename(at("new/2.b"), at("cur/2.b:2,S")) }, false},
		{"seen", commit(nil, []int{0}), false},
		{"removal", commit([]int{1}, nil), true},
		{"removal by others", func() error { return os.Remove(at("cur/3.c:2,S")) }, true},
		{"second file of a unique name", func() error {
			return errors.Join(os.WriteFile(at("cur/4.d:2,F"), []byte("another\n"), 0o600),
				os.Chtimes(at("cur/4.d:2,F"), old, old), os.Chtimes(at("new/4.d"), old, old))
		}, true},
		{"which goes", func() error { return os.Remove(at("cur/4.d:2,F")) }, true},
		{"list of a previous server", func() error {
			return os.WriteFile(at("dovecot-uidlist"), []byte("3 V1700000000 N9 G0123\n7 :1.a\n8 :4.d\n"), 0o600)
		}, true},
		{"repair", func() error {
			if err := os.WriteFile(at("cur/1.a:2,S"), []byte("longer than before\n"), 0o600); err != nil {
				return err
			}
			m, err := x.Open(t.Context(), dir, "alice", self)
			if err != nil {
				return err
			}
			before := m.Version()
			defer m.Close()
			f, err := m.OpenMessage(0)
			if err != nil {
				return err
			}
			_ = f.Close()
			eventually(t, "the repair", func() bool { return version() != before })
			return nil
		}, true},
		{"rebuild", func() error { _, err := x.Rebuild(t.Context(), dir, self, func(int, int) {}); return err }, true},
	} {
		if err := test.do(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		age(t, dir)
		listing(t, x, dir)
		is := version()
		if (is != last) != test.changes {
			t.Errorf("%s: version %d, then %d", test.name, last, is)
		}
		if again := version(); again != is {
			t.Errorf("%s: version %d, and with nothing done %d", test.name, is, again)
		}
		last = is
	}
	other := maildirWith(t, map[string]string{"new/1.a": "one\n"})
	m, err := x.Open(t.Context(), other, "bob", self)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Version() <= last {
		t.Errorf("another mailbox has version %d, after %d", m.Version(), last)
	}
}

// TestVersionOfSession: a session's version is that of what it sees, whatever
// happens meanwhile.
func TestVersionOfSession(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "one\n"})
	x := newIndex(t, Options{})
	m, err := x.Open(t.Context(), dir, "alice", self)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	before := m.Version()
	if err := deliver(dir, "2.b", "two\n")(); err != nil {
		t.Fatal(err)
	}
	age(t, dir)
	if lines := listing(t, x, dir); len(lines) != 2 || m.Len() != 1 || m.Version() != before {
		t.Errorf("%q; the session has %d messages and version %d, not %d", lines, m.Len(), m.Version(), before)
	}
}
