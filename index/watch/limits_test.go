package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// setLimit sets a limit of the kernel until restore is called.
func setLimit(t *testing.T, name string, value int) (restore func()) {
	t.Helper()
	path := "/proc/sys/fs/inotify/" + name
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, fmt.Append(nil, value), 0); err != nil {
		skip(t, err.Error())
	}
	restore = func() {
		if err := os.WriteFile(path, old, 0); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(restore)
	return restore
}

func TestWatchLimit(t *testing.T) {
	w, dir := newWatcher(t, new(recorder)), t.TempDir()
	restore := setLimit(t, "max_user_watches", 1)
	_, err := addPath(w, dir)
	if !errors.Is(err, ErrLimit) || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{dir, "fs.inotify.max_user_watches is 1 ", `"sysctl fs.inotify.max_user_watches=2"`, "/etc/sysctl.d/"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
	if w.Len() != 0 {
		t.Errorf("%d watched", w.Len())
	}
	if _, err := New(filepath.Join(t.TempDir(), "cookies"), new(recorder)); !errors.Is(err, ErrLimit) {
		t.Errorf("New: error %v", err)
	}
	restore()
	if fresh, err := addPath(w, dir); !fresh || err != nil {
		t.Errorf("%v, error %v", fresh, err)
	}
}

func TestInstanceLimit(t *testing.T) {
	restore := setLimit(t, "max_user_instances", 0)
	_, err := New(filepath.Join(t.TempDir(), "cookies"), new(recorder))
	restore()
	if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "fs.inotify.max_user_instances is 0 ") {
		t.Errorf("error %v", err)
	}
}

// TestOverflow makes the queue overflow while the Handler is blocked.
func TestOverflow(t *testing.T) {
	restore := setLimit(t, "max_queued_events", 16)
	h := &recorder{block: make(chan struct{})}
	w, dir := newWatcher(t, h), memory(t)
	restore() // the limit is taken when the queue is made
	add(t, w, dir)
	alias := filepath.Join(t.TempDir(), "alias", filepath.Base(dir))
	if err := os.Symlink(filepath.Dir(dir), filepath.Dir(alias)); err != nil {
		t.Fatal(err)
	}
	const files = 1000
	for i := range files {
		touch(t, dir, fmt.Sprint(i))
	}
	result := startSync(t, w)
	touch(t, dir, "after")
	close(h.block)
	if err := <-result; !errors.Is(err, ErrOverflow) {
		t.Errorf("Sync: error %v", err)
	}
	if !slices.Contains(h.peek(), "overflow") {
		t.Error("Sync failed before the Handler was told")
	}
	// The queue may have overflowed several times, each time told.
	for w.Sync(t.Context()) != nil {
	}
	got := h.take()
	if len(got) >= files || slices.Contains(got, "touched "+dir+" after") {
		t.Errorf("told %d events: no overflow", len(got))
	}
	touch(t, dir, "later")
	mustSync(t, w)
	if got := h.take(); !slices.Equal(got, []string{"touched " + dir + " later"}) {
		t.Errorf("told %q", got)
	}

	// The end of a watch may have been lost, so each begins anew, once.
	for _, tt := range []struct {
		dir   string
		fresh bool
	}{{alias, true}, {dir, true}, {dir, false}, {alias, false}} {
		if fresh, err := addPath(w, tt.dir); fresh != tt.fresh || err != nil {
			t.Errorf("add %s: fresh %v, error %v", tt.dir, fresh, err)
		}
	}
	touch(t, dir, "last")
	mustSync(t, w)
	want := []string{"lost " + dir, "touched " + alias + " last", "touched " + dir + " last"}
	if got := h.take(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestNoNotification mounts a FUSE file system that nobody serves. It belongs to
// another user, so the kernel answers what is asked here by itself.
func TestNoNotification(t *testing.T) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		skip(t, "/dev/fuse: "+err.Error())
	}
	defer unix.Close(fd)
	dir := mkdir(t, t.TempDir(), "remote")
	if err := unix.Mount("test", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=12345,group_id=12345", fd)); err != nil {
		skip(t, "mount: "+err.Error())
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	w := newWatcher(t, new(recorder))
	if _, err := addPath(w, dir); !errors.Is(err, ErrNoNotification) || !strings.HasSuffix(err.Error(), ": FUSE") {
		t.Errorf("error %v", err)
	}
}
