package sandbox

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnitCapabilities: the keeper's unit has what the program names and what it
// needs to lock the rest, and the drop-in what the PAM helper can need.
func TestUnitCapabilities(t *testing.T) {
	const folder = "../../../../contrib/systemd/"
	listed := func(path string) (mask uint64) {
		text, err := os.ReadFile(folder + path)
		if err != nil {
			t.Fatal(err)
		}
		numbers := map[string]uint{"CAP_SETPCAP": unix.CAP_SETPCAP}
		for _, list := range [][]Capability{keeperCapabilities, sessionCapabilities, shadowCapabilities} {
			for _, c := range list {
				numbers[c.Name] = c.Number
			}
		}
		for _, line := range regexp.MustCompile(`(?m)^#?CapabilityBoundingSet=(.*)$`).FindAllStringSubmatch(string(text), -1) {
			for _, name := range strings.Fields(line[1]) {
				number, ok := numbers[name]
				if !ok {
					t.Errorf("%s: the program does not name %s", path, name)
				}
				mask |= 1 << number
			}
		}
		return mask
	}
	if got, want := listed("sidepop-keeper.service"), maskOf(keeperCapabilities)|1<<unix.CAP_SETPCAP; got != want {
		t.Errorf("the unit has %s (%x)", names(got), got)
	}
	if got, want := listed("sidepop-keeper.service.d/pam.conf"), maskOf(sessionCapabilities)|maskOf(shadowCapabilities); got != want {
		t.Errorf("the drop-in has %s (%x)", names(got), got)
	}
}
