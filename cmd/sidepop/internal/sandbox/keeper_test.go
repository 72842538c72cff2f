package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKeeper runs a keeper in its sandbox.
func TestKeeper(t *testing.T) {
	variants(t, func(t *testing.T, asRoot bool) {
		dir := folder(t)
		if asRoot {
			// Root's file, and one that root reads only by passing over
			// its permissions.
			for name, owner := range map[string]int{"own": 0, "foreign": nobody} {
				file := filepath.Join(dir, name)
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chown(file, owner, owner); err != nil {
					t.Fatal(err)
				}
			}
		}
		c := start(t, "keeper", asRoot, nil, "DIR="+dir)
		c.until(t, "READY")
		want := []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000"}
		if asRoot {
			want = append(want, "CapPrm:\t00000000000000c0", "CapEff:\t00000000000000c0", "CapBnd:\t00000000000000c0", "Uid:\t0\t0\t0\t0")
		} else {
			want = append(want, "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000")
		}
		c.checkThreads(t, want...)
	})
}

func keeperChild() {
	spawnThreads(4)
	dir := os.Getenv("DIR")
	root := os.Geteuid() == 0
	m, err := Keeper(KeeperOptions{})
	check(err)
	if root {
		checkMeasures(m)
		keeperAsRoot(dir)
	} else {
		checkMeasures(m, "bounding set")
	}
	spawnThreads(4)
	for family := range unix.AF_MAX {
		if family == unix.AF_UNIX {
			continue
		}
		for _, make := range []func() error{
			func() error { _, err := unix.Socket(family, unix.SOCK_DGRAM, 0); return err },
			func() error { _, err := unix.Socketpair(family, unix.SOCK_DGRAM, 0); return err },
		} {
			if err := make(); err != unix.EAFNOSUPPORT {
				fmt.Println("WRONG: family", family, err)
			}
		}
	}
	mustFail("attach to the parent", func() error { return unix.PtraceAttach(os.Getppid()) })
	mustWork("a pair of unix sockets", func() error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0); return err })
	mustWork("the mount table", func() error { _, err := os.ReadFile("/proc/self/mountinfo"); return err })
	mustWork("a program without capabilities", func() error {
		out, err := exec.Command("/bin/sh", "-c", "grep -E '^(Cap(Prm|Eff|Inh|Amb)|Seccomp:|NoNewPrivs)' /proc/self/status").Output()
		if err != nil {
			return err
		}
		for _, want := range []string{"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapInh:\t0000000000000000",
			"CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(string(out), want+"\n") {
				return fmt.Errorf("no %q in\n%s", want, out)
			}
		}
		return nil
	})
	fmt.Println("READY")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// keeperAsRoot does what needs the capabilities kept, and tries what needs
// others.
func keeperAsRoot(dir string) {
	read := func(name string) error { _, err := os.ReadFile(filepath.Join(dir, name)); return err }
	mustWork("root's file", func() error { return read("own") })
	mustFail("another's file", func() error { return read("foreign") })
	mustFail("giving a file away", func() error { return os.Chown(filepath.Join(dir, "own"), nobody, nobody) })
	mustFail("clearing securebits", func() error { return unix.Prctl(unix.PR_SET_SECUREBITS, 0, 0, 0, 0) })
	mustFail("an ambient capability", func() error {
		return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SETUID, 0, 0)
	})
	// The work of one thread for a mail's owner.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	groups := []uint32{nobody}
	become := func(id int) {
		set := groups[:1]
		if id == 0 {
			set = nil
		}
		mustWork("groups of one thread", func() error {
			pointer := (*uint32)(nil)
			if set != nil {
				pointer = &set[0]
			}
			return setThreadGroups(len(set), pointer)
		})
		for _, call := range []uintptr{unix.SYS_SETFSGID, unix.SYS_SETFSUID} {
			unix.RawSyscall(call, uintptr(id), 0, 0)
			if now, _, _ := unix.RawSyscall(call, ^uintptr(0), 0, 0); int(now) != id {
				fmt.Println("WRONG: the id is", now)
			}
		}
	}
	become(nobody)
	mustWork("the owner's file", func() error { return read("foreign") })
	mustFail("root's file as the owner", func() error { return read("own") })
	become(0)
	mustWork("root's file again", func() error { return read("own") })
	mustFail("the owner's file again", func() error { return read("foreign") })
}
