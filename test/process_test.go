package test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// clientTime is how long a client may take for a whole maildrop; the
	// slowest needs a fifth of it on two cores.
	clientTime = time.Minute

	// lingering is how long a killed process's output is still waited for.
	lingering = 2 * time.Second

	// programPath leaves out what is in somebody's home, where nobody can
	// execute it.
	programPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

	nobody    = "nobody" // whom clients become, and whose most mail is
	frontUser = "daemon" // whom the server's front becomes
)

// must ends the test at an error that is not what it is about.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// skip skips the test, or fails it where everything is required.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
		t.Fatalf("%s, and SIDEPOP_TEST_REQUIRE_ALL=1 allows no skip", reason)
	}
	t.Skip(reason)
}

// need skips the test if a program is missing.
func need(t testing.TB, program, debianPackage string) {
	t.Helper()
	for dir := range strings.SplitSeq(programPath, ":") {
		if info, err := os.Stat(filepath.Join(dir, program)); err == nil && info.Mode().IsRegular() {
			return
		}
	}
	skip(t, program+" is missing: apt-get install "+debianPackage)
}

// unprivileged is whom the processes of the tests run as: nil, without a
// change, where the tests themselves are not run by root.
var unprivileged = sync.OnceValues(func() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	uid, gid, err := lookUp(nobody)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
})

// lookUp finds a user's ids in /etc/passwd.
func lookUp(name string) (uid, gid int, err error) {
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(passwd)) {
		f := strings.Split(line, ":")
		if len(f) < 4 || f[0] != name {
			continue
		}
		if uid, err = strconv.Atoi(f[2]); err == nil {
			gid, err = strconv.Atoi(f[3])
		}
		return uid, gid, err
	}
	return 0, 0, errors.New("/etc/passwd has no " + name)
}

// identityOf is lookUp of a user that is there.
func identityOf(t testing.TB, name string) (uid, gid int) {
	t.Helper()
	uid, gid, err := lookUp(name)
	must(t, err)
	return uid, gid
}

// own gives a folder and what is in it to the unprivileged user.
func own(t testing.TB, dir string) {
	t.Helper()
	to, err := unprivileged()
	must(t, err)
	if to != nil {
		chown(t, dir, int(to.Uid), int(to.Gid))
	}
}

// chown gives a folder and what is in it to a user.
func chown(t testing.TB, dir string, uid, gid int) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	}))
}

// needRoot skips the test if it is not root's.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "root is needed, to be several users")
	}
}

// folder makes a temporary folder that other users can reach; t.TempDir's
// parent is closed to them.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sidepop-test-")
	must(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// command prepares a client program: unprivileged, at home in dir, in a process
// group of its own that ends with the context.
func command(ctx context.Context, t testing.TB, dir, program string, args ...string) *exec.Cmd {
	t.Helper()
	credential, err := unprivileged()
	must(t, err)
	cmd := exec.CommandContext(ctx, "/usr/bin/env", append([]string{"--", program}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + programPath, "HOME=" + dir, "LC_ALL=C.UTF-8", "TERM=xterm"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = lingering
	return cmd
}

// run runs a client program to its end and gives its standard output.
func run(t testing.TB, dir, stdin, program string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	defer cancel()
	cmd := command(ctx, t, dir, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v (time limit: %v)\n%s\n%s", program, err, ctx.Err(),
			tail(stdout.Bytes()), tail(stderr.Bytes()))
	}
	return stdout.Bytes()
}

// tail is the end of a long output.
func tail(p []byte) []byte {
	const most = 3000
	return p[max(0, len(p)-most):]
}
