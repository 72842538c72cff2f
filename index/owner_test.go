package index

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keeperVariable is set in the environment of a process that is as the server is
// that acts as owners: root with no capability but to do that. What it does as
// itself with a Maildir fails, since that lies in a folder of its owner's alone.
const keeperVariable = "SIDEPOP_INDEX_KEEPER"

// Owners that need not exist.
var (
	alice = Owner{UID: 61001, GID: 61001}
	bob   = Owner{UID: 61002, GID: 61002}
)

const team = 61900 // a group

// self is the owner of what tests make, unless they say something else.
var self = func() Owner {
	if os.Getenv(keeperVariable) != "" {
		return alice
	}
	return ProcessOwner()
}()

// as is Options.As in this process.
func as() func(Owner, func() error) error {
	if os.Getenv(keeperVariable) != "" {
		return actAs
	}
	return nil
}

// acting does what an owner does himself.
func acting(o Owner, f func() error) error {
	if os.Getenv(keeperVariable) != "" {
		return actAs(o, f)
	}
	return f()
}

// sections counts the calls of actAs.
var sections atomic.Int32

// actAs runs f as an owner. Within itself it panics.
func actAs(o Owner, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if was, _ := unix.SetfsuidRetUid(-1); was != 0 {
		panic(fmt.Sprintf("a section within one of user id %d", was))
	}
	become := func(uid, gid int, groups []uint32) {
		_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
		if errno != 0 {
			panic(errno)
		}
		must(unix.SetfsgidRetGid(gid))
		must(unix.SetfsuidRetUid(uid))
	}
	sections.Add(1)
	become(int(o.UID), int(o.GID), o.Groups)
	defer become(0, 0, nil)
	return f()
}

// asKeeper says whether this is such a process. Otherwise it runs the test in one.
func asKeeper(t *testing.T) bool {
	t.Helper()
	if os.Getenv(keeperVariable) != "" {
		return true
	}
	if os.Getuid() != 0 {
		if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o711), os.Chmod(dir, 0o777|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), keeperVariable+"=1", "TMPDIR="+dir)
	done := make(chan error)
	var out []byte
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		err := dropCapabilities()
		if err == nil {
			out, err = cmd.CombinedOutput()
		}
		done <- err
	}()
	if err := <-done; err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// dropCapabilities takes all but two out of what programs can have that this
// thread starts.
func dropCapabilities() error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if c == unix.CAP_SETUID || c == unix.CAP_SETGID {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
			return err
		}
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// home makes a folder where only its owner can go.
func home(t testing.TB, o Owner) (dir string) {
	t.Helper()
	if os.Getenv(keeperVariable) == "" {
		return t.TempDir()
	}
	err := actAs(o, func() (err error) {
		dir, err = os.MkdirTemp("", "home") // removed with the parent's
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadDir(dir); !errors.Is(err, unix.EACCES) {
		t.Fatalf("this process reads %s as itself: %v", dir, err)
	}
	return dir
}

// do does things as an owner.
func do(t testing.TB, o Owner, all ...func() error) {
	t.Helper()
	for _, f := range all {
		if err := acting(o, f); err != nil {
			t.Fatal(err)
		}
	}
}

// deliver gives something to do: to make a message in new.
func deliver(dir, name, content string) func() error {
	return func() error {
		for _, f := range []string{"tmp", "new", "cur"} {
			if err := os.MkdirAll(filepath.Join(dir, f), 0o700); err != nil {
				return err
			}
		}
		tmp := filepath.Join(dir, "tmp", name)
		return errors.Join(os.WriteFile(tmp, []byte(content), 0o600), os.Rename(tmp, filepath.Join(dir, "new", name)))
	}
}

func symlink(target, path string) func() error {
	return func() error { return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Symlink(target, path)) }
}

// TestScriptsAsOwner runs the scripts of TestScripts, all of them, in a process
// that could do nothing with the Maildirs as itself.
func TestScriptsAsOwner(t *testing.T) {
	if !asKeeper(t) {
		return
	}
	all, err := filepath.Glob("testdata/watch/*.txt")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d scripts, error %v", len(all), err)
	}
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for mode, watch := range map[string]Watch{"all": WatchAll, "active": WatchActive, "none": WatchNone} {
			t.Run(filepath.Base(file)+"/"+mode, func(t *testing.T) {
				t.Parallel()
				runScript(t, string(text), watch)
			})
		}
	}
	if syscall.Geteuid() != 0 {
		t.Error("this is not root")
	}
}
