//go:build cgo && linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommandLine runs the program by hand, with and without PAM in it.
func TestCommandLine(t *testing.T) {
	for cgo, cases := range map[string][]struct {
		args           []string
		status         int
		stdout, stderr string // begins so
	}{
		"1": {
			{[]string{"--version"}, 0, "sidepop-pam ", ""},
			{nil, exitUsage, "", "sidepop-pam: descriptor 3 is not the socket of a keeper"},
			{[]string{"--help"}, exitUsage, "", "sidepop-pam checks passwords with PAM"},
			{[]string{"joe"}, exitUsage, "", "sidepop-pam checks passwords with PAM"},
		},
		"0": {
			{[]string{"--version"}, 0, "sidepop-pam ", ""},
			{nil, exitFailure, "", "sidepop-pam: this program was built without PAM"},
		},
	} {
		program := filepath.Join(t.TempDir(), "sidepop-pam")
		build := exec.Command("go", "build", "-o", program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, c := range cases {
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(program, c.args...)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			_ = cmd.Run() // its status is looked at
			if got := cmd.ProcessState.ExitCode(); got != c.status ||
				!strings.HasPrefix(stdout.String(), c.stdout) || (stdout.Len() > 0) != (c.stdout != "") ||
				!strings.HasPrefix(stderr.String(), c.stderr) || (stderr.Len() > 0) != (c.stderr != "") {
				t.Errorf("cgo %s, %q: status %d, %q, %q", cgo, c.args, got, stdout.String(), stderr.String())
			}
		}
	}
}
