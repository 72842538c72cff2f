package check

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fsnotify/fsnotify"
)

// TestListeners finds sockets of this process, and no longer when they are closed.
func TestListeners(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		network := "tcp4"
		if strings.HasPrefix(address, "[") {
			network = "tcp6"
		}
		l, err := net.Listen(network, address)
		if err != nil {
			t.Logf("%s: %v: this machine has no such addresses", address, err)
			continue
		}
		want := l.Addr().(*net.TCPAddr).AddrPort()
		find := func() *Listener {
			t.Helper()
			ps, err := OpenFiles()
			if err != nil {
				t.Fatal(err)
			}
			all, err := Listeners(ps)
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				if all[i].Address == want {
					return &all[i]
				}
			}
			return nil
		}
		found := find()
		switch {
		case found == nil:
			t.Errorf("%s is not found", want)
		case found.UID != uint32(os.Geteuid()):
			t.Errorf("%s is of user id %d", want, found.UID)
		case len(found.Programs) != 1 || found.Programs[0].PID != os.Getpid():
			t.Errorf("%s is held by %+v, want process %d", want, found.Programs, os.Getpid())
		}
		_ = l.Close()
		if found := find(); found != nil {
			t.Errorf("%s is closed and found: %+v", want, found)
		}
	}
}

func TestConflicts(t *testing.T) {
	for _, c := range []struct {
		have, want string
		conflict   bool
	}{
		{"127.0.0.1:110", "127.0.0.1:110", true},
		{"127.0.0.1:110", "127.0.0.1:111", false},
		{"127.0.0.1:110", "127.0.0.2:110", false},
		{"0.0.0.0:110", "127.0.0.1:110", true},
		{"127.0.0.1:110", "0.0.0.0:110", true},
		{"[::]:110", "127.0.0.1:110", true},
		{"[::]:110", "0.0.0.0:110", true},
		{"[::]:110", "[::1]:110", true},
		{"[::1]:110", "[::]:110", true},
		{"0.0.0.0:110", "[::1]:110", false},
		{"[::1]:110", "127.0.0.1:110", false},
		{"[::ffff:127.0.0.1]:110", "127.0.0.1:110", true},
	} {
		l := Listener{Address: netip.MustParseAddrPort(c.have)}
		if got := l.Conflicts(netip.MustParseAddrPort(c.want)); got != c.conflict {
			t.Errorf("%s and %s: %v", c.have, c.want, got)
		}
	}
}

// TestParseSocket has rows that no kernel should write.
func TestParseSocket(t *testing.T) {
	const good = "0: 0100007F:006E 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 4711 1 0 100 0 0 10 0"
	l, inode, ok, err := parseSocket(strings.Replace(good, "0100007F", "7F7F7F7F", 1))
	if err != nil || !ok || inode != "4711" || l.UID != 1000 || l.Address != netip.MustParseAddrPort("127.127.127.127:110") {
		t.Errorf("%+v %q %v %v", l, inode, ok, err)
	}
	if _, _, ok, err := parseSocket(strings.Replace(good, " 0A ", " 01 ", 1)); ok || err != nil {
		t.Errorf("a connection is taken to listen: %v", err)
	}
	for _, bad := range []string{
		"", "0: x", strings.Replace(good, "0100007F", "0100007", 1), strings.Replace(good, ":006E", ":", 1),
		strings.Replace(good, "0100007F", "0100", 1), strings.Replace(good, " 1000 ", " -1 ", 1), strings.Replace(good, ":006E", ":1006E", 1),
	} {
		if _, _, ok, err := parseSocket(bad); ok || err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestInstances counts a watcher while it is there.
func TestInstances(t *testing.T) {
	count := func() int {
		t.Helper()
		ps, err := OpenFiles()
		if err != nil {
			t.Fatal(err)
		}
		return ps.Instances[uint32(os.Geteuid())]
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	if count() < 1 {
		t.Error("an instance of inotify is not counted")
	}
	_ = w.Close()
}

func TestProcesses(t *testing.T) {
	if p, ok := process(os.Getpid()); !ok || p.PID != os.Getpid() || p.Name == "" {
		t.Errorf("this process: %+v, %v", p, ok)
	}
	if limit, ok := FileLimit(os.Getpid()); !ok || limit == 0 {
		t.Errorf("limit of open files: %d, %v", limit, ok)
	}
	if _, ok := FileLimit(1 << 30); ok {
		t.Error("a process that does not exist has a limit")
	}
	for groups, want := range map[string]string{
		"0::/system.slice/dovecot.service\n":                         "dovecot.service",
		"0::/system.slice/system-x.slice/postfix@-.service/sub\n":    "postfix@-.service",
		"12:cpu:/\n1:name=systemd:/system.slice/ssh.service\n0::/\n": "ssh.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":              "",
		"0::/\n": "", "": "",
	} {
		if got := unitOf(groups); got != want {
			t.Errorf("%q: %q, want %q", groups, got, want)
		}
	}
}

// TestReach goes along paths as a user with no rights but those of modes.
func TestReach(t *testing.T) {
	root := t.TempDir()
	for dir := root; dir != "/"; dir = filepath.Dir(dir) {
		if dir != os.TempDir() && strings.HasPrefix(dir, os.TempDir()) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(root, name) }
	must(os.MkdirAll(at("open/deep"), 0o755))
	must(os.MkdirAll(at("shut/deep"), 0o755))
	must(os.WriteFile(at("open/deep/file"), nil, 0o644))
	must(os.WriteFile(at("open/secret"), nil, 0o640))
	must(os.WriteFile(at("shut/deep/file"), nil, 0o644))
	must(os.Symlink("../shut/deep/file", at("open/link")))
	must(os.Symlink(at("open/deep"), at("open/way")))
	must(os.Symlink("loop", at("open/loop")))
	must(os.Symlink("nothing", at("open/dangling")))
	must(os.Chmod(at("shut"), 0o700))
	self := Who{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	group := Who{UID: 65533, GID: 65533, Groups: []uint32{self.GID}}
	for _, c := range []struct {
		path string
		who  Who
		want int
		stop string // where; empty: it can be reached
	}{
		{"open/deep/file", Nobody, Read, ""},
		{"open/deep/file", Nobody, Read | Write, "open/deep/file"},
		{"open/deep/file", self, Read | Write, ""},
		{"open/way/file", Nobody, Read, ""},
		{"open/way/../secret", group, Read, ""},
		{"open/secret", Nobody, Read, "open/secret"},
		{"open/secret", group, Read, ""},
		{"open/secret", group, Write, "open/secret"},
		{"shut/deep/file", Nobody, Read, "shut"},
		{"shut/deep/file", group, Read, "shut"},
		{"shut/deep/file", self, Read, ""},
		{"open/link", Nobody, Read, "shut"},
		{"open/none", Nobody, Read, "open/none"},
		{"open/dangling", Nobody, Read, "open/nothing"},
		{"open/loop", Nobody, Read, "open/loop"},
		{"open/deep/file/more", Nobody, Read, "open/deep/file"},
	} {
		o := Reach(at(c.path), c.who, os.FileMode(c.want))
		got := ""
		if o != nil {
			got, _ = filepath.Rel(root, o.Path)
			if !strings.Contains(o.Error(), o.Path) {
				t.Errorf("%s: %v does not name the place", c.path, o)
			}
		}
		if got != c.stop {
			t.Errorf("%s as %+v, rights %o: stops at %q, want %q (%v)", c.path, c.who, c.want, got, c.stop, o)
		}
	}
}

// TestReachLink has what a link that is not root's leads to told apart.
func TestReachLink(t *testing.T) {
	root := t.TempDir()
	target, link := filepath.Join(root, "target"), filepath.Join(root, "link")
	if err := errors.Join(os.WriteFile(target, nil, 0o600), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	who := Who{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	for _, owner := range []int{0, 1} {
		if os.Geteuid() == 0 {
			if err := os.Lchown(link, owner, owner); err != nil {
				t.Fatal(err)
			}
		} else {
			owner = os.Geteuid() // all that it makes are
		}
		want := link
		if owner == 0 {
			want = ""
		}
		if o := Reach(link, who, Enter); o == nil || o.Path != target || o.Link != want {
			t.Errorf("a link of user id %d: %+v, want one to %s by %q", owner, o, target, want)
		}
	}
	if o := Reach(target, who, Enter); o == nil || o.Link != "" {
		t.Errorf("without a link: %+v", o)
	}
}

// TestAt has a file alone looked at, in a folder that is closed.
func TestAt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Chmod(filepath.Dir(file), 0o700)); err != nil {
		t.Fatal(err)
	}
	if o := At(file, Nobody, Read); o != nil {
		t.Errorf("a file that everybody may read: %v", o)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if o := At(file, Nobody, Read); o == nil || o.Path != file {
		t.Errorf("a file that not everybody may read: %v", o)
	}
	if o := At(file+"none", Nobody, Read); o == nil || !errors.Is(o, os.ErrNotExist) {
		t.Errorf("no file: %v", o)
	}
}
