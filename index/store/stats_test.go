package store

import "testing"

// TestStats counts mailboxes through all that can become of one, and from a file that
// is opened again.
func TestStats(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	flush := func(want int64) {
		t.Helper()
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := s.Stats(); got.Mailboxes != want || got.Waiting != 0 || got.Failures != 0 || got.Bytes < 4096 {
			t.Errorf("%+v, want %d mailboxes", got, want)
		}
	}
	flush(0)
	for _, name := range []string{"a", "b", "c"} {
		s.Update(Update{Mailbox: name, Clear: true, Header: []byte(name)})
	}
	flush(3)
	s.Update(Update{Mailbox: "a", Clear: true, Header: []byte("again")})
	s.Update(Update{Mailbox: "b", Drop: true})
	s.Update(Update{Mailbox: "unknown", Drop: true})
	s.Update(Update{Mailbox: "unknown", Header: []byte("x")}) // ignored
	flush(2)
	s.Update(Update{Mailbox: "d", Clear: true, Header: []byte("d")})
	s.Update(Update{Mailbox: "d", Drop: true})
	s.Update(Update{Mailbox: "c", Drop: true})
	s.Update(Update{Mailbox: "c", Clear: true, Header: []byte("c")})
	flush(2)
	if got := s.Stats().Commits; got != 3 {
		t.Errorf("%d commits", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	flush(2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = s.Stats() // nobody has to know that it is closed
}
