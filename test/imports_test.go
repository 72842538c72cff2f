package test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImports holds the direction of imports: the three parts do not know each
// other, and only the commands join them.
func TestImports(t *testing.T) {
	for part, forbidden := range map[string][]string{
		"../pop3/...":  {"sidepop/auth", "sidepop/index", "sidepop/cmd"},
		"../index/...": {"sidepop/auth", "sidepop/pop3", "sidepop/cmd"},
		"../auth/...":  {"sidepop/index", "sidepop/pop3", "sidepop/cmd"},
	} {
		out, err := exec.Command("go", "list", "-deps", "-test", part).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", part, err)
		}
		for _, path := range strings.Fields(string(out)) {
			for _, f := range forbidden {
				if path == f || strings.HasPrefix(path, f+"/") {
					t.Errorf("%s imports %s", part, path)
				}
			}
		}
	}
}
