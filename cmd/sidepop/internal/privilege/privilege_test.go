package privilege

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// child is set in the environment of the process that drops.
const child = "SIDEPOP_TEST_DROP"

// TestDrop drops in a process of its own and reads from /proc what each of its
// threads is then.
func TestDrop(t *testing.T) {
	runChild(t, "TestDrop", func() { dropHere(t) })
}

// runChild runs a test again, in a process of its own, and do there.
func runChild(t *testing.T, name string, do func()) {
	if os.Getenv(child) != "" {
		do()
		return
	}
	needRoot(t)
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func dropHere(t *testing.T) {
	id, err := Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if err := Drop(&Identity{Name: "root"}); err == nil {
		t.Error("dropping to root is no error")
	}
	if err := Drop(id); err != nil {
		t.Fatal(err)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || len(threads) < 2 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		status, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/status")
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(status), "\n")
		for _, want := range []string{
			"Uid:\t65534\t65534\t65534\t65534",
			"Gid:\t65534\t65534\t65534\t65534",
			"Groups:\t65534 ",
			"CapPrm:\t0000000000000000",
			"CapEff:\t0000000000000000",
		} {
			if !slices.Contains(lines, want) {
				t.Errorf("thread %s: no line %q", thread.Name(), want)
			}
		}
	}
}

func TestProveFindsRoot(t *testing.T) {
	if err := prove(&Identity{UID: os.Getuid() + 1, GID: os.Getgid()}); err == nil {
		t.Error("another user id is not noticed")
	}
}

func TestLookupFails(t *testing.T) {
	if _, err := Lookup("nosuchuser"); err == nil {
		t.Error("an unknown user is found")
	}
}
