package mta

import (
	"strings"
	"testing"
)

const eximLog = "/var/log/exim4/mainlog"

// configureExim changes settings of Debian's update-exim4.conf.conf, as NAME=VALUE.
func configureExim(t testing.TB, settings ...string) {
	t.Helper()
	// It is read by a shell: the last setting of a name counts.
	const file = "/etc/exim4/update-exim4.conf.conf"
	write(t, file, run(t, "", "cat", file)+strings.Join(settings, "\n")+"\n", 0o644)
	run(t, "", "update-exim4.conf")
}

// startExim configures exim4 and starts it.
func startExim(t testing.TB, settings ...string) {
	t.Helper()
	configureExim(t, settings...)
	version, _, _ := strings.Cut(run(t, "", "exim4", "--version"), "\n")
	t.Log(version)
	showOnFailure(t, eximLog)
	run(t, "", "/etc/init.d/exim4", "start")
	t.Cleanup(func() { stopExim(t) })
	await(t, "exim listens", func() bool { return listening("tcp", smtpAddress) })
}

// stopExim stops exim4. It may have been stopped before.
func stopExim(t testing.TB) {
	t.Helper()
	run(t, "", "/etc/init.d/exim4", "stop")
}
