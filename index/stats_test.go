package index

import "testing"

// TestStats follows the counts of an index while a mailbox is used and left.
func TestStats(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "x", "new/2.a": "xx", "cur/3.a:2,": "xxx"})
	x, err := New(Options{Measure: measure, State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if s := x.Stats(); s.Active != 0 || s.Entries != 0 || s.Watched != 0 || s.Rescans != 0 || s.Store.Mailboxes != 0 {
		t.Errorf("at first: %+v", s)
	}
	m, err := x.Open(t.Context(), dir, "bob", self)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.store.Flush(); err != nil {
		t.Fatal(err)
	}
	s := x.Stats()
	if s.Active != 1 || s.Entries != 3 || s.Watched != int(folders) || s.Rescans != 1 || s.Store.Mailboxes != 1 {
		t.Errorf("with a mailbox: %+v", s)
	}
	if failed, err := m.Commit(t.Context(), []int{0}, nil); failed != 0 || err != nil {
		t.Fatalf("%d, %v", failed, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err = x.Open(t.Context(), dir, "bob", self); err != nil {
		t.Fatal(err)
	}
	if s := x.Stats(); s.Entries != 2 {
		t.Errorf("after a removal: %+v", s)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	_ = x.Stats() // nobody has to know that it is closed
}
