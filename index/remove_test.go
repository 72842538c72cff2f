package index

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRemove(t *testing.T) {
	dir := maildirWith(t, map[string]string{
		"new/1.a": "1", "cur/2.b:2,": "22", "cur/3.c:2,S": "333", "cur/4.d": "4444", "cur/5.e": "55555",
		"maildirsize": "10485760S,0C\n15 5\n",
	})
	m := open(t, dir, Options{})
	rename(t, dir, "new/1.a", "cur/1.a:2,S")
	for _, err := range []error{
		os.Remove(filepath.Join(dir, "cur/2.b:2,")),
		os.Remove(filepath.Join(dir, "cur/4.d")),
		os.Mkdir(filepath.Join(dir, "cur/4.d"), 0o700), // cannot be unlinked
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	failed, err := m.Commit(t.Context(), []int{0, 1, 2, 3, 0}, nil)
	if failed != 1 || !errors.Is(err, unix.EISDIR) || !strings.Contains(err.Error(), dir+"/cur/4.d: ") {
		t.Errorf("%d failed, error %v", failed, err)
	}
	checkFile(t, filepath.Join(dir, "maildirsize"), "10485760S,0C\n15 5\n-4 -2\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if failed, err := m.Commit(ctx, []int{1, 4}, nil); failed != 2 || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %d failed, error %v", failed, err)
	}
	checkFile(t, filepath.Join(dir, "cur/5.e"), "55555")
	if _, err := m.OpenMessage(0); !errors.Is(err, ErrGone) {
		t.Errorf("open of a removed message: %v", err)
	}
}

func checkFile(t *testing.T, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("%s: %q, %v, want %q", filepath.Base(path), b, err, want)
	}
}

// TestQuotaFIFO has someone at the other end of the quota file.
func TestQuotaFIFO(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "1"})
	path := filepath.Join(dir, "maildirsize")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	m := open(t, dir, Options{})
	if failed, err := m.Commit(t.Context(), []int{0}, nil); failed != 0 || err != nil {
		t.Errorf("%d failed, %v", failed, err)
	}
	if n, err := unix.Read(fd, make([]byte, 16)); n > 0 {
		t.Errorf("%d bytes written, %v", n, err)
	}
}

// TestQuotaFile has quota files that must not be written: removal succeeds.
func TestQuotaFile(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	for _, tt := range []struct {
		about string
		make  func(path string) error
	}{
		{"absent", func(path string) error { return nil }},
		{"link", func(path string) error { return os.Symlink(outside, path) }},
		{"FIFO", func(path string) error { return unix.Mkfifo(path, 0o600) }},
		{"directory", func(path string) error { return os.Mkdir(path, 0o700) }},
	} {
		if err := os.WriteFile(outside, []byte("outside\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		dir := maildirWith(t, map[string]string{"new/1.a": "1"})
		path := filepath.Join(dir, "maildirsize")
		if err := tt.make(path); err != nil {
			t.Fatal(err)
		}
		m := open(t, dir, Options{})
		if failed, err := m.Commit(t.Context(), []int{0}, nil); failed != 0 || err != nil {
			t.Errorf("%s: %d failed, %v", tt.about, failed, err)
		}
		checkFile(t, outside, "outside\n")
		if _, err := os.Lstat(path); tt.about == "absent" && err == nil {
			t.Error("the quota file was made")
		}
		// What was gone already is not subtracted.
		os.Remove(path)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		m.Commit(t.Context(), []int{0}, nil)
		checkFile(t, path, "")
	}
}
