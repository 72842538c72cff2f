package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKeeperOptions runs a keeper with a network that gives capabilities to its
// PAM helper, and looks at it from outside: it uses none of these itself.
func TestKeeperOptions(t *testing.T) {
	variants(t, func(t *testing.T, asRoot bool) {
		c := start(t, "keeper with options", asRoot, nil)
		c.until(t, "READY")
		want := []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000"}
		if asRoot {
			want = append(want, "CapPrm:\t00000000000000c9", "CapEff:\t00000000000000c0", "CapBnd:\t00000000000000c9", "Uid:\t0\t0\t0\t0")
		} else {
			want = append(want, "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000")
		}
		c.checkThreads(t, want...)
	})
}

func optionsChild() {
	spawnThreads(4)
	root := os.Geteuid() == 0
	given := sessionCapabilities
	m, err := Keeper(KeeperOptions{Network: true, Helper: given})
	check(err)
	if root {
		checkMeasures(m)
	} else {
		checkMeasures(m, "bounding set")
	}
	if said := fmt.Sprint(m); !strings.Contains(said, "IPv4 and IPv6") {
		fmt.Println("WRONG: the network is not in the log:", said)
	}
	for family := range unix.AF_MAX {
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		open := family == unix.AF_UNIX || family == unix.AF_INET || family == unix.AF_INET6 || family == unix.AF_NETLINK
		if open && err == nil {
			unix.Close(fd)
		} else if open || err != unix.EAFNOSUPPORT {
			fmt.Println("WRONG: family", family, err)
		}
	}
	if root {
		givesCapabilities(given)
	}
	fmt.Println("READY")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// givesCapabilities starts programs with the capabilities that may be given,
// with others and with none.
func givesCapabilities(given []Capability) {
	numbers := Numbers(given)
	for _, p := range []struct {
		give []uintptr
		want string // "" if it must not start
	}{
		{numbers, "0000000000000009"},
		{numbers[:1], "0000000000000001"},
		{nil, "0000000000000000"},
		{[]uintptr{unix.CAP_SYS_ADMIN}, ""},
		{[]uintptr{unix.CAP_DAC_READ_SEARCH}, ""},
	} {
		// A grandchild, because modules start programs too.
		cmd := exec.Command("/bin/sh", "-c", "/bin/sh -c 'grep -E ^Cap /proc/self/status; :'")
		cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: p.give}
		out, err := cmd.Output()
		if (err == nil) != (p.want != "") {
			fmt.Println("WRONG: a program with capabilities", p.give, err)
			continue
		}
		for _, set := range []string{"CapPrm", "CapEff", "CapAmb"} {
			if err == nil && !strings.Contains(string(out), set+":\t"+p.want+"\n") {
				fmt.Printf("WRONG: a program with capabilities %v has not %s in %q\n", p.give, p.want, out)
			}
		}
	}
	mustFail("using what may be given", func() error { return os.Chown("/proc/self", nobody, nobody) })
}

func TestHelperCapabilities(t *testing.T) {
	if os.Geteuid() != 0 {
		if got := HelperCapabilities(true); got != nil {
			t.Errorf("not as root: %+v", got)
		}
		skip(t, "needs root")
	}
	named := func(list []Capability) (names []string) {
		for _, c := range list {
			names = append(names, c.Name)
			if c.Reason == "" || !regexp.MustCompile("^CAP_").MatchString(c.Name) {
				t.Errorf("%+v is not named with a reason", c)
			}
		}
		return names
	}
	var shadow []string
	if !rootReads(shadowFile) {
		shadow = []string{"CAP_DAC_READ_SEARCH"}
	}
	if got := named(HelperCapabilities(false)); !slices.Equal(got, shadow) {
		t.Errorf("without sessions: %q", got)
	}
	if got := named(HelperCapabilities(true)); !slices.Equal(got, append([]string{"CAP_CHOWN", "CAP_FOWNER"}, shadow...)) {
		t.Errorf("with sessions: %q", got)
	}
	if got := Numbers(sessionCapabilities); !slices.Equal(got, []uintptr{unix.CAP_CHOWN, unix.CAP_FOWNER}) {
		t.Errorf("numbers %d", got)
	}
}

func TestRootReads(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "needs root")
	}
	name := filepath.Join(t.TempDir(), "shadow")
	if !rootReads(name) {
		t.Error("a capability for a file that is not there")
	}
	if err := os.WriteFile(name, nil, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uid, gid int
		mode     os.FileMode
		want     bool
	}{
		{0, 42, 0o640, true},
		{0, 0, 0o400, true},
		{0, 0, 0o000, false},
		{0, 0, 0o044, false}, // the owner's bits count for the owner
		{nobody, 0, 0o640, true},
		{nobody, nobody, 0o640, false},
		{nobody, nobody, 0o004, true},
	} {
		if err := os.Chown(name, c.uid, c.gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, c.mode); err != nil {
			t.Fatal(err)
		}
		if got := rootReads(name); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
