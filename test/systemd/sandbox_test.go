package systemd

import (
	"fmt"
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
		t.Logf("systemd-analyze security %s: %.1f", unit, score)
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
// that the unit names: nothing of the machine's, and nothing to write to.
func expectRoot(t testing.TB, id string) {
	t.Helper()
	root := "/proc/" + id + "/root"
	for _, dir := range []string{"home", "root", "var/lib/sidepop", "var/mail", "usr/bin", "lib"} {
		if entries, err := os.ReadDir(filepath.Join(root, dir)); err == nil && len(entries) > 0 {
			t.Errorf("the front sees %d files in /%s", len(entries), dir)
		}
	}
	var files []string
	for _, dir := range []string{"etc", "usr", "run"} {
		must(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, strings.TrimPrefix(path, root))
			}
			return nil // of folders that nobody may read
		}))
	}
	slices.Sort(files)
	allowed := regexp.MustCompile(`^(/etc/sidepop/sidepop\.toml|/run/sidepop/keeper\.sock|/run/systemd/(notify|journal/socket|incoming.*)|/usr/sbin/sidepop)$`)
	for _, f := range files {
		if !allowed.MatchString(f) {
			t.Errorf("the front sees %s", f)
		}
	}
	t.Logf("the front's files: %q", files)
}
