package index

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestHaste: a few in a row that take long are not hurried after for a while, those that
// take long now and then are.
func TestHaste(t *testing.T) {
	var h haste
	took := func(what string) {
		for _, c := range what {
			h.took(map[rune]time.Duration{'q': time.Microsecond, 's': 2 * slowOpen}[c])
		}
	}
	now := time.Now()
	if took(strings.Repeat("ssq", 20)); !h.at(now) {
		t.Error("one of many took long, and the next")
	}
	if took("sss"); h.at(time.Now()) {
		t.Error("all take long")
	}
	if !h.at(time.Now().Add(slowTime)) {
		t.Error("for ever")
	}
}

// TestScanned has a program decide on every open in a Maildir, which takes its time, as
// virus scanners do. It is waited for in calls that Go's scheduler knows of.
func TestScanned(t *testing.T) {
	const messages = slowRow + 5
	dir := memory(t)
	makeNumbered(t, dir, messages)
	x := newIndex(t, Options{})
	m, err := x.Open(t.Context(), dir, "", self)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if f, err := m.OpenMessage(0); err != nil || !f.AtHand() {
		t.Skipf("%s is not on a local file system, or this needs openat2 of Linux 5.12: %v", dir, err)
	} else {
		f.Close()
	}
	scanner := startChild(t, "scan", filepath.Join(dir, "new"))
	defer scanner.kill(t)
	if scanner.said(t) == scanRefused {
		if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
			t.Fatal("this needs the rights of root")
		}
		t.Skip("this needs the rights of root")
	}
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
	if slow < slowRow || slow > slowRow && time.Since(begun) < slowTime {
		t.Errorf("%d of %d messages were waited for without the scheduler's knowing, want %d", slow, messages, slowRow)
	}
}

const (
	scanTime    = 3 * slowOpen
	scanReady   = "ready"
	scanRefused = "refused"
)

// childScan allows every open in a folder, after a while.
func childScan(args []string) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err == nil {
		err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM|unix.FAN_EVENT_ON_CHILD, unix.AT_FDCWD, args[0])
	}
	if err != nil {
		fmt.Println(scanRefused)
		select {}
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
