package systemd

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mostExposed is the worst score of systemd-analyze security that each service may
// have: 0 is confined, 10 is not at all.
var mostExposed = map[string]float64{front: 1.5, keeper: 3.5}

// TestSandbox reads the scores of the services that run, and looks at their processes.
func TestSandbox(t *testing.T) {
	setUp(t)
	expectLogin(t, addPerson(t, "alice"))
	for unit, most := range mostExposed {
		score := exposure(t, unit)
		t.Logf("figure: systemd-analyze security %s: %.1f", unit, score)
		if score > most {
			t.Errorf("%s has the score %.1f, want at most %.1f\n%s", unit, score, most,
				run(t, "", "systemd-analyze", "security", "--no-pager", unit))
		}
	}

	frontID, keeperID := process(t, front), process(t, keeper)
	for _, id := range []string{frontID, keeperID} {
		if links := run(t, "", "nsenter", "--target", id, "--net", "ip", "-brief", "link"); strings.Count(links, "\n") != 1 || !strings.HasPrefix(links, "lo ") {
			t.Errorf("process %s has the network interfaces\n%s", id, links)
		}
	}
	expectStatusFields(t, frontID, map[string]string{"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapBnd": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2"})
	// CAP_SETGID and CAP_SETUID.
	expectStatusFields(t, keeperID, map[string]string{"CapEff": "00000000000000c0", "CapPrm": "00000000000000c0", "CapBnd": "00000000000000c0", "NoNewPrivs": "1", "Seccomp": "2"})
	expectRoot(t, frontID)
	expectReadOnly(t, frontID)
}

// exposure is a running unit's score.
func exposure(t testing.TB, unit string) float64 {
	t.Helper()
	out := run(t, "", "systemd-analyze", "security", "--no-pager", unit)
	found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no score of %s in\n%s", unit, out)
	}
	score, err := strconv.ParseFloat(found[1], 64)
	must(t, err)
	return score
}

// expectStatusFields checks fields of /proc/ID/status (proc(5)).
func expectStatusFields(t testing.TB, id string, want map[string]string) {
	t.Helper()
	status, err := os.ReadFile("/proc/" + id + "/status")
	must(t, err)
	for name, value := range want {
		if !strings.Contains(string(status), fmt.Sprintf("\n%s:\t%s\n", name, value)) {
			t.Errorf("process %s: %s is not %s in\n%s", id, name, value, status)
		}
	}
}

// expectRoot checks that a process that somebody takes over sees no file but those
// that the unit names, beside those of the kernel: nothing of the machine's.
func expectRoot(t testing.TB, id string) {
	t.Helper()
	root := "/proc/" + id + "/root"
	seen := make(map[string]bool)
	must(t, filepath.WalkDir(root+"/", func(path string, d os.DirEntry, err error) error {
		switch path = strings.TrimPrefix(path, root); {
		case path == "/dev" || path == "/proc" || path == "/sys":
			return fs.SkipDir
		case err == nil && !d.IsDir():
			seen[path] = true
		}
		return err
	}))
	for _, named := range []string{
		"/etc/sidepop/sidepop.toml",
		"/run/sidepop/keeper.sock",
		"/run/systemd/journal/socket",
		"/run/systemd/notify",
		"/usr/sbin/sidepop",
	} {
		if !seen[named] {
			t.Errorf("the front does not see %s", named)
		}
		delete(seen, named)
	}
	if len(seen) > 0 {
		t.Errorf("the front sees %d files more: %.20q", len(seen), slices.Sorted(maps.Keys(seen)))
	}
}

// expectReadOnly checks that there is no file system to which a process that somebody
// takes over could write: it could fill a disk, or leave something for others.
func expectReadOnly(t testing.TB, id string) {
	t.Helper()
	const point, options = 4, 5 // of the fields of proc_pid_mountinfo(5)
	kernels := map[string]bool{"/proc": true, "/dev/pts": true}
	mounts, err := os.ReadFile("/proc/" + id + "/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if where := fields[point]; !kernels[where] && !slices.Contains(strings.Split(fields[options], ","), "ro") {
			t.Errorf("process %s can write to %s", id, where)
		}
	}
}
