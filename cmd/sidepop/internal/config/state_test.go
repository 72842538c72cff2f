package config

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestPrepare has what is in the place of a folder beside what is said of it, or
// nothing where it is right. $D is the folder, $M the mode that it is made with,
// $U who runs the test, $O somebody else.
func TestPrepare(t *testing.T) {
	me, other := os.Getuid(), 1
	if me != 0 {
		other = 0
	}
	const onlyOwner = "$D has mode $A, expected a folder that only its owner can change: chmod $M $D"
	for _, tt := range []struct {
		name string
		put  func(dir string) error
		want string
	}{
		{"nothing", nothing, ""},
		{"own", mode(0o755), ""},
		{"own, searchable alone", mode(0o711), ""},
		{"own, writable for the group", mode(0o770), strings.Replace(onlyOwner, "$A", "0770", 1)},
		{"own, writable for others", mode(0o757), strings.Replace(onlyOwner, "$A", "0757", 1)},
		{"own, such as /tmp", mode(0o777 | fs.ModeSticky), strings.Replace(onlyOwner, "$A", "0777", 1)},
		{"a link to an own one", func(dir string) error {
			return firstError(mode(0o755)(dir+".real"), os.Symlink(dir+".real", dir))
		}, ""},
		{"a link to nothing", func(dir string) error { return os.Symlink("nothing", dir) },
			"$D can't be opened by user id $U (no such file or directory), expected a folder of its own"},
		{"another's", func(dir string) error {
			if me != 0 {
				return os.Symlink("/", dir)
			}
			return firstError(os.Mkdir(dir, 0o700), os.Chown(dir, other, other))
		}, "$D belongs to user id $O, expected a folder of user id $U: chown -R $U $D, if nothing else uses it"},
		{"a file", func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
			"$D can't be opened by user id $U (not a directory), expected a folder of its own"},
		{"a FIFO", func(dir string) error { return syscall.Mkfifo(dir, 0o600) },
			"$D can't be opened by user id $U (not a directory), expected a folder of its own"},
		{"below a file", func(dir string) error {
			return firstError(os.Remove(filepath.Dir(dir)), os.WriteFile(filepath.Dir(dir), nil, 0o600))
		}, "$D can't be made by user id $U (not a directory), expected a folder that it owns: make one, with mode $M"},
	} {
		for _, f := range folders {
			dir := inPlace(t, tt.put)
			fill := strings.NewReplacer("$D", dir, "$M", strconv.FormatInt(int64(f.mode), 8),
				"$U", strconv.Itoa(me), "$O", strconv.Itoa(other))
			if got, want := f.prepare(dir), fill.Replace(f.want(tt.want)); got != want {
				t.Errorf("%s, %s:\n got %s\nwant %s", f.key, tt.name, got, want)
			}
		}
	}
}

// TestPrepareClosed has folders that others can't search: the front has to look
// into its own where it is another user, and into the state folder nobody.
func TestPrepareClosed(t *testing.T) {
	for _, m := range []fs.FileMode{0o700, 0o710, 0o750, 0o754} {
		for _, f := range folders {
			dir := inPlace(t, mode(m))
			want := ""
			if f.key == "runtime_dir" && os.Geteuid() == 0 {
				want = f.want(fmt.Sprintf("%s has mode %#o, expected a folder that the front's user can look into: chmod 755 %s", dir, m, dir))
			}
			if got := f.prepare(dir); got != want {
				t.Errorf("%s, mode %o:\n got %s\nwant %s", f.key, m, got, want)
			}
		}
	}
}

// TestPrepareMakes has the folders made with their modes whatever the umask is,
// and those above, which are not sidepop's own, as the umask says.
func TestPrepareMakes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	for _, umask := range []fs.FileMode{0o022, 0o077} {
		for _, f := range folders {
			top := t.TempDir()
			syscall.Umask(int(umask))
			above := filepath.Join(top, "above")
			dir := filepath.Join(above, "folder")
			for range 2 { // at the second start it is there
				if got := f.prepare(dir); got != "" {
					t.Fatalf("%s: %s", f.key, got)
				}
			}
			for path, mode := range map[string]fs.FileMode{above: 0o755 &^ umask, dir: f.mode} {
				fi, err := os.Stat(path)
				if err != nil || fi.Mode() != mode|fs.ModeDir {
					t.Errorf("umask %o: %s: %s: %v, %v, want mode %o", umask, f.key, path, fi, err, mode)
				}
			}
		}
	}
}

// TestPrepareContents has what is in a folder of the right owner and mode. The
// state folder may have anything in it, that of the socket nothing else.
func TestPrepareContents(t *testing.T) {
	const only = "$D has $N in it, expected a folder with nothing but the keeper's socket: it is all that the front can see"
	for _, tt := range []struct {
		name string
		put  func(dir string) error
		want string // of the socket's folder
	}{
		{"nothing", nothing, ""},
		{"the socket", socket(KeeperSocket), ""},
		{"a file of its name", file(KeeperSocket), strings.Replace(only, "$N", `"keeper.sock"`, 1)},
		{"a link of its name", func(dir string) error {
			return firstError(socket("x")(filepath.Dir(dir)), os.Symlink("../x", dir+"/"+KeeperSocket))
		}, strings.Replace(only, "$N", `"keeper.sock"`, 1)},
		{"a folder of its name", folderIn(KeeperSocket), strings.Replace(only, "$N", `"keeper.sock"`, 1)},
		{"another socket", socket("other.sock"), strings.Replace(only, "$N", `"other.sock"`, 1)},
		{"a file beside it", func(dir string) error {
			return firstError(socket(KeeperSocket)(dir), file("password")(dir))
		}, strings.Replace(only, "$N", `"password"`, 1)},
		{"a hidden folder", folderIn(".x"), strings.Replace(only, "$N", `".x"`, 1)},
		{"a name of two lines", file("a\nb"), strings.Replace(only, "$N", `"a\nb"`, 1)},
	} {
		for _, f := range folders {
			dir := inPlace(t, func(dir string) error {
				return firstError(mode(f.mode)(dir), tt.put(dir))
			})
			want := ""
			if f.key == "runtime_dir" && os.Geteuid() == 0 {
				want = strings.ReplaceAll(f.want(tt.want), "$D", dir)
			}
			if got := f.prepare(dir); got != want {
				t.Errorf("%s, %s:\n got %s\nwant %s", f.key, tt.name, got, want)
			}
		}
	}
}

// ownFolder is one of those that sidepop makes for itself.
type ownFolder struct {
	key   string
	mode  fs.FileMode // that it is made with
	ready func(c *Config, dir string) error
}

var folders = []ownFolder{
	{"index.state_dir", 0o700, func(c *Config, dir string) error {
		c.Index.StateDir = dir
		return c.PrepareState()
	}},
	{"runtime_dir", 0o755, func(c *Config, dir string) error {
		c.Runtime = dir
		return c.PrepareRuntime()
	}},
}

// prepare is what is said of dir in the place of the folder.
func (f ownFolder) prepare(dir string) string {
	c := Default()
	c.file = "f"
	if err := f.ready(c, dir); err != nil {
		return err.Error()
	}
	return ""
}

// want is a message with the key that it is about; none stays none.
func (f ownFolder) want(message string) string {
	if message == "" {
		return ""
	}
	return "f: " + f.key + ": " + message
}

// inPlace puts something in a folder's place, which it gives.
func inPlace(t *testing.T, put func(dir string) error) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "above", "folder")
	if err := firstError(os.Mkdir(filepath.Dir(dir), 0o700), put(dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func nothing(string) error { return nil }

// mode makes a folder with a mode whatever the umask is.
func mode(m fs.FileMode) func(dir string) error {
	return func(dir string) error { return firstError(os.Mkdir(dir, 0o700), os.Chmod(dir, m)) }
}

// file, folderIn and socket make something in a folder.
func file(name string) func(dir string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), nil, 0o600) }
}

func folderIn(name string) func(dir string) error {
	return func(dir string) error { return os.Mkdir(filepath.Join(dir, name), 0o700) }
}

func socket(name string) func(dir string) error {
	return func(dir string) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false) // as a keeper that was killed leaves it
		return l.Close()
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

// TestCheckFolders says of folders that are there what Prepare says, and makes none.
func TestCheckFolders(t *testing.T) {
	for name, put := range map[string]func(dir string) error{
		"right": func(dir string) error { return os.Mkdir(dir, 0o755) },
		"open": func(dir string) error {
			return firstError(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777))
		},
		"file": func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
	} {
		c := Default()
		c.Index.StateDir, c.Runtime = inPlace(t, put), inPlace(t, put)
		if got, want := fmt.Sprint(c.CheckFolders()), fmt.Sprint(c.Prepare()); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	c := Default()
	c.Index.StateDir, c.Runtime = filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "run")
	if err := c.CheckFolders(); err != nil {
		t.Errorf("nothing is there: %v", err)
	}
	for _, dir := range []string{c.Index.StateDir, c.Runtime} {
		if _, err := os.Lstat(dir); err == nil {
			t.Errorf("%s was made", dir)
		}
	}
}

// TestPrepareOwners: a folder may be any of the owners', and nobody else's.
func TestPrepareOwners(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root is needed, to give folders away")
	}
	dir := inPlace(t, func(dir string) error { return firstError(os.Mkdir(dir, 0o755), os.Chown(dir, 1, 1)) })
	if err := prepare(dir, runtimeMode, 0, 1); err != nil {
		t.Error(err)
	}
	if err := prepare(dir, runtimeMode, 0, 2); err == nil || !strings.Contains(err.Error(), "belongs to user id 1") {
		t.Errorf("of somebody else: %v", err)
	}
}
