package index

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// childVariable says what this binary is to be when a test runs it once more.
const childVariable = "SIDEPOP_INDEX_CHILD"

func TestMain(m *testing.M) {
	children := map[string]func(args []string){
		"remove": childRemove,
		"count":  childCount,
		"stop":   childStop,
		"scan":   childScan,
	}
	what := os.Getenv(childVariable)
	if what == "" {
		os.Exit(m.Run())
	}
	children[what](os.Args[1:])
}

// must ends a child that meets an error: its parent finds that out.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// child is this test binary, run once more.
type child struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func startChild(t *testing.T, what string, args ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childVariable+"="+what)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{cmd, bufio.NewReader(out)}
}

// said gives the next line that the child says.
func (c *child) said(t *testing.T) string {
	t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the child ended: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// wait reads what the child says until a line that begins with prefix.
func (c *child) wait(t *testing.T, prefix string) {
	t.Helper()
	for {
		line := c.said(t)
		if strings.HasPrefix(line, prefix) {
			return
		}
	}
}

// kill ends the child at once, unless it has ended itself so.
func (c *child) kill(t *testing.T) {
	t.Helper()
	_ = c.cmd.Process.Kill()
	c.killed(t)
}

// killed waits for the end of a child that kills itself.
func (c *child) killed(t *testing.T) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c.out); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Fatalf("the child ended in another way: %v", err)
	}
}

// memory makes a folder on a tmpfs, if there is one, where files are made faster.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "index")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// eventually waits until ok. The index needs milliseconds for what is waited
// for here; the bound is for machines that are busy with something else.
func eventually(t testing.TB, about string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("this did not come about: ", about)
		}
	}
}

// missing gives what of want is not in got, at most a few.
func missing(got, want []string) (lines []string) {
	has := make(map[string]bool, len(got))
	for _, line := range got {
		has[line] = true
	}
	for _, line := range want {
		if !has[line] {
			if lines = append(lines, line); len(lines) == 5 {
				return lines
			}
		}
	}
	return lines
}

// sameListing compares two listings and says little about long ones.
func sameListing(t testing.TB, about string, got, want []string) {
	t.Helper()
	if len(got) != len(want) || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: %d messages, want %d; not there, for instance: %q; too much, for instance: %q",
			about, len(got), len(want), missing(got, want), missing(want, got))
	}
}
