package sandbox

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// roleEnv names, in the environment of a child, the role it takes.
const roleEnv = "SIDEPOP_TEST_ROLE"

const nobody = 65534

// TestMain runs the child that a test starts: a sandbox can't be left again.
func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "front":
		frontChild()
	case "keeper":
		keeperChild()
	case "keeper with options":
		optionsChild()
	default:
		code := m.Run()
		os.RemoveAll(binaryFolder)
		os.Exit(code)
	}
}

// binaryFolder is where binary puts its file.
var binaryFolder string

// skip leaves a test out, unless everything is required.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// binary is this test built without cgo, as the program is, where every user
// can start it.
var binary = sync.OnceValues(func() (string, error) {
	var err error
	if binaryFolder, err = os.MkdirTemp("", "sandbox"); err != nil {
		return "", err
	}
	if err := os.Chmod(binaryFolder, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(binaryFolder, "sandbox.test")
	build := exec.Command("go", "test", "-c", "-o", file, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	return file, nil
})

// child is a process in a sandbox. It writes one line for each thing found
// wrong ("WRONG ..."), any others for the log, and "READY" at the end.
type child struct {
	*exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr strings.Builder
}

// start starts a role as root or as an ordinary user.
func start(t *testing.T, role string, asRoot bool, files []*os.File, env ...string) *child {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	// A child that hangs is as wrong as one that fails.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	c := &child{Cmd: exec.CommandContext(ctx, file)}
	c.Env = append(os.Environ(), append(env, roleEnv+"="+role)...)
	c.ExtraFiles = files
	c.Stderr = &c.stderr
	if os.Geteuid() == 0 && !asRoot {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if c.stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stdin.Close(); c.Process.Kill(); c.Wait() })
	return c
}

// until reads the child's lines up to the one with the word.
func (c *child) until(t *testing.T, word string) {
	t.Helper()
	for c.lines.Scan() {
		line := c.lines.Text()
		switch {
		case line == word:
			return
		case strings.HasPrefix(line, "WRONG"):
			t.Error(line)
		default:
			t.Log(line)
		}
	}
	c.Wait()
	t.Fatalf("the child ended before %s: %v\n%s", word, c.ProcessState, c.stderr.String())
}

// checkThreads looks from outside at each thread of the child.
func (c *child) checkThreads(t *testing.T, want ...string) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.Process.Pid))
	if err != nil || len(threads) < 4 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		status, err := os.ReadFile(thread)
		if os.IsNotExist(err) {
			continue // ended meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !slices.Contains(strings.Split(string(status), "\n"), line) {
				t.Errorf("%s: no line %q in\n%s", thread, line, status)
			}
		}
	}
}

// checkMeasures prints, in the child, what does not hold and is not among the
// expected, and the line for the log.
func checkMeasures(m Measures, missing ...string) {
	for _, one := range m {
		if one.Held == slices.Contains(missing, one.Name) {
			fmt.Println("WRONG", one)
		}
	}
	fmt.Println(m)
}

// mustFail prints, in the child, what succeeds.
func mustFail(name string, try func() error) {
	if err := try(); err == nil {
		fmt.Println("WRONG: succeeded:", name)
	}
}

// mustWork prints, in the child, what fails.
func mustWork(name string, try func() error) {
	if err := try(); err != nil {
		fmt.Println("WRONG: failed:", name, err)
	}
}

// variants runs a test as root and as an ordinary user.
func variants(t *testing.T, test func(t *testing.T, asRoot bool)) {
	t.Run("root", func(t *testing.T) {
		if os.Geteuid() != 0 {
			skip(t, "needs root")
		}
		test(t, true)
	})
	t.Run("user", func(t *testing.T) { test(t, false) })
}
