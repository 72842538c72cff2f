//go:build cgo && linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestServices(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"both":        "auth required pam_unix.so\naccount required pam_unix.so\n",
		"optional":    "-auth required pam_unix.so\n-Account required pam_unix.so",
		"include":     "# comment\n\n@include common-auth\n",
		"redhat":      "#%PAM-1.0\nauth       substack     password-auth\naccount    include      password-auth\n",
		"auth":        "auth required pam_unix.so\n",
		"account":     "account required pam_unix.so\nsession required pam_unix.so\n",
		"comments":    "#auth required pam_unix.so\n#account required pam_unix.so\n",
		"empty":       "",
		"bare":        "auth\naccount\n",
		"../outside":  "auth required pam_unix.so\naccount required pam_unix.so\n",
		"first/wins":  "auth required pam_unix.so\n",
		"second/wins": "auth required pam_unix.so\naccount required pam_unix.so\n",
		"second/late": "auth required pam_unix.so\naccount required pam_unix.so\n",
	} {
		folder := first
		if rest, ok := strings.CutPrefix(name, "second/"); ok {
			folder, name = second, rest
		}
		if err := os.WriteFile(filepath.Join(folder, strings.TrimPrefix(name, "first/")), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(first, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(first, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := services{first, second}
	for service, want := range map[string]string{
		"both": "", "BOTH": "", "optional": "", "include": "", "redhat": "", "late": "",
		"auth": "both auth and account", "account": "both auth and account", "comments": "both auth and account",
		"empty": "both auth and account", "bare": "both auth and account", "wins": "both auth and account",
		"folder": "is not a file", "fifo": "is not a file",
		"missing": "make the file " + filepath.Join(operatorFolder, "missing"),
	} {
		err := s.check(service)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", service, err, want)
		}
	}
}

// TestFindServices: the folders of this machine's libpam.
func TestFindServices(t *testing.T) {
	s, err := findServices()
	if err != nil || len(s) == 0 || s[0] != operatorFolder {
		t.Fatalf("got %q, error %v", s, err)
	}
	for _, folder := range s[1:] {
		if !slices.Contains(vendorFolders, folder) {
			t.Errorf("%q", s)
		}
	}
	if _, err := libraryFile("libnosuch.so"); err == nil {
		t.Error("a library that is not loaded was found")
	}
}
