package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMagicLinks: what this process has open cannot be reached through its links
// in /proc. What bob has is readable for everybody, but for his home.
func TestMagicLinks(t *testing.T) {
	if !asKeeper(t) {
		return
	}
	for _, c := range []struct {
		name  string
		watch Watch
		old   bool // without openat2
	}{{"watched", WatchAll, false}, {"unwatched", WatchNone, false}, {"walked", WatchAll, true}} {
		t.Run(c.name, func(t *testing.T) {
			if c.old {
				withoutOpenat2(t)
			}
			a, b := home(t, alice), home(t, bob)
			bobs := filepath.Join(b, "Maildir")
			do(t, bob, deliver(bobs, "1.secret", "secret\n"), func() error {
				return errors.Join(os.Chmod(bobs, 0o755), os.Chmod(bobs+"/new", 0o755), os.Chmod(bobs+"/cur", 0o755), os.Chmod(bobs+"/new/1.secret", 0o644))
			})
			x := newIndex(t, Options{As: as(), Watch: c.watch})
			m, err := x.Open(t.Context(), bobs, "bob", bob)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			content(t, m, 0) // from here on the folders are open
			watched := 0
			if x.watch != nil {
				watched = x.watch.Len()
			}
			root := fmt.Sprintf("/proc/self/fd/%d", m.dirs.root.Fd())
			if got, err := os.Readlink(root); err != nil || got != bobs {
				t.Fatalf("%s leads to %s, %v", root, got, err)
			}
			do(t, alice, deliver(filepath.Join(a, "own"), "1.own", "own\n"), symlink(root, filepath.Join(a, "first")))
			targets := map[string]string{
				"link":    root,
				"thread":  strings.Replace(root, "self", "thread-self", 1),
				"pid":     strings.Replace(root, "self", fmt.Sprint(os.Getpid()), 1),
				"chain":   "first",
				"in":      root + "/../Maildir",
				"root":    "/proc/self/root" + a + "/own",
				"process": "/proc/self/cwd",
			}
			for name, target := range targets {
				path := filepath.Join(a, name)
				do(t, alice, symlink(target, path))
				if got, err := sees(t, x, path, alice); !errors.Is(err, unix.ELOOP) || len(got) > 0 {
					t.Errorf("%s: alice sees %q, %v", name, got, err)
				}
				// What was her own becomes a link, known as it is.
				swapped := filepath.Join(a, "swapped-"+name)
				do(t, alice, deliver(swapped, "1.own", "own\n"))
				if got, err := sees(t, x, swapped, alice); err != nil || !slices.Equal(got, []string{"1.own"}) {
					t.Errorf("alice sees %q, %v", got, err)
				}
				err := acting(alice, func() error {
					p, err := x.proofAt(path)
					if p != (proof{}) {
						t.Errorf("%s: the proof is another's: %v", name, p)
					}
					return err
				})
				if !errors.Is(err, unix.ELOOP) {
					t.Errorf("%s: proof: %v", name, err)
				}
				do(t, alice, func() error { return os.Rename(swapped, swapped+".aside") }, symlink(target, swapped))
				if got, err := sees(t, x, swapped, alice); !errors.Is(err, unix.ELOOP) || len(got) > 0 {
					t.Errorf("%s, swapped: alice sees %q, %v", name, got, err)
				}
				x.Know(path, alice)
			}
			// Nothing tells the watch that a folder above was moved.
			if x.watch != nil && x.watch.Len() != watched+2*len(targets) {
				t.Errorf("%d folders are watched, not %d", x.watch.Len(), watched+2*len(targets))
			}
		})
	}
}
