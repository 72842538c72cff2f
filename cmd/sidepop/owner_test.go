package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sidepop/cmd/sidepop/internal/privilege"
	"sidepop/index"
	"sidepop/pop3"
)

// TestIndexAsOwners has an index act as the owners of its mailboxes, many
// sessions of them at once.
func TestIndexAsOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	root := t.TempDir()
	if err := os.Chmod(filepath.Dir(root), 0o711); err != nil {
		t.Fatal(err)
	}
	as := func(o index.Owner, f func() error) error { return privilege.As(o.UID, o.GID, o.Groups, f) }
	x, err := index.New(index.Options{Measure: pop3.Measure, State: t.TempDir(), As: as})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var dirs []string
	for uid := 61001; uid <= 61004; uid++ {
		dir := filepath.Join(root, fmt.Sprint(uid))
		for _, name := range []string{"", "tmp", "new", "cur"} {
			if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o700), os.Chown(filepath.Join(dir, name), uid, uid)); err != nil {
				t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	var sessions sync.WaitGroup
	for i, dir := range dirs {
		o := index.Owner{UID: uint32(61001 + i), GID: uint32(61001 + i)}
		other := index.Owner{UID: uint32(61001 + (i+1)%len(dirs)), GID: uint32(61001 + (i+1)%len(dirs))}
		sessions.Go(func() {
			for n := range 20 {
				content := fmt.Sprintf("message %d of user %d\n", n, o.UID)
				err := as(o, func() error {
					return os.WriteFile(filepath.Join(dir, "new", fmt.Sprintf("%d.x", 100+n)), []byte(content), 0o600)
				})
				if err == nil {
					err = lastMessage(x, dir, o, content)
				}
				if err != nil {
					t.Errorf("user %d: %v", o.UID, err)
				}
				if m, err := x.Open(t.Context(), dir, "", other); !errors.Is(err, unix.EACCES) && !errors.Is(err, index.ErrOwner) {
					t.Errorf("user %d opens %s: %v, %v", other.UID, dir, m, err)
				}
			}
		})
	}
	sessions.Wait()
}

// lastMessage reads the last message of a mailbox, and removes the first.
func lastMessage(x *index.Index, dir string, o index.Owner, want string) error {
	m, err := x.Open(context.Background(), dir, "", o)
	if err != nil {
		return err
	}
	defer m.Close()
	f, err := m.OpenMessage(m.Len() - 1)
	if err != nil {
		return err
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || string(b) != want {
		return fmt.Errorf("%q, %v, want %q", b, err, want)
	}
	if m.Len() > 2 {
		_, err = m.Commit(context.Background(), []int{0}, nil)
	}
	return err
}
