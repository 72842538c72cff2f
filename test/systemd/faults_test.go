package systemd

import (
	"fmt"
	"strings"
	"testing"
)

// TestConfiguration makes a mistake in the configuration.
func TestConfiguration(t *testing.T) {
	setUp(t)
	alice := addPerson(t, "alice")
	expectLogin(t, alice)
	frontID, keeperID := process(t, front), process(t, keeper)
	mistake := []string{"[limits]", "bad_commands = 7", `idle_time = "soon"`}
	where := fmt.Sprintf("%s:%d: ", configFile, len(mistake))

	configure(t, mistake...)
	try(t, "", "systemctl", "reload", front)
	await(t, "the keeper's status says what is wrong", func() bool { return strings.Contains(property(t, keeper, "StatusText"), where) })
	expectStates(t, map[string]string{front: "active static", keeper: "active static"})
	expectLogin(t, alice)
	if process(t, front) != frontID || process(t, keeper) != keeperID {
		t.Error("a reload has started another process")
	}

	if r := try(t, "", "systemctl", "restart", keeper); r.status == 0 {
		t.Error("the keeper starts with a mistake in the configuration")
	}
	await(t, "the status of a keeper that can't start says why", func() bool {
		return property(t, keeper, "SubState") == "auto-restart" && strings.Contains(property(t, keeper, "StatusText"), where)
	})

	configure(t, mistake[:2]...)
	run(t, "", "systemctl", "restart", keeper)
	expectLogin(t, alice)
	run(t, "", "systemctl", "reload", front)
	await(t, "the keeper's status says nothing any more", func() bool { return !strings.Contains(property(t, keeper, "StatusText"), where) })
}

// TestKilled ends each role in ways that it does not expect.
func TestKilled(t *testing.T) {
	setUp(t)
	alice := addPerson(t, "alice")
	for _, unit := range []string{front, keeper} {
		dropIn(t, unit, "[Service]\nWatchdogSec=2\n")
	}
	expectLogin(t, alice)
	for _, unit := range []string{front, keeper} {
		for _, signal := range []string{"KILL", "STOP"} { // the watchdog notices a process that stands still
			t.Run(unit+" "+signal, func(t *testing.T) {
				was := process(t, unit)
				run(t, "", "systemctl", "kill", "--kill-whom=main", "--signal="+signal, unit)
				awaitAnother(t, unit, was)
				expectLogin(t, alice)
			})
		}
	}
}
