package systemd

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The units of the package.
const (
	front        = "sidepop.service"
	keeper       = "sidepop-keeper.service"
	pop3sSocket  = "sidepop-pop3s.socket"
	pop3Socket   = "sidepop-pop3.socket"
	keeperSocket = "sidepop-keeper.socket"
)

const configFile = "/etc/sidepop/sidepop.toml"

// Versions of the package, which test/run builds.
const (
	earlier = "earlier"
	later   = "later"
)

// install installs a version of the package and nothing else, and gives what is said
// meanwhile.
func install(t testing.TB, version string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("/srv/packages", version, "sidepop_*.deb"))
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("%q of a version %s, want one package", found, version)
	}
	return run(t, "", "apt-get", "install", "--yes", "--no-remove", found[0])
}

// setUp has the MTA deliver into Maildirs and installs sidepop, configuring nothing.
func setUp(t *testing.T) {
	t.Helper()
	mta := need(t)
	showJournal(t)
	if mta == "postfix" { // with exim4 it is one of the questions that the package asks
		run(t, "", "postconf", "-e", "home_mailbox=Maildir/")
		run(t, "", "systemctl", "reload", "postfix")
	}
	install(t, earlier)
}

// property is a property of a unit, as systemctl show has it.
func property(t testing.TB, unit, name string) string {
	t.Helper()
	return strings.TrimSpace(run(t, "", "systemctl", "show", "--value", "--property", name, unit))
}

// expectStates checks whether units are active and enabled.
func expectStates(t testing.TB, want map[string]string) {
	t.Helper()
	for unit, states := range want {
		if got := property(t, unit, "ActiveState") + " " + property(t, unit, "UnitFileState"); got != states {
			t.Errorf("%s is %s, want %s", unit, got, states)
		}
	}
}

// process is the id of a unit's main process, "0" if it has none.
func process(t testing.TB, unit string) string {
	t.Helper()
	return property(t, unit, "MainPID")
}

// awaitAnother waits until a unit has another main process, and is ready.
func awaitAnother(t testing.TB, unit, than string) {
	t.Helper()
	await(t, unit+" is active with another process", func() bool {
		now := process(t, unit)
		return now != than && now != "0" && property(t, unit, "ActiveState") == "active"
	})
}

// dropIn adds settings to a unit's.
func dropIn(t testing.TB, unit, settings string) {
	t.Helper()
	write(t, filepath.Join("/etc/systemd/system", unit+".d", "test.conf"), settings)
	run(t, "", "systemctl", "daemon-reload")
}

// configure writes the whole configuration.
func configure(t testing.TB, lines ...string) {
	t.Helper()
	write(t, configFile, strings.Join(lines, "\n")+"\n")
}

// expectLogin has a person log in.
func expectLogin(t testing.TB, p person) {
	t.Helper()
	must(t, p.poll(net.IPv4(127, 0, 0, 1), false))
}

// exists tells whether there is a file.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
