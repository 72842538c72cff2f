package mta

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// programs puts shell scripts before everything else in PATH.
func programs(t *testing.T, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func never() bool { return false }

// TestPostfixPrograms goes through package postfix to programs like Postfix's.
func TestPostfixPrograms(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.cf"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	programs(t, map[string]string{
		"postconf": `cat <<end
config_directory = ` + dir + `
queue_directory = /queue
multi_instance_directories =
mail_version = 3.7.11
myhostname = mx.test
myorigin = mx.test
mydestination = mail.test
home_mailbox = Maildir/
mail_spool_directory = /var/mail
local_transport = local:mx.test
virtual_minimum_uid = 100
end
`,
		"postmap": "exit 1\n",
	})
	f := newMachine(t)
	f.file("/queue/pid/master.pid", "7")
	f.process(7, "/usr/lib/postfix/sbin/master")
	m := thisMachine
	m.root, m.exim.installed = f.root, never
	got, err := m.detect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !got.Active || got.Name != Postfix || got.Version != "3.7.11" || got.Postfix.ConfigDir() != dir {
		t.Errorf("got %+v", got)
	}
	if d := got.Local(); d.Template != "~/Maildir" || !d.Maildir {
		t.Errorf("got %+v", d)
	}
	if local, err := got.LocalDomain(context.Background(), "mail.test"); !local || err != nil {
		t.Errorf("got %v, %v", local, err)
	}
}

// TestEximPrograms goes through package exim to a program like exim.
func TestEximPrograms(t *testing.T) {
	programs(t, map[string]string{"exim4": fmt.Sprintf(`case "$1 $2" in
"-bV ") echo "Exim version 4.96 #2"; echo "Configuration file is /etc/exim.conf" ;;
"-bP exim_user") echo "exim_user = %d"; echo "exim_group = %d"; echo "pid_file_path = /run/exim.pid" ;;
"-bP routers") printf '\nlocal router:\ncheck_local_user\ndomains = +here\ndriver = accept\ntransport = box\n' ;;
"-bP transports") printf '\nbox transport:\ndirectory = $home/Maildir\ndriver = appendfile\nmaildir_format\n' ;;
"-be "*) echo yes ;;
esac
`, os.Geteuid(), os.Getegid())})
	f := newMachine(t)
	f.file("/run/exim.pid", "7\n")
	f.process(7, "/usr/sbin/exim", "-bd")
	m := thisMachine
	m.root, m.postfix.installed = f.root, never
	got, err := m.detect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !got.Active || got.Name != Exim || got.Version != "4.96" || got.Postfix != nil {
		t.Errorf("got %+v", got)
	}
	if d := got.Local(); d.Template != "~/Maildir" || !d.Maildir || d.File != "/etc/exim.conf" {
		t.Errorf("got %+v", d)
	}
	if local, err := got.LocalDomain(context.Background(), "mail.test"); !local || err != nil {
		t.Errorf("got %v, %v", local, err)
	}
}
