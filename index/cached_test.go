package index

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOpenCached opens what openBelow opens, and refuses what that refuses.
func TestOpenCached(t *testing.T) {
	dir := memory(t) // where every name is in memory
	outside := filepath.Join(t.TempDir(), "outside")
	for _, file := range []string{filepath.Join(dir, "file"), outside} {
		if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "foreign")); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(at)
	if !isLocal(at) {
		t.Skipf("%s is not on a local file system", dir)
	}
	fd, err := openCached(at, "file")
	switch err {
	case nil:
	case unix.ENOSYS, unix.EPERM, unix.EINVAL:
		t.Skip("this needs openat2 of Linux 5.12")
	default:
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := statCached(fd, &st); err != nil || st.Size != 5 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		t.Errorf("%d bytes, mode %o, %v", st.Size, st.Mode, err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 || err != nil {
		t.Errorf("it stays open in other programs: %v", err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_ACCMODE != unix.O_RDONLY || err != nil {
		t.Errorf("flags %o, %v", flags, err)
	}
	unix.Close(fd)
	if err := statCached(fd, &st); err != unix.EBADF {
		t.Errorf("stat of what is closed: %v", err)
	}
	for _, name := range []string{"link", "foreign", "missing", "..", "../" + filepath.Base(dir) + "/file", outside, "a\x00b", ""} {
		if fd, err := openCached(at, name); err == nil {
			unix.Close(fd)
			t.Errorf("%q was opened", name)
		}
	}
}

// TestLocalStays: a folder stays local while its messages are opened as fast as they
// should be.
func TestLocalStays(t *testing.T) {
	dir := maildirWith(t, nil)
	if err := os.WriteFile(filepath.Join(dir, "new", "1.a.b"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openDirs(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	var f File
	for range 100 { // of which one is as fast as they should be
		d.local[folderNew].Store(true)
		if err := d.open(place{"1.a.b", folderNew}, &f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if d.local[folderNew].Load() {
			break
		}
	}
	if !d.local[folderNew].Load() {
		t.Error("each of many took long")
	}
}

// TestIsLocal: what is not on a disk of this machine, or not known to be, is not local.
func TestIsLocal(t *testing.T) {
	fd, err := unix.Open("/proc/self", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if isLocal(fd) {
		t.Error("/proc is local")
	}
	unix.Close(fd)
	if isLocal(fd) {
		t.Error("what is closed is local")
	}
}
