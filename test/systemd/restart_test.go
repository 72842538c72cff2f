package systemd

import (
	"net"
	"testing"
	"time"
)

const (
	// leastSessions are those of TestRestart in all.
	leastSessions = 2000

	rounds = 6 // of what is done to a service under load

	// betweenRounds is how many sessions there are before the next.
	betweenRounds = 100
)

// TestRestart restarts the services again and again under load.
func TestRestart(t *testing.T) {
	setUp(t)
	people := addClients(t)
	cases := []struct {
		name, unit, verb string
		temporary        bool // see load
	}{
		{"front", front, "restart", false},
		{"keeper", keeper, "restart", true},
		{"stop", front, "stop", false}, // the next connection starts it
		{"reload", front, "reload", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := startLoad(people, c.temporary)
			for range rounds {
				l.more(t, betweenRounds)
				run(t, "", "systemctl", c.verb, c.unit)
			}
			l.end(t, leastSessions/int64(len(cases)))
		})
	}
}

// TestStop stops the front with sessions open: who is silent is told the end after
// a while, and before limits.shutdown_time.
func TestStop(t *testing.T) {
	setUp(t)
	const patience = 3 * time.Second
	alice, bob := addPerson(t, "alice"), addPerson(t, "bob")
	open, err := alice.logIn(net.IPv4(127, 0, 0, 1))
	must(t, err)
	defer open.Close()
	leaving, err := bob.logIn(net.IPv4(127, 0, 0, 1))
	must(t, err)
	defer leaving.Close()

	begin := time.Now()
	run(t, "", "systemctl", "stop", "--no-block", front)
	await(t, "the front is stopping", func() bool { return property(t, front, "ActiveState") == "deactivating" })
	for _, command := range []string{"NOOP", "STAT", "QUIT"} {
		must(t, leaving.command(command, "+OK"))
	}
	must(t, open.command("NOOP", "+OK"))
	must(t, open.expect(statusTemporary))
	if line, err := open.ReadLine(); err == nil {
		t.Errorf("the open session got %q after it was told of its end", line)
	}
	if took := time.Since(begin); took < patience-time.Second || took > patience+5*time.Second {
		t.Errorf("the open session lasted %v, want %v", took, patience)
	}
	await(t, "the front has stopped", func() bool { return property(t, front, "ActiveState") == "inactive" })
	if got := property(t, front, "Result"); got != "success" {
		t.Errorf("the front's result is %s", got)
	}
	expectLogin(t, alice)
}
