package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sidepop/cmd/sidepop/internal/certs"
)

// TestCheckReadable has what root can read as a keeper, that is without the
// capabilities that pass over permissions, beside what it is told of the rest.
func TestCheckReadable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files to others")
	}
	const (
		other  = 1 // whose files are not root's
		denied = "can't be read by root without its right to pass over permissions (permission denied), which the keeper gives up; " +
			"expected a file of root's own, or one that anybody may read, in folders that are so too"
	)
	for _, tt := range []struct {
		name         string
		uid, gid     int
		mode, folder os.FileMode // the folder is of the same user
		readable     bool
	}{
		{"root's own", 0, 0, 0o600, 0o700, true},
		{"another's", other, other, 0o600, 0o755, false},
		{"another's, readable for all", other, other, 0o644, 0o755, true},
		{"another's, readable for root's group", other, 0, 0o640, 0o755, true},
		{"another's, readable for another group", other, other, 0o640, 0o755, false},
		{"root's own, without the right to read", 0, 0, 0o200, 0o700, false},
		{"readable for all, in a closed folder", other, other, 0o644, 0o700, false},
	} {
		dir := filepath.Join(t.TempDir(), "folder")
		files := map[string]string{}
		for _, key := range []string{"auth.passwd_file", "tls.certificate", "tls.key"} {
			files[key] = filepath.Join(dir, key)
		}
		err := firstError(os.Mkdir(dir, 0o700),
			certs.WriteLocal(files["tls.certificate"], files["tls.key"]), os.WriteFile(files["auth.passwd_file"], nil, 0o600))
		for _, path := range files {
			err = firstError(err, os.Chown(path, tt.uid, tt.gid), os.Chmod(path, tt.mode))
		}
		if err := firstError(err, os.Chown(dir, tt.uid, tt.gid), os.Chmod(dir, tt.folder)); err != nil {
			t.Fatal(err)
		}
		c, err := Parse("f", fmt.Sprintf("user = \"daemon\"\nlisten.pop3 = [\"[::]:110\"]\nauth.passwd_file = %q\ntls.certificate = %q\ntls.key = %q\n",
			files["auth.passwd_file"], files["tls.certificate"], files["tls.key"]))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for i, key := range []string{"auth.passwd_file", "tls.certificate", "tls.key"} {
			if !tt.readable {
				want = append(want, "f:"+strconv.Itoa(i+3)+": "+key+": "+files[key]+" "+denied)
			}
		}
		got := ""
		if err := asKeeper(func() error { return c.Check(0) }); err != nil {
			got = err.Error()
		}
		if want := strings.Join(want, "\n"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, want)
		}
	}
}

// asKeeper calls f on a thread of its own that has no capabilities in force, and
// that ends with it.
func asKeeper(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData // this version has two
		if err := unix.Capset(&header, &none[0]); err != nil {
			done <- errors.Join(errors.New("give up capabilities"), err)
			return
		}
		done <- f()
	}()
	return <-done
}
