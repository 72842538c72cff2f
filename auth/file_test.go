package auth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// settle makes the users in memory count as proven, as they do some time
// after the last change of the file.
func settle(f *file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settled = true
}

func TestChangesAreSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	p := NewPasswd(path, noWarning(t))
	right := func(password string) login { return login{user: "joe", password: password, name: "joe"} }
	wrong := func(password string) login {
		return login{user: "joe", password: password, err: ErrCredentials, reason: "wrong password"}
	}
	vanished := login{user: "joe", password: "pw1", err: ErrTemporary, reason: path}

	vanished.check(t, p)
	put(t, path, "joe:{PLAIN}pw1\n")
	right("pw1").check(t, p)

	// The same size, within the resolution of the clock.
	put(t, path, "joe:{PLAIN}pw2\n")
	right("pw2").check(t, p)
	wrong("pw1").check(t, p)

	// A change of contents and size under a stamp that was proven.
	settle(p.files[""])
	put(t, path, "joe:{PLAIN}pw34\n")
	right("pw34").check(t, p)

	// Replaced by a file of the same size and time of modification.
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	settle(p.files[""])
	put(t, path+".new", "joe:{PLAIN}pw43\n")
	if err := errors.Join(os.Chtimes(path+".new", info.ModTime(), info.ModTime()), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	right("pw43").check(t, p)

	// Taken away, then given back as it was.
	settle(p.files[""])
	if err := os.Rename(path, path+".off"); err != nil {
		t.Fatal(err)
	}
	vanished.check(t, p)
	if p.files[""].value != nil {
		t.Error("the users of a file that is gone are kept")
	}
	if err := os.Rename(path+".off", path); err != nil {
		t.Fatal(err)
	}
	right("pw43").check(t, p)

	// Emptied.
	settle(p.files[""])
	put(t, path, "")
	login{user: "joe", password: "pw43", err: ErrCredentials, reason: "no such user"}.check(t, p)
}

func TestUnchangedFileIsNotReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	put(t, path, "joe:{PLAIN}pw\n")
	f := newFile(path, noWarning(t))
	first, err := f.current()
	if err != nil {
		t.Fatal(err)
	}
	// A marker that a second reading would replace.
	first.path = "marker"
	settle(f)
	if again, err := f.current(); err != nil || again != first {
		t.Errorf("%v, %v: the file was read again", again, err)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(
		syscall.Mkfifo(dir+"/fifo", 0o600),
		os.Mkdir(dir+"/folder", 0o700),
		os.Symlink("loop", dir+"/loop"),
		os.WriteFile(dir+"/large", nil, 0o600),
		os.Truncate(dir+"/large", maxFileOctets+1),
	); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"fifo":    ErrPermanent,
		"folder":  ErrPermanent,
		"loop":    ErrTemporary,
		"large":   ErrPermanent,
		"missing": ErrTemporary,
	} {
		p := NewPasswd(filepath.Join(dir, name), noWarning(t))
		login{user: "joe", password: "pw", err: want, reason: filepath.Join(dir, name)}.check(t, p)
	}
	p := NewPasswd(dir+"/%d", noWarning(t))
	login{user: "joe@fifo", password: "pw", err: ErrPermanent}.check(t, p)
	login{user: "joe@loop", password: "pw", err: ErrTemporary}.check(t, p)

	put(t, dir+"/example.org", "joe:{PLAIN}pw\n")
	login{user: "joe@example.org", password: "pw", name: "joe@example.org"}.check(t, p)
	if err := os.Remove(dir + "/example.org"); err != nil {
		t.Fatal(err)
	}
	login{user: "joe@example.org", password: "pw", err: ErrTemporary}.check(t, p)
}

// A file that is replaced by renaming always has its users.
func TestReplacingIsSeamless(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "passwd")
	content := "joe:{PLAIN}pw\n" + strings.Repeat("# filling\n", 1000)
	put(t, path, content)
	p := NewPasswd(path, noWarning(t))
	var over atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; !over.Load(); n++ {
			put(t, path+".new", content+strings.Repeat("#", n%7))
			if err := os.Rename(path+".new", path); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 300 {
		login{user: "joe", password: "pw", name: "joe"}.check(t, p)
		settle(p.files[""])
	}
	over.Store(true)
	<-done
}

// TestFiles: who remembers what the files say compares them one by one.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	p := NewPasswd(dir+"/%d", noWarning(t))
	var want []string
	for n := range 9 {
		domain := fmt.Sprintf("d%d.example", n)
		put(t, filepath.Join(dir, domain), "joe:{PLAIN}pw\n")
		want = append(want, filepath.Join(dir, domain))
		if _, err := p.Verify(t.Context(), Login{User: "joe@" + domain, Password: "pw"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.Files(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
