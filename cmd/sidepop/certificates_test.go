package main

import (
	"slices"
	"testing"

	"sidepop/cmd/sidepop/internal/config"
)

// TestMachineNames: the name of the configuration comes first, each is there once, and
// there is always one.
func TestMachineNames(t *testing.T) {
	c := config.Default()
	c.Hostname = "MX.example.org"
	names := machineNames(c, nil)
	sorted := slices.Sorted(slices.Values(names))
	if len(names) == 0 || names[0] != "mx.example.org" || len(slices.Compact(sorted)) != len(names) {
		t.Errorf("with a name: %q", names)
	}
	c.Hostname = ""
	if names := machineNames(c, nil); len(names) == 0 {
		t.Error("without a name there is none")
	}
	for hosts, want := range map[string]string{
		"127.0.0.1 localhost\n127.0.1.1\tpop.example.org pop\n":     "pop.example.org",
		"127.0.1.1 pop # pop.example.org\n":                         "pop",
		"# 127.0.1.1 no.example.org pop\n::1 pop.example.org pop\n": "pop.example.org",
		"127.0.1.1 popular.example.org popular\n":                   "",
		"pop pop.example.org\n":                                     "",
		"":                                                          "",
	} {
		if got := wholeName(hosts, "pop"); got != want {
			t.Errorf("%q: %q, want %q", hosts, got, want)
		}
	}
}
