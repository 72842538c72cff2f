package index

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asOwner runs do as a user without privileges. As root it takes that user's
// file system identity on a thread that ends with do.
func asOwner(t *testing.T, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		do()
		return
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		err := unix.Setfsuid(nobody)
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

const nobody = 65534

func TestHostileEntries(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	long := "3." + strings.Repeat("x", 253)
	dir := maildirWith(t, map[string]string{"new/1.a": "1", "cur/2.b\xff\n :2,": "2", "cur/" + long: "3", "cur/9.unreadable": "no"})
	cur := func(name string) string { return filepath.Join(dir, "cur", name) }
	// The path of a socket is short, so it is made from within.
	t.Chdir(filepath.Join(dir, "cur"))
	listener, err := net.Listen("unix", "1.socket")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, err := range []error{
		os.Symlink(outside, cur("1.link")),
		os.Symlink("/nowhere", cur("1.dangling")),
		os.Symlink("../new/1.a", cur("1.inside")),
		os.Symlink("1.loop", cur("1.loop")),
		unix.Mkfifo(cur("1.fifo"), 0o644),
		os.Mkdir(cur("1.dir"), 0o755),
		os.Chmod(cur("9.unreadable"), 0),
		os.Symlink(outside, filepath.Join(dir, "dovecot-uidlist")),
		unix.Mkfifo(filepath.Join(dir, "courierpop3dsizelist"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"1.link": "a symbolic link", "1.dangling": "a symbolic link", "1.inside": "a symbolic link", "1.loop": "a symbolic link",
		"1.fifo": "a FIFO", "1.dir": "a directory", "1.socket": "a socket or a device", "9.unreadable": "permission denied",
		"dovecot-uidlist": "a symbolic link", "courierpop3dsizelist": "a FIFO",
	}
	if os.Getuid() == 0 {
		if err := unix.Mknod(cur("1.device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err == nil {
			want["1.device"] = "a socket or a device"
		}
		giveAway(t, dir)
	}
	age(t, dir)
	got := map[string]string{}
	var m *Mailbox
	asOwner(t, func() {
		m, err = openOnce(t.Context(), dir, Options{Measure: measure, Events: told{skipped: func(path, reason string) { got[filepath.Base(path)] = reason }}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for name, reason := range want {
		if got[name] != reason {
			t.Errorf("%s: skipped as %q, want %q", name, got[name], reason)
		}
	}
	if len(got) != len(want) {
		t.Errorf("skipped %q", got)
	}
	if m.Len() != 3 || content(t, m, 0)+content(t, m, 1)+content(t, m, 2) != "123" {
		t.Errorf("messages %q", uidls(m))
	}
}

// giveAway gives everything in dir to nobody and lets nobody get there.
func giveAway(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, -1))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoPermission has directories that their owner cannot list or search: an
// empty mailbox would be a lie.
func TestNoPermission(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode os.FileMode
		want string
	}{
		{".", 0o000, "open Maildir: open DIR: permission denied"},
		{".", 0o400, "open Maildir: open DIR/new: permission denied"},
		{"cur", 0o000, "open Maildir: open DIR/cur: permission denied"},
		{"cur", 0o400, "read Maildir DIR: no permission to search cur: it needs mode x"},
	} {
		dir := maildirWith(t, map[string]string{"cur/1.a": "1"})
		if os.Getuid() == 0 {
			giveAway(t, dir)
		}
		path := filepath.Join(dir, tt.name)
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		asOwner(t, func() {
			m, err := openOnce(t.Context(), dir, Options{Measure: measure})
			if err == nil {
				t.Errorf("%s with mode %o: %d messages", tt.name, tt.mode, m.Len())
				m.Close()
			} else if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != tt.want {
				t.Errorf("%s with mode %o: error %q, want %q", tt.name, tt.mode, got, tt.want)
			}
		})
		os.Chmod(path, 0o700)
	}
}

// TestReplacedAfterOpen swaps a message for something else during a session.
func TestReplacedAfterOpen(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "1", "new/2.b": "2"})
	m := open(t, dir, Options{})
	for _, name := range []string{"new/1.a", "new/2.b"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "new/1.a")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "new/2.b"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"a symbolic link", "a FIFO"} {
		if _, err := m.OpenMessage(i); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("message %d: error %v, want %q", i, err, want)
		}
	}
}

func TestReadChangingFile(t *testing.T) {
	for _, tt := range []struct {
		size int64 // changed to after 3 of 10 bytes are read
		want string
		err  error
	}{
		{20, "0123456789", nil},
		{10, "0123456789", nil},
		{9, "012345678", io.ErrUnexpectedEOF},
		{0, "012", io.ErrUnexpectedEOF},
	} {
		dir := maildirWith(t, map[string]string{"new/1.a": "0123456789"})
		m := open(t, dir, Options{})
		f, err := m.OpenMessage(0)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 3)
		if _, err := io.ReadFull(f, head); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, "new/1.a"), tt.size); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(f)
		if got := string(head) + string(rest); got != tt.want || err != tt.err || f.Size() != 10 {
			t.Errorf("changed to %d: read %q of %d, error %v, want %q, %v", tt.size, got, f.Size(), err, tt.want, tt.err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if _, err := f.Read(head); err != os.ErrClosed {
			t.Errorf("read after close: %v", err)
		}
		if err := f.Close(); err != os.ErrClosed {
			t.Errorf("second close: %v", err)
		}
	}
}

// TestShrinkWhileCounting cuts a message short under the eyes of a rule that
// takes every error for the end.
func TestShrinkWhileCounting(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "0123456789", "new/2.b": ""})
	var skipped []string
	m := open(t, dir, Options{
		Measure: func(r io.Reader) (octets int64, err error) {
			n, _ := r.Read(make([]byte, 3))
			os.Truncate(filepath.Join(dir, "new/1.a"), 0)
			r.Read(make([]byte, 3))
			return int64(n), nil
		},
		Events: told{skipped: func(path, reason string) { skipped = append(skipped, reason) }},
	})
	if len(skipped) != 1 || skipped[0] != "unexpected EOF" || m.Len() != 1 {
		t.Errorf("%d messages, skipped %q", m.Len(), skipped)
	}
}
