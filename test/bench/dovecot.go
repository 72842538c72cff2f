package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// dovecotProgram is where Debian has it.
const dovecotProgram = "/usr/sbin/dovecot"

// dovecotVersion gives the version, or why there can be no Dovecot here.
func dovecotVersion(ctx context.Context) (string, error) {
	if os.Geteuid() != 0 {
		return "", errors.New("it runs only as root")
	}
	for _, file := range []string{dovecotProgram, "/usr/lib/dovecot/pop3"} {
		if _, err := os.Stat(file); err != nil {
			return "", errors.New("it is missing: apt-get install dovecot-pop3d")
		}
	}
	out, err := exec.CommandContext(ctx, dovecotProgram, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", dovecotProgram, err)
	}
	version := strings.TrimSpace(string(out))
	if !strings.HasPrefix(version, "2.3.") {
		return "", fmt.Errorf("it is %s, and what is configured here is for 2.3", version)
	}
	return version, nil
}

// dovecotCommon is what a private Dovecot needs to run at all, and limits that
// let 500 sessions in: they are 100 processes of a kind by default.
const dovecotCommon = `base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = pop3
listen = 127.0.0.1
first_valid_uid = 1
mail_location = maildir:~/Maildir
disable_plaintext_auth = no
ssl = yes
ssl_cert = <%[2]s
ssl_key = <%[3]s
default_process_limit = 1200
default_client_limit = 5000
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%%u %[4]s
}
userdb {
  driver = passwd-file
  args = username_format=%%u %[4]s
}
service pop3-login {
  inet_listener pop3 {
    port = %[5]s
  }
  inet_listener pop3s {
    port = %[6]s
    ssl = yes
  }
}
service pop3 {
  process_limit = 1200
}
`

// dovecotTuning makes Dovecot as fast as its documentation knows how to: login
// processes that serve many connections ("high-performance mode"), processes
// that serve several sessions at a time and others after them, a cache of
// passwords, UIDLs that need no list, no flags set at QUIT, and no look at cur
// without need. Ten sessions a process take a third of the memory of one, and cost
// no CPU time; a session then waits while another one of its process is served.
const dovecotTuning = `service pop3-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 2000
}
service pop3 {
  service_count = 0
  process_min_avail = 2
  client_limit = 10
}
auth_cache_size = 10 M
auth_cache_ttl = 1 hour
pop3_uidl_format = %f
pop3_no_flag_updates = yes
maildir_very_dirty_syncs = yes
`

// Names of the peers.
const (
	dovecotDefault = "dovecot"
	dovecotTuned   = "tuned"
)

// dovecot prepares a Dovecot, with defaults where tuning is empty.
func (s *site) dovecot(name, version, tuning string) (*server, error) {
	srv, err := s.newServer(name, version)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(dovecotCommon, srv.dir, s.cert, s.key, srv.path(usersFile), port(srv.pop3), port(srv.pop3s)) + tuning
	file := srv.path("dovecot.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	srv.argv = []string{dovecotProgram, "-F", "-c", file}
	srv.forget = srv.removeIndexes
	srv.uidlsDerived = tuning != ""
	return srv, nil
}

// removeIndexes removes what Dovecot keeps in Maildirs, its list of UIDLs
// included.
func (s *server) removeIndexes() error {
	files, err := filepath.Glob(s.path("mail/*/Maildir/dovecot*"))
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}
