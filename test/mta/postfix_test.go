package mta

import "testing"

const postfixLog = "/var/log/mail.log"

// startPostfix configures Debian's Postfix by parameters as NAME=VALUE, and starts it.
func startPostfix(t testing.TB, parameters ...string) {
	t.Helper()
	configurePostfix(t, append([]string{
		"myhostname=" + hostname, // the package asked the machine that made the root
		"maillog_file=" + postfixLog,
		"smtpd_tls_security_level=none",
	}, parameters...)...)
	t.Logf("Postfix %s", run(t, "", "postconf", "-h", "mail_version"))
	showOnFailure(t, postfixLog)
	run(t, "", "/etc/init.d/postfix", "start")
	t.Cleanup(func() { stopPostfix(t) })
	await(t, "Postfix listens", func() bool { return listening("tcp", smtpAddress) })
}

// reloadPostfix changes the configuration of a Postfix that runs.
func reloadPostfix(t testing.TB, parameters ...string) {
	t.Helper()
	configurePostfix(t, parameters...)
	run(t, "", "postfix", "reload")
}

func configurePostfix(t testing.TB, parameters ...string) {
	t.Helper()
	run(t, "", "postconf", append([]string{"-e"}, parameters...)...)
}

// stopPostfix stops Postfix. It may have been stopped before.
func stopPostfix(t testing.TB) {
	t.Helper()
	run(t, "", "/etc/init.d/postfix", "stop")
}
