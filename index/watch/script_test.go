package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// recorder is a Handler that keeps what it is told.
type recorder struct {
	mu     sync.Mutex
	events []string      // "touched dir name", "lost dir", "overflow"
	block  chan struct{} // if not nil, each call waits until it can receive
}

func (r *recorder) add(event string) {
	if r.block != nil {
		<-r.block
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
}

func (r *recorder) Touched(dir, name string) { r.add("touched " + dir + " " + name) }
func (r *recorder) Lost(dir string)          { r.add("lost " + dir) }
func (r *recorder) Overflow()                { r.add("overflow") }

// take gives the events since the last call.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

func newWatcher(t testing.TB, h Handler) *Watcher {
	t.Helper()
	w, err := New(filepath.Join(t.TempDir(), "cookies"), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// skip leaves out what this machine does not allow, unless everything is asked for.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// TestScripts runs testdata/*.txt: file operations, one a line, in a directory
// of their own. Besides those named in script.do there are
//
//	add DIR fresh|same|TEXT   watch it; TEXT is part of the error expected
//	remove DIR                end the watch
//	len N                     so many directories are watched
//	sync                      look at what the Handler was told since the last one
//	expect EVENT              the next thing it was told. Nothing else may be left.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{T: t, root: t.TempDir(), h: new(recorder)}
			s.w = newWatcher(t, s.h)
			for i, line := range strings.Split(string(text), "\n") {
				line, _, _ = strings.Cut(line, "#")
				if args := fields(line); len(args) > 0 {
					s.line = i + 1
					s.run(args)
				}
			}
			s.nothingLeft()
		})
	}
}

// fields cuts a line at its spaces and reads what is in quotes.
func fields(line string) []string {
	args := strings.Fields(line)
	for i, arg := range args {
		if s, err := strconv.Unquote(arg); err == nil {
			args[i] = s
		}
	}
	return args
}

type script struct {
	*testing.T
	root string
	h    *recorder
	w    *Watcher
	line int
	told []string
}

func (s *script) path(name string) string { return filepath.Join(s.root, name) }

func (s *script) run(args []string) {
	s.Helper()
	if args[0] != "expect" {
		s.nothingLeft()
	}
	switch args[0] {
	case "add":
		s.add(args[1], strings.Join(args[2:], " "))
	case "remove":
		s.w.Remove(s.path(args[1]))
	case "len":
		if got := fmt.Sprint(s.w.Len()); got != args[1] {
			s.Fatalf("line %d: %s directories are watched, want %s", s.line, got, args[1])
		}
	case "sync":
		if err := s.w.Sync(s.Context()); err != nil {
			s.Fatalf("line %d: %v", s.line, err)
		}
		// One cause may make the same event several times.
		s.told = slices.Compact(s.h.take())
		for i := range s.told {
			s.told[i] = strings.ReplaceAll(s.told[i], s.root+"/", "")
		}
	case "expect":
		want := strings.Join(args[1:], " ")
		if len(s.told) == 0 || s.told[0] != want {
			s.Fatalf("line %d: told %q, want %q next", s.line, s.told, want)
		}
		s.told = s.told[1:]
	default:
		if err := s.do(args); err != nil {
			s.Fatalf("line %d: %v", s.line, err)
		}
	}
}

func (s *script) nothingLeft() {
	s.Helper()
	if len(s.told) > 0 {
		s.Fatalf("before line %d: also told %q", s.line, s.told)
	}
}

func (s *script) add(dir, want string) {
	s.Helper()
	fresh, err := addPath(s.w, s.path(dir))
	got := map[bool]string{true: "fresh", false: "same"}[fresh]
	if err != nil {
		got = err.Error()
	}
	if (err == nil || fresh) && got != want || !strings.Contains(got, want) || want == "" {
		s.Fatalf("line %d: add is %q, want %q", s.line, got, want)
	}
}

// do is the file operations.
func (s *script) do(args []string) error {
	path := s.path(args[1])
	switch args[0] {
	case "mkdir":
		return os.MkdirAll(path, 0o755)
	case "touch":
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	case "write":
		return os.WriteFile(path, []byte("x"), 0o644)
	case "chmod":
		var mode uint32
		if _, err := fmt.Sscanf(args[2], "%o", &mode); err != nil {
			return err
		}
		return unix.Chmod(path, mode)
	case "mv": // as rename(2): nothing is moved into a directory
		return unix.Rename(path, s.path(args[2]))
	case "swap":
		return unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, s.path(args[2]), unix.RENAME_EXCHANGE)
	case "link":
		return os.Link(path, s.path(args[2]))
	case "symlink":
		return os.Symlink(args[2], path)
	case "mkfifo":
		return unix.Mkfifo(path, 0o644)
	case "rm":
		return unix.Unlink(path)
	case "rmdir":
		return unix.Rmdir(path)
	case "tmpfs":
		err := unix.Mount("tmpfs", path, "tmpfs", 0, "")
		if err == unix.EPERM {
			skip(s, "no permission to mount")
		}
		s.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
		return err
	case "bind":
		err := unix.Mount(path, s.path(args[2]), "", unix.MS_BIND, "")
		if err == unix.EPERM {
			skip(s, "no permission to mount")
		}
		s.Cleanup(func() { _ = unix.Unmount(s.path(args[2]), unix.MNT_DETACH) })
		return err
	case "umount":
		return unix.Unmount(path, 0)
	}
	return fmt.Errorf("unknown operation %s", args[0])
}
