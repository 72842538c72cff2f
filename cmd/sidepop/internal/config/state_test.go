package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPrepareState has what is in the place of the state folder beside what is
// said of it, or nothing where it is right. $D is the folder, $U who runs the
// test, $O somebody else.
func TestPrepareState(t *testing.T) {
	me := os.Getuid()
	other := me + 1
	for _, tt := range []struct {
		name string
		make func(dir string) error
		uid  int
		root bool // for root alone
		want string
	}{
		{"nothing", func(string) error { return nil }, me, false, ""},
		{"own", func(dir string) error { return os.Mkdir(dir, 0o700) }, me, false, ""},
		{"own, readable", func(dir string) error { return os.Mkdir(dir, 0o755) }, me, false, ""},
		{"own, used", func(dir string) error { return os.MkdirAll(dir+"/x", 0o700) }, me, false, ""},
		{"own, writable", func(dir string) error {
			return firstError(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770))
		}, me, false, "$D has mode 0770, expected a folder that only its owner can change: chmod 700 $D"},
		{"a file", func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, me, false,
			"$D can't be opened by user id $U (not a directory), expected a folder of its own"},
		{"nowhere", func(dir string) error { return os.WriteFile(filepath.Dir(dir)+"/f", nil, 0o600) }, me, false,
			"$D can't be made by user id $U (not a directory), expected a folder that it owns: make one, with mode 700"},

		{"nothing, for another", func(string) error { return nil }, other, true, ""},
		{"empty, for another", func(dir string) error { return os.Mkdir(dir, 0o700) }, other, true, ""},
		{"another's", func(dir string) error {
			return firstError(os.MkdirAll(dir+"/x", 0o700), os.Chown(dir, other, other))
		}, other, true, ""},
		{"used, for another", func(dir string) error { return os.MkdirAll(dir+"/x", 0o700) }, other, true,
			"$D belongs to user id $U, expected a folder of user id $O: chown -R $O $D, if nothing else uses it"},
	} {
		if tt.root && me != 0 {
			continue
		}
		dir := t.TempDir() + "/above/state"
		if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := tt.make(dir); err != nil {
			t.Fatal(err)
		}
		if tt.name == "nowhere" {
			dir = filepath.Dir(dir) + "/f/state"
		}
		c := Default()
		c.file, c.Index.StateDir = "f", dir
		got := ""
		if err := c.PrepareState(tt.uid, tt.uid); err != nil {
			got = err.Error()
		}
		want := ""
		if tt.want != "" {
			want = "f: index.state_dir: " + strings.NewReplacer("$D", dir, "$U", fmt.Sprint(me), "$O", fmt.Sprint(other)).Replace(tt.want)
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, want)
		}
		if want != "" {
			continue
		}
		fi, err := os.Stat(dir)
		if err != nil || !fi.IsDir() || int(fi.Sys().(*syscall.Stat_t).Uid) != tt.uid {
			t.Errorf("%s: %v, %v", tt.name, fi, err)
		}
		if tt.name == "nothing" && fi.Mode().Perm() != 0o700 {
			t.Errorf("made with mode %v", fi.Mode())
		}
	}
}

// firstError is the first of several.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
