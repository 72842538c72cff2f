package index

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// withoutOpenat2 has openBelow do without, until the end of the test.
func withoutOpenat2(t *testing.T) {
	have := haveOpenat2
	haveOpenat2 = func() bool { return false }
	t.Cleanup(func() { haveOpenat2 = have })
}

func TestOpenBelow(t *testing.T) {
	root := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(root, "d"), 0o700),
		os.WriteFile(filepath.Join(root, "d/file"), []byte("x"), 0o600),
		os.WriteFile(filepath.Join(root, "outside"), []byte("x"), 0o600),
		os.Symlink("file", filepath.Join(root, "d/link")),
		os.Symlink("/etc/passwd", filepath.Join(root, "d/absolute")),
		os.Symlink("nowhere", filepath.Join(root, "d/dangling")),
		unix.Mkfifo(filepath.Join(root, "d/fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := os.Open(filepath.Join(root, "d"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	check := func(t *testing.T) {
		for name, want := range map[string]error{
			"file": nil, "link": unix.ELOOP, "absolute": unix.ELOOP, "dangling": unix.ELOOP, "fifo": nil, "none": unix.ENOENT,
		} {
			fd, err := openBelow(int(d.Fd()), name, openFlags)
			if err != want {
				t.Errorf("%s: error %v, want %v", name, err, want)
			}
			if err != nil {
				continue
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s leaks into children", name)
			}
			unix.Close(fd)
		}
	}
	t.Run("openat2", func(t *testing.T) {
		if !haveOpenat2() {
			t.Skip("this kernel, or a filter, does not have it")
		}
		check(t)
		for _, name := range []string{"../outside", "/etc/passwd"} { // which nobody asks for
			if fd, err := openBelow(int(d.Fd()), name, openFlags); err != unix.ENOENT {
				t.Errorf("%s: descriptor %d, error %v", name, fd, err)
			}
		}
	})
	t.Run("openat", func(t *testing.T) {
		withoutOpenat2(t)
		check(t)
	})
}

// TestOpenBelowWhileRenamed: a name that is taken away in the very moment is gone,
// and nothing else.
func TestOpenBelowWhileRenamed(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "1"})
	d, err := openDirs(dir, false, new(haste))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	stop := make(chan struct{})
	var renames sync.WaitGroup
	renames.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				os.Rename(dir+"/new/1.a", dir+"/cur/1.a")
				os.Rename(dir+"/cur/1.a", dir+"/new/1.a")
			}
		}
	})
	for range 50_000 {
		fd, err := openBelow(d.fd(folderNew), "1.a", openFlags)
		if err == nil {
			unix.Close(fd)
		} else if !isGone(err) {
			t.Error(err)
			break
		}
	}
	close(stop)
	renames.Wait()
}

func TestOpenMessages(t *testing.T) {
	files := make(map[string]string)
	for i := range 5 {
		files[fmt.Sprintf("new/%d.a", i)] = strings.Repeat("x", i)
	}
	dir := maildirWith(t, files)
	m := open(t, dir, Options{})
	if err := os.Remove(dir + "/new/3.a"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		first, room int
		sizes       []int64
		err         error
	}{
		{0, 1, []int64{0}, nil}, {0, 3, []int64{0, 1, 2}, nil}, {1, 4, []int64{1, 2}, nil}, {0, 16, []int64{0, 1, 2}, nil},
		{3, 2, nil, ErrGone}, {4, 1, []int64{4}, nil}, {4, 16, []int64{4}, nil},
	} {
		opened := make([]*File, c.room)
		n, err := m.OpenMessages(c.first, opened)
		var sizes []int64
		for _, f := range opened[:n] {
			sizes = append(sizes, f.Size())
			// The descriptor is somebody else's from now on.
			fd := f.Detach()
			buf := make([]byte, 16)
			if got, err := unix.Read(fd, buf); err != nil || int64(got) != f.Size() {
				t.Errorf("%d bytes, %v", got, err)
			}
			if _, err := f.Read(buf); err != os.ErrClosed {
				t.Errorf("read after Detach: %v", err)
			}
			if err := f.Close(); err != os.ErrClosed {
				t.Errorf("close after Detach: %v", err)
			}
			if err := unix.Close(fd); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(sizes, c.sizes) || (err == nil) != (c.err == nil) || c.err != nil && !strings.Contains(err.Error(), c.err.Error()) {
			t.Errorf("from %d, room for %d: %v, %v", c.first, c.room, sizes, err)
		}
	}
}

func TestOwnerEncoding(t *testing.T) {
	for _, o := range []Owner{{}, {1, 2, nil}, {61001, 61002, []uint32{0, 4, 1 << 31, 1<<32 - 2}}} {
		b := appendOwner(nil, &o)
		r := decoder{b: b}
		if got := r.owner(); r.bad || len(r.b) > 0 || !got.equal(&o) {
			t.Errorf("%v became %v, %d bytes left", o, got, len(r.b))
		}
		for n := range b {
			r := decoder{b: b[:n]}
			if r.owner(); !r.bad {
				t.Errorf("%v cut to %d bytes is taken", o, n)
			}
		}
		h := header{options: []byte{1}, owner: &o, user: "u", messages: 3}
		if got, err := decodeHeader(h.encode()); err != nil || !got.owner.equal(&o) || got.user != "u" || got.messages != 3 {
			t.Errorf("a header of %v: %v, %v", o, got, err)
		}
	}
	for _, b := range []string{"\x80\x80\x80\x80\x10\x00\x00", "\x00\x80\x80\x80\x80\x10\x00", "\x00\x00\x01\x80\x80\x80\x80\x10", "\x00\x00\xff\xff\xff\xff\xff\x0f\x01"} {
		r := decoder{b: []byte(b)}
		if o := r.owner(); !r.bad {
			t.Errorf("%q is taken for %v", b, o)
		}
	}
	if a, b := (Owner{1, 2, []uint32{5, 3, 5}}).ordered(), (Owner{1, 2, []uint32{3, 5}}).ordered(); !a.equal(b) {
		t.Errorf("%v and %v differ", a, b)
	}
}
