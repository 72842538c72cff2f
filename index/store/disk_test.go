package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of this size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		t.Skip("cannot mount a small file system: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk writes a file until so many bytes are left.
func fillDisk(t *testing.T, dir string, left uint64) (filler string) {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	filler = filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, s.Bavail*uint64(s.Bsize)-left), 0o600); err != nil {
		t.Fatal(err)
	}
	return filler
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "4m")
	var n notices
	s := mustOpen(t, dir, Options{Note: n.note, Delay: never, Count: 100})
	s.Update(Update{Mailbox: "m", Clear: true, Put: put("a=1")})
	s.Update(Update{Mailbox: "n", Clear: true, Put: put("a=1")})
	mustFlush(t, s)
	filler := fillDisk(t, dir, 0)
	if _, err := s.Begin("m", make([]byte, 100_000)); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("Begin on a full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	filler = fillDisk(t, dir, 200_000)

	// What is too large waits; the journal goes on beside it.
	s.Update(Update{Mailbox: "m", Put: []Entry{{[]byte("b"), []byte("2")}}})
	s.Update(Update{Mailbox: "large", Clear: true, Put: entries(5000)})
	for range 3 {
		if err := s.Flush(); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("Flush on a full disk: %v", err)
		}
	}
	begun, err := s.Begin("m", []byte("data"))
	if err != nil {
		t.Fatalf("Begin on a disk with some room: %v", err)
	}
	if load(t, s, "m") != ": a=1" || !s.Pending("m") || !s.Pending("large") {
		t.Errorf("m holds %q", load(t, s, "m"))
	}
	if n.count(Failed) != 1 || n.count(Recovered) != 0 || len(n.list) != 1 {
		t.Errorf("%+v", n.list)
	}

	s.q.mu.Lock()
	if !s.q.failing {
		t.Error("the journal going on counts as recovery: updates would wait for the disk")
	}
	s.q.mu.Unlock()

	// Too much waits: memory is bounded, and what waited is forgotten.
	for i := range 3 * backlog * 100 {
		s.Update(Update{Mailbox: "m", Put: []Entry{{fmt.Append(nil, i), nil}}})
	}
	s.q.mu.Lock()
	if s.q.changes > backlog*100+10 || len(s.q.ops) > backlog*100+10 {
		t.Errorf("%d changes and %d operations wait", s.q.changes, len(s.q.ops))
	}
	s.q.mu.Unlock()
	if n.count(Forgotten) != 1 {
		t.Errorf("%+v", n.list)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, s)
	for m, want := range map[string]string{"m": "none", "large": "none", "n": ": a=1"} {
		if got := load(t, s, m); got != want || s.Pending(m) {
			t.Errorf("%s holds %.80q, want %q", m, got, want)
		}
	}
	if n.count(Recovered) != 1 || len(n.list) != 3 {
		t.Errorf("%+v", n.list)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, Options{Note: func(n Notice) { t.Errorf("%+v", n) }})
	if ids := s.journal.ids(); len(ids) != 1 || ids[0] != begun {
		t.Errorf("the journal has %d, want %d alone", ids, begun)
	}
}

// TestCloseFull closes a store that cannot write.
func TestCloseFull(t *testing.T) {
	dir := smallDisk(t, "1m")
	s := mustOpen(t, dir, Options{Delay: never})
	filler := fillDisk(t, dir, 0)
	s.Update(Update{Mailbox: "m", Clear: true, Put: entries(1000)})
	if err := s.Close(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Close on a full disk: %v", err)
	}
	if _, err := Open(t.TempDir()+"/none", Options{}); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("no directory: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if s = mustOpen(t, dir, Options{}); load(t, s, "m") != "none" {
		t.Error("a part was committed")
	}
}

// TestOpenFull makes a store where there is no room for one, then where there is.
func TestOpenFull(t *testing.T) {
	dir := smallDisk(t, "1m")
	filler := fillDisk(t, dir, 0)
	if _, err := Open(dir, Options{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Open on a full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir, Options{})
	s.Update(Update{Mailbox: "m", Clear: true})
	mustFlush(t, s)
}

func TestUnwritable(t *testing.T) {
	var dir string
	if os.Geteuid() == 0 {
		dir = smallDisk(t, "1m")
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	} else {
		dir = t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Open(dir, Options{})
	if err == nil || !strings.Contains(err.Error(), "must be writable") || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory that cannot be written: %v", err)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, "hold", dir)
	if line, err := c.out.ReadString('\n'); line != "open\n" {
		t.Fatal(line, err)
	}
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d,", c.cmd.Process.Pid)) {
		t.Errorf("used by process %d: %v", c.cmd.Process.Pid, err)
	}
	c.kill(t)
	s := mustOpen(t, dir, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// Another program than sidepop has the file itself.
	db, err := bolt.Open(s.path(), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("read by another program: %v", err)
	}
	if _, err := os.Stat(s.path()); err != nil {
		t.Errorf("a locked file was set aside: %v", err)
	}
}
