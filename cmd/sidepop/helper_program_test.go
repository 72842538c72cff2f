package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sidepop/cmd/sidepop/internal/config"
)

// A program that anybody else could have put there gets no passwords, and does not
// run as root.
func TestHelperIsTrusted(t *testing.T) {
	for _, c := range []struct {
		about        string
		folder, file os.FileMode
		owner        int // of the file; only root can test others
		want         string
	}{
		{"as installed", 0o755, 0o755, 0, ""},
		{"in a folder of its group's", 0o775, 0o775, 0, ""},
		{"root's in /tmp", os.ModeSticky | 0o777, 0o755, 0, ""},
		{"somebody's in /tmp", os.ModeSticky | 0o777, 0o755, 12345, "belongs to user id 12345"},
		{"somebody's, named in the configuration", 0o755, 0o755, 12345, "belongs to user id 12345"},
		{"everybody's", 0o755, 0o757, 0, "can be changed by everybody"},
		{"in everybody's folder", 0o777, 0o755, 0, "can be replaced by everybody"},
		{"not executable", 0o755, 0o644, 0, "is not executable"},
	} {
		if c.owner != 0 && os.Geteuid() != 0 {
			continue
		}
		folder := filepath.Join(t.TempDir(), "bin")
		path := filepath.Join(folder, helperName)
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if c.owner != 0 {
			if err := os.Chown(path, c.owner, c.owner); err != nil {
				t.Fatal(err)
			}
		}
		for path, mode := range map[string]os.FileMode{path: c.file, folder: c.folder} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		given := config.Default()
		given.Auth.PAMHelper = path
		got, err := helperProgram(given)
		if c.want == "" && (err != nil || got != path) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %q, %v; want the error %q", c.about, got, err, c.want)
		}
	}
}
