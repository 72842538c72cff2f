package mta

import (
	"crypto/rand"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sidepop/test/internal/machine"
)

const (
	marker   = "/etc/sidepop-test-root" // says which MTA is in a root of make-root
	hostname = "mx.example.test"        // what in-root calls the machine

	// commandTime is how long a command may take: creating a database takes
	// longest, a tenth of it on two cores.
	commandTime = time.Minute
)

var (
	must  = machine.Must
	await = machine.Await
)

// need skips a test that is not in the root of an MTA.
func need(t *testing.T, mta string) {
	t.Helper()
	if found, err := os.ReadFile(marker); err != nil || strings.TrimSpace(string(found)) != mta {
		t.Skipf("this changes the machine's %s: test/run mta has one for it", mta)
	}
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	status         int // of the exit; -1 after a signal
}

// try runs a command to its end, whatever that is.
func try(t testing.TB, stdin, program string, args ...string) result {
	t.Helper()
	stdout, stderr, status := machine.Try(t, commandTime, stdin, program, args...)
	return result{stdout, stderr, status}
}

// run runs a command that must succeed, and gives its standard output.
func run(t testing.TB, stdin, program string, args ...string) string {
	t.Helper()
	r := try(t, stdin, program, args...)
	if r.status != 0 {
		t.Fatalf("%s %q: exit status %d\n%s%s", program, args, r.status, r.stdout, r.stderr)
	}
	return r.stdout
}

// write writes a file, in place of one that is there.
func write(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), mode))
	must(t, os.Chmod(path, mode))
}

// person is somebody who gets mail.
type person struct {
	name, password string
	uid, gid       int
	home           string
}

// passwords are all that were made, none of which may be in a log.
var passwords []string

func newPassword() string {
	p := "secret-" + rand.Text()
	passwords = append(passwords, p)
	return p
}

// addPerson adds a user of the system, with a password as Debian stores it.
func addPerson(t testing.TB, name string, options ...string) person {
	t.Helper()
	run(t, "", "useradd", append([]string{"--create-home", "--shell", "/bin/bash", name}, options...)...)
	p := person{name: name, password: newPassword()}
	run(t, p.name+":"+p.password, "chpasswd")
	p.uid, p.gid, p.home = identity(t, name)
	return p
}

// addService adds a user of the system whom a program runs as.
func addService(t testing.TB, name string, options ...string) {
	t.Helper()
	run(t, "", "useradd", append([]string{"--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name}, options...)...)
}

func identity(t testing.TB, name string) (uid, gid int, home string) {
	t.Helper()
	u, err := user.Lookup(name)
	must(t, err)
	uid, err = strconv.Atoi(u.Uid)
	must(t, err)
	gid, err = strconv.Atoi(u.Gid)
	must(t, err)
	return uid, gid, u.HomeDir
}

// tail is the end of a file, for whoever has to find out what went wrong.
func tail(path string) string {
	const most = 6000
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-most):])
}

// showOnFailure shows the end of a log when the test has failed.
func showOnFailure(t testing.TB, path string) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of %s:\n%s", path, tail(path))
		}
	})
}
