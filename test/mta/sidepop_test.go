package mta

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sidepop/test/internal/pki"
)

// Where a package of sidepop puts things, which test/run does too.
const (
	program    = "/usr/sbin/sidepop"
	configDir  = "/etc/sidepop"
	configFile = configDir + "/sidepop.toml"
	usersFile  = configDir + "/users"
	pamService = "/etc/pam.d/sidepop"

	// Of install.
	caFile   = configDir + "/" + pki.CAFile
	certFile = configDir + "/" + pki.CertFile
	keyFile  = configDir + "/" + pki.KeyFile

	sidepopLog = "/var/log/sidepop"
	pop3sPort  = "995"
	pop3s      = "localhost:" + pop3sPort
)

// quickly has refused logins answered sooner than is wise.
const quickly = "failure_delay = \"100ms\"\n"

// install does what a package of sidepop and its operator do once: a user for the
// front, and a certificate.
func install(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(certFile); err == nil {
		return
	}
	addService(t, "sidepop")
	must(t, os.MkdirAll(configDir, 0o755))
	must(t, pki.Write(configDir, nil, hostname, "localhost"))
}

// serve starts sidepop with settings in TOML: those of the tables, and before
// them those that are in none.
func serve(t testing.TB, settings, tables string, tolerated ...string) {
	t.Helper()
	install(t)
	write(t, configFile, fmt.Sprintf(`%s
[listen]
pop3s = ["[::]:%s"]

[tls]
certificate = %q
key         = %q

[log]
level  = "debug"
format = "json"

%s
`, settings, pop3sPort, certFile, keyFile, tables), 0o644)
	startSidepop(t, tolerated...)
}

// startSidepop starts sidepop with the configuration that is there. When the test
// ends it is stopped, and its log is checked; tolerated are the messages of
// warnings and errors that the test provokes.
func startSidepop(t testing.TB, tolerated ...string) {
	t.Helper()
	must(t, os.RemoveAll(sidepopLog))
	showOnFailure(t, sidepopLog)
	t.Cleanup(func() { checkLog(t, tolerated) })
	startDaemon(t, sidepopLog, program, "serve").awaitListening(t, "tcp", pop3s)
}

// checkLog reads the log of a sidepop that has ended.
func checkLog(t testing.TB, tolerated []string) {
	t.Helper()
	log, err := os.ReadFile(sidepopLog)
	must(t, err)
	for _, p := range passwords {
		if strings.Contains(string(log), p) {
			t.Errorf("a password is in the log")
		}
	}
	for line := range strings.Lines(string(log)) {
		var e struct{ Level, Message string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("log line is not JSON: %v: %s", err, line)
		}
		if (e.Level == "warning" || e.Level == "error") && !slices.Contains(tolerated, e.Message) {
			t.Errorf("unexpected in the log: %s", line)
		}
	}
}
