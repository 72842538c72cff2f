package index

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cached gives a folder and a file in it, which is opened by openCached, if that can be.
func cached(t *testing.T, dir, name string) (at, fd int) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(at) })
	if !isLocal(at) {
		t.Skipf("%s is not on a local file system", dir)
	}
	fd, err = openCached(at, name)
	switch err {
	case nil:
	case unix.ENOSYS, unix.EPERM, unix.EINVAL:
		t.Skip("this needs openat2 of Linux 5.12")
	default:
		t.Fatal(err)
	}
	return at, fd
}

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
	at, fd := cached(t, dir, "file")
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

// TestHaste: where many files take long to open, or one takes very long, none is hurried
// after for a while. A few among many, and failures, are no reason.
func TestHaste(t *testing.T) {
	const quick, slow, very = time.Microsecond, 2 * slowOpen, time.Second
	var h haste
	begun := time.Now()
	later := func(d time.Duration) bool { return h.allows(begun.Add(d)) }
	times := func(n int, d time.Duration, err error) {
		for range n {
			h.took(d, err)
		}
	}
	for range 100 {
		times(1, slow, nil)
		times(slowParts, quick, nil)
	}
	times(slowOpens-1, slow, nil)
	times(1000, quick, unix.EAGAIN)
	if !later(0) {
		t.Error("a few took long")
	}
	if times(1, slow, unix.EAGAIN); later(0) || later(leastCareful-time.Millisecond) {
		t.Error("many took long")
	}
	if !later(time.Since(begun) + leastCareful) {
		t.Error("for ever")
	}
	if times(1, very, nil); later(slowTimes*very-time.Millisecond) || !later(time.Since(begun)+slowTimes*very) {
		t.Error("one took very long")
	}
	h = haste{}
	if times(1, time.Hour, nil); later(mostCareful-time.Millisecond) || !later(time.Since(begun)+mostCareful) {
		t.Error("one took an hour")
	}
	h = haste{}
	for range 10 {
		times(slowOpens, slow, nil)
		times(slowParts-1, quick, nil)
	}
	if later(0) {
		t.Error("most took long")
	}
}

// TestScanned has a program decide on every open in a Maildir, which takes its time, as
// virus scanners do. It is waited for in calls that Go's scheduler knows of.
func TestScanned(t *testing.T) {
	const messages = slowOpens + 5
	dir := memory(t)
	makeNumbered(t, dir, messages)
	x := newIndex(t, Options{})
	m, err := x.Open(t.Context(), dir, "", self)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	_, fd := cached(t, dir, "new")
	unix.Close(fd)
	scanner := startChild(t, "scan", filepath.Join(dir, "new"))
	defer scanner.kill(t)
	if said := scanner.said(t); said != scanReady {
		if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
			t.Fatal(said)
		}
		t.Skip(said)
	}
	x.haste = haste{} // whatever took long before
	slow, begun := 0, time.Now()
	for i := range messages {
		begun := time.Now()
		f, err := m.OpenMessage(i)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < scanTime {
			t.Fatalf("message %d was opened in %v: nobody was asked", i, took)
		}
		if f.AtHand() {
			slow++
		}
		if text, err := io.ReadAll(f); err != nil || int64(len(text)) != f.Size() {
			t.Errorf("message %d: %d bytes, %v", i, len(text), err)
		}
		f.Close()
	}
	if slow == 0 || slow > slowOpens && time.Since(begun) < leastCareful {
		t.Errorf("%d of %d messages were waited for without the scheduler's knowing, want %d", slow, messages, slowOpens)
	}
}

const (
	scanTime  = 3 * slowOpen
	scanReady = "ready"
)

// childScan allows every open in a folder, after a while.
func childScan(args []string) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err == nil {
		err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM|unix.FAN_EVENT_ON_CHILD, unix.AT_FDCWD, args[0])
	}
	if err != nil {
		fmt.Println("this needs fanotify, and the rights of root:", err)
		time.Sleep(time.Hour) // until it is killed
	}
	fmt.Println(scanReady)
	events := os.NewFile(uintptr(fd), "fanotify")
	for {
		var e unix.FanotifyEventMetadata
		if err := binary.Read(events, binary.NativeEndian, &e); err != nil {
			panic(err)
		}
		time.Sleep(scanTime)
		must(0, binary.Write(events, binary.NativeEndian, unix.FanotifyResponse{Fd: e.Fd, Response: unix.FAN_ALLOW}))
		must(0, unix.Close(int(e.Fd)))
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
