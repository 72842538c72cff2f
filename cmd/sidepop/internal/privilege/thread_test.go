package privilege

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Users that need not exist.
const (
	alice = 61001
	bob   = 61002
	team  = 61900 // a group
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

// home makes a folder with a file, both of one user and group.
func home(t testing.TB, uid, gid int, mode os.FileMode) string {
	t.Helper()
	above := t.TempDir()
	for dir := above; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(above, "home")
	file := filepath.Join(dir, "mail")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(file, []byte("x"), 0o600),
		os.Chown(file, uid, gid), os.Chown(dir, uid, gid), os.Chmod(file, mode&^0o110), os.Chmod(dir, mode)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(dir string) error {
	_, err := os.ReadFile(filepath.Join(dir, "mail"))
	return err
}

func watch(dir string) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_CREATE)
	return err
}

func TestAs(t *testing.T) {
	needRoot(t)
	alices, bobs := home(t, alice, alice, 0o700), home(t, bob, bob, 0o700)
	shared, roots := home(t, bob, team, 0o750), home(t, 0, 0, 0o750)
	for _, c := range []struct {
		uid, gid uint32
		groups   []uint32
		dir      string
		may      bool
	}{
		{alice, alice, nil, alices, true},
		{alice, alice, nil, bobs, false},
		{bob, bob, nil, bobs, true},
		{bob, bob, nil, alices, false},
		{alice, alice, nil, shared, false},
		{alice, team, nil, shared, true},
		{alice, alice, []uint32{team}, shared, true},
		{alice, alice, []uint32{bob, team}, shared, true},
		{alice, alice, []uint32{bob, team}, bobs, false},
		{alice, alice, nil, roots, false},
		{alice, 0, nil, roots, true},
	} {
		for name, op := range map[string]func(string) error{"read": read, "watch": watch} {
			ran := false
			err := As(c.uid, c.gid, c.groups, func() error {
				ran = true
				return op(c.dir)
			})
			if !ran || c.may != (err == nil) || !c.may && !errors.Is(err, unix.EACCES) {
				t.Errorf("%s of %s as %d:%d %v: %v", name, c.dir, c.uid, c.gid, c.groups, err)
			}
			if err := op(bobs); err != nil {
				t.Fatalf("root is not back: %v", err)
			}
		}
	}
}

// status gives lines of /proc/self/task/TID/status that begin with one of the words.
func status(t testing.TB, tid string, words ...string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/task/" + tid + "/status")
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) { // it has ended
		t.Error(err)
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		for _, w := range words {
			if strings.HasPrefix(line, w) {
				found = append(found, strings.Join(strings.Fields(line), " "))
			}
		}
	}
	return strings.Join(found, ", ")
}

func TestAsChangesOneThread(t *testing.T) {
	needRoot(t)
	before := status(t, fmt.Sprint(os.Getpid()), "Uid", "Gid", "Groups")
	err := As(alice, bob, []uint32{team}, func() error {
		me := fmt.Sprint(unix.Gettid())
		want := fmt.Sprintf("Uid: 0 0 0 %d, Gid: 0 0 0 %d, Groups: %d", alice, bob, team)
		if is := status(t, me, "Uid", "Gid", "Groups"); is != want {
			t.Errorf("the thread is %s, not %s", is, want)
		}
		// A thread made meanwhile: its goroutine needs one since this one is locked.
		other := make(chan string)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			other <- status(t, fmt.Sprint(unix.Gettid()), "Uid", "Gid", "Groups")
		}()
		if is := <-other; is != before {
			t.Errorf("a new thread is %s, not %s", is, before)
		}
		threads, err := os.ReadDir("/proc/self/task")
		for _, thread := range threads {
			if is := status(t, thread.Name(), "Uid", "Gid", "Groups"); is != "" && thread.Name() != me && is != before {
				t.Errorf("thread %s is %s, not %s", thread.Name(), is, before)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if is := status(t, thread.Name(), "Uid", "Gid", "Groups"); is != "" && is != before {
			t.Errorf("afterwards thread %s is %s, not %s", thread.Name(), is, before)
		}
	}
}

func TestAsRefuses(t *testing.T) {
	needRoot(t)
	never := func() error {
		t.Error("it runs")
		return nil
	}
	for _, c := range []credentials{{uid: 0, gid: alice}, {uid: unchanged, gid: alice}, {uid: alice, gid: unchanged}, {uid: alice, gid: alice, groups: []uint32{unchanged}}} {
		if err := As(c.uid, c.gid, c.groups, never); err == nil {
			t.Errorf("%v: no error", c)
		}
	}
	dir := home(t, alice, alice, 0o700)
	err := As(alice, alice, nil, func() error {
		if err := As(bob, bob, nil, never); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("within itself: %v", err)
		}
		return read(dir) // still as alice
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAsEndsWithAPanic(t *testing.T) {
	needRoot(t)
	for name, end := range map[string]func(){"panic": func() { panic("of f") }, "Goexit": runtime.Goexit} {
		done := make(chan any)
		tid := 0
		go func() {
			defer func() {
				p := recover()
				if is := kernel.setfsuid(unchanged); unix.Gettid() != tid || is != 0 {
					t.Errorf("%s: afterwards the thread is user %d", name, is)
				}
				done <- p
			}()
			_ = As(alice, alice, nil, func() error {
				tid = unix.Gettid()
				end()
				return nil
			})
		}()
		if p := <-done; name == "panic" && p != "of f" {
			t.Errorf("the panic is %v", p)
		}
	}
}

func TestAsManyAtOnce(t *testing.T) {
	needRoot(t)
	users := []uint32{61001, 61002, 61003, 61004}
	homes := make(map[uint32]string)
	for _, u := range users {
		homes[u] = home(t, int(u), int(u), 0o700)
	}
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			u := users[i%len(users)]
			other := users[(i+1)%len(users)]
			for range 50 {
				err := As(u, u, []uint32{u + 1000}, func() error {
					if err := read(homes[other]); !errors.Is(err, unix.EACCES) {
						t.Errorf("%d reads what is %d's: %v", u, other, err)
					}
					runtime.Gosched()
					return read(homes[u])
				})
				if err != nil {
					t.Error(err)
				}
				if err := read(homes[other]); err != nil {
					t.Errorf("root is not back: %v", err)
				}
			}
		})
	}
	all.Wait()
}

// TestAsWithoutCapabilities is of a process that is not allowed to.
func TestAsWithoutCapabilities(t *testing.T) {
	needRoot(t)
	runChild(t, "TestAsWithoutCapabilities", func() {
		id, err := Lookup("nobody")
		if err == nil {
			err = Drop(id)
		}
		if err != nil {
			t.Fatal(err)
		}
		err = As(alice, alice, nil, func() error {
			t.Error("it runs")
			return nil
		})
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_SETGID") {
			t.Error(err)
		}
	})
}

func BenchmarkAs(b *testing.B) {
	needRoot(b)
	groups := []uint32{team, alice}
	for b.Loop() {
		if err := As(alice, alice, groups, func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
