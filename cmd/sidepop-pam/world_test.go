//go:build cgo && linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// world is a machine of its own for the tests: the host's file system with other
// users, another /etc/pam.d, /dev, /run and /home, in a mount namespace.
var world struct {
	why     string // there is none
	helper  string // sidepop-pam
	confine string // runs it in the keeper's sandbox
	module  string // testdata/pam_test.c
	library string // the folder of testdata/nss_test.c
}

// worldEnv names the folder of the world, in the process that is in it.
const worldEnv = "SIDEPOP_TEST_WORLD"

// Passwords, and what the system keeps of them: yescrypt with Debian's cost.
const (
	secret     = "secret"
	secretHash = "$y$j9T$sidepoptestsalt0$kTqbscv.yml4bJIySPlcXmlzcGS4Czy8XAhvxzvCJYB"
)

// accounts are the world's users: their id, what passwd(5) and shadow(5) have.
var accounts = []struct {
	name string
	id   int
	home string
	hash string
	rest string // of the line in shadow(5): last change to expiry
}{
	{"root", 0, "/root", secretHash, "20000:0:99999:7:::"},
	{"nobody", 65534, "/nonexistent", "*", "20000:0:99999:7:::"},
	{"joe", 1001, "/home/joe", secretHash, "20000:0:99999:7:::"},
	{"locked", 1002, "/home/locked", "!" + secretHash, "20000:0:99999:7:::"},
	{"expired", 1003, "/home/expired", secretHash, "20000:0:99999:7::1:"},  // chage -E 1970-01-02
	{"aged", 1004, "/home/aged", secretHash, "0:0:99999:7:::"},             // chage -d 0
	{"empty", 1005, "/home/empty", "", "20000:0:99999:7:::"},               // passwd -d
	{"starred", 1006, "/home/starred", "*", "20000:0:99999:7:::"},          // adduser --disabled-password
	{"homeless", 1007, "/home/homeless", secretHash, "20000:0:99999:7:::"}, // without a folder
	{"other", 1008, "/home/other", secretHash, "20000:0:99999:7:::"},
}

func TestMain(m *testing.M) {
	status, err := inWorld(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests of sidepop-pam:", err)
		status = 1
	}
	os.Exit(status)
}

// inWorld runs the tests, as root in a world.
func inWorld(m *testing.M) (status int, err error) {
	if dir := os.Getenv(worldEnv); dir != "" {
		if err := makeWorld(dir); err != nil {
			return 1, err
		}
		return m.Run(), nil
	}
	if os.Geteuid() != 0 {
		world.why = "needs root, for users of its own"
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "sidepop-pam")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		return 1, err
	}
	self := exec.Command("/proc/self/exe", os.Args[1:]...)
	self.Env = append(os.Environ(), worldEnv+"="+dir)
	self.Stdin, self.Stdout, self.Stderr = os.Stdin, os.Stdout, os.Stderr
	self.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var failed *exec.ExitError
	if err := self.Run(); err != nil && !errors.As(err, &failed) {
		return 1, err
	}
	return self.ProcessState.ExitCode(), nil
}

// build makes the programs and modules.
func build(dir string) error {
	for _, b := range []struct {
		cgo  string
		args []string
	}{
		{"1", []string{"go", "build", "-o", filepath.Join(dir, "sidepop-pam"), "."}},
		{"0", []string{"go", "build", "-o", filepath.Join(dir, "confine"), "sidepop/cmd/sidepop/internal/sandbox/testdata/confine"}},
		{"", []string{"gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", filepath.Join(dir, "pam_test.so"), "testdata/pam_test.c"}},
		{"", []string{"gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", filepath.Join(dir, "libnss_sidepoptest.so.2"), "testdata/nss_test.c"}},
	} {
		cmd := exec.Command(b.args[0], b.args[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+b.cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(b.args, " "), err, out)
		}
	}
	return nil
}

// makeWorld mounts the world's files over the host's, in this mount namespace.
func makeWorld(dir string) error {
	var passwd, shadow, group strings.Builder
	for _, a := range accounts {
		fmt.Fprintf(&passwd, "%s:x:%d:%d::%s:/bin/sh\n", a.name, a.id, a.id, a.home)
		fmt.Fprintf(&shadow, "%s:%s:%s\n", a.name, a.hash, a.rest)
		fmt.Fprintf(&group, "%s:x:%d:\n", a.name, a.id)
	}
	group.WriteString("readers:x:2001:other,joe\nwriters:x:2002:joe\n")
	for name, text := range map[string]string{
		"passwd": passwd.String(), "shadow": shadow.String(), "group": group.String(),
		"nsswitch.conf": "passwd: files sidepoptest\ngroup: files\nshadow: files\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(file, filepath.Join("/etc", name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", name, err)
		}
	}
	// As Debian has it: root is the owner and may read it without capabilities.
	if err := os.Chmod("/etc/shadow", 0o640); err != nil {
		return err
	}
	for _, folder := range []string{"/etc/pam.d", "/dev", "/run", "/home"} {
		if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mount %s: %w", folder, err)
		}
	}
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "urandom": 9} {
		if err := unix.Mknod(filepath.Join("/dev", name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	for _, a := range accounts {
		if home, ok := strings.CutPrefix(a.home, "/home/"); ok && home != "homeless" {
			if err := os.Mkdir(a.home, 0o700); err != nil {
				return err
			}
		}
	}
	world.helper, world.confine = filepath.Join(dir, "sidepop-pam"), filepath.Join(dir, "confine")
	world.module, world.library = filepath.Join(dir, "pam_test.so"), dir
	return makeServices()
}

// needWorld leaves a test out where there is no world, unless everything is required.
func needWorld(t testing.TB) {
	t.Helper()
	if world.why == "" {
		return
	}
	if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
		t.Fatal(world.why)
	}
	t.Skip(world.why)
}
