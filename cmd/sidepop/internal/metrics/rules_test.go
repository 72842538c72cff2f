package metrics

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sidepop/pop3/wire"
)

const rulesFile = "../../../../contrib/monitoring/sidepop.rules.yml"

func readText(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestRulesNames: every metric in a rule's expression is there.
func TestRulesNames(t *testing.T) {
	there := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(text(t, full(), new(wire.Counts)), -1) {
		there[m[1]] = true
	}
	used := 0
	for line := range strings.Lines(readText(t, rulesFile)) {
		if strings.HasPrefix(strings.TrimSpace(line), "summary:") || strings.HasPrefix(strings.TrimSpace(line), "description:") {
			continue // words
		}
		for _, name := range regexp.MustCompile(`\bsidepop_[a-z_]+`).FindAllString(line, -1) {
			used++
			if !there[name] {
				t.Errorf("there is no metric %s", name)
			}
		}
	}
	if used < 10 {
		t.Errorf("%d metrics found in the rules", used)
	}
}

// TestPromtool has Prometheus's own program look at rules and figures.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is missing: apt-get install prometheus")
	}
	run := func(stdin, dir string, args ...string) {
		t.Helper()
		cmd := exec.Command(promtool, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	run("", "", "check", "rules", rules)
	run("", "testdata", "test", "rules", "rules_test.yml")
	run(text(t, full(), new(wire.Counts)), "", "check", "metrics")
}
