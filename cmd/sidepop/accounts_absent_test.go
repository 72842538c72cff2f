package main

import (
	"strings"
	"testing"

	"sidepop/cmd/sidepop/internal/config"
)

// TestNobody: a configuration without any source says why.
func TestNobody(t *testing.T) {
	c := config.Default()
	c.Auth.PAMHelper = "/nonexistent/helper"
	const want = "auth: nobody can log in: the PAM helper is missing, which is looked for as /nonexistent/helper: install sidepop-pam there: do so, or set passwd_file"
	if err := (&accounts{config: c}).nobody(); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	c.Auth.PasswdFile = "/etc/sidepop/users"
	if err := (&accounts{config: c}).nobody(); err != nil {
		t.Errorf("with a passwd file: %v", err)
	}
}
