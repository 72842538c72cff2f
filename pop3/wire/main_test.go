package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain fails if a socket, a message or a file is open when all tests are
// over: both sides live in this process.
func TestMain(m *testing.M) {
	before := ours()
	code := m.Run()
	after := ours()
	for end := time.Now().Add(3 * idleWait); after != before && time.Now().Before(end); after = ours() {
		time.Sleep(10 * time.Millisecond) // clients keep connections for a while
	}
	if after != before && code == 0 {
		fmt.Fprintf(os.Stderr, "open before the tests:\n%s\nand after them:\n%s\n", before, after)
		code = 1
	}
	os.Exit(code)
}

// ours are the open files that tests can have left behind: their folders are
// gone by then.
func ours() (list string) {
	for line := range strings.Lines(openFiles()) {
		if strings.Contains(line, " socket:") || strings.Contains(line, "(deleted)") {
			list += line
		}
	}
	return list
}

// openFiles lists the descriptors of this process, without those of the runtime.
func openFiles() string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err.Error()
	}
	var list []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(target, "anon_inode:") {
			continue // ReadDir's own, or the poller's
		}
		list = append(list, e.Name()+" "+target)
	}
	return strings.Join(list, "\n")
}
