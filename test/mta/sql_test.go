package mta

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	sqlSocket = "/run/mysqld/mysqld.sock"
	sqlPort   = "3306"
	sqlData   = "/var/lib/mysql"
	sqlLog    = "/var/log/mariadb"
	sqlEngine = "--default-storage-engine=Aria" // InnoDB's files take longer to make than all tests with them
)

// database is a MariaDB with Postfix's tables.
type database struct {
	*daemon
	password string // Postfix's
}

// startDatabase makes a database and starts it.
func startDatabase(t testing.TB) *database {
	t.Helper()
	addService(t, "mysql")
	run(t, "", "install", "-d", "-o", "mysql", "-g", "mysql", sqlData, "/run/mysqld")
	run(t, "", "mariadb-install-db", "--no-defaults", "--user=mysql", "--datadir="+sqlData, "--skip-test-db", sqlEngine, "--innodb=OFF")
	showOnFailure(t, sqlLog)
	d := &database{password: newPassword()}
	d.start(t)
	t.Logf("%s", run(t, "", "mariadbd", "--version"))
	d.execute(t, "CREATE DATABASE mail;")
	for _, user := range []string{"postfix@localhost", "postfix@'127.0.0.1'"} {
		d.execute(t, fmt.Sprintf("CREATE USER %s IDENTIFIED BY '%s'; GRANT SELECT ON mail.* TO %s;", user, d.password, user))
	}
	return d
}

// start starts the database, again perhaps.
func (d *database) start(t testing.TB) {
	t.Helper()
	d.daemon = startDaemon(t, sqlLog, "mariadbd", "--no-defaults", "--user=mysql", "--datadir="+sqlData,
		"--socket="+sqlSocket, "--bind-address=127.0.0.1", "--port="+sqlPort, sqlEngine, "--innodb=OFF")
	d.awaitListening(t, "unix", sqlSocket)
}

// execute has root, whom the database knows by the socket, make a change.
func (d *database) execute(t testing.TB, statements string) {
	t.Helper()
	run(t, statements, "mariadb", "--no-defaults", "--socket="+sqlSocket)
}

// table makes a table and gives what to write into a parameter, for the database
// to be reached at a socket or an address.
func (d *database) table(t testing.TB, at, name string, entries []entry) string {
	t.Helper()
	d.execute(t, "USE mail; "+insertions(name, entries))
	path := "/etc/postfix/mysql-" + name + ".cf"
	write(t, path, fmt.Sprintf(`hosts = %s
user = postfix
password = %s
dbname = mail
query = SELECT v FROM %s WHERE k = '%%s'
`, at, d.password, name), 0o640)
	run(t, "", "chgrp", "postfix", path) // proxymap runs as that user
	return "proxy:mysql:" + path         // Debian's smtpd sees no socket outside its queue
}

// TestPostfixSQL has virtual users in a database, which stops and comes back.
func TestPostfixSQL(t *testing.T) {
	need(t, "postfix")
	addVirtualUser(t, virtualBase)
	d := startDatabase(t)
	people := virtualPeople(t)
	late := people[0] // somebody who has not logged in when the database stops
	late.address, late.mailbox = "late@"+virtualDomain, virtualDomain+"/late/"
	tables := mapType{name: "mysql", make: func(t testing.TB, path string, entries []entry) string {
		return d.table(t, "unix:"+sqlSocket, filepath.Base(path), entries)
	}}.makeTables(t, append(people, late))
	startPostfix(t, virtualParameters(virtualBase, tables)...)
	serveVirtual(t, tables, "login failed")
	testVirtual(t, virtualBase, people, "+extension")
	letters := []letter{sendmail(t, late.address), sendSMTP(t, late.address)}
	awaitStored(t, filepath.Join(virtualBase, late.mailbox), letters...)

	d.stop(t)
	for _, password := range []string{late.password, "not " + late.password} {
		expectStatus(t, statusTemporary, late.address, password)
	}
	expectStatus(t, statusTemporary, "nobody-of-another-name@"+virtualDomain, late.password)

	d.start(t)
	begin := time.Now()
	await(t, "logins work again", func() bool {
		return strings.HasPrefix(attempt(t, late.address, late.password), statusOK)
	})
	t.Logf("logins work %v after the database", time.Since(begin).Round(time.Millisecond))
	expectStatus(t, statusAuth, late.address, "not "+late.password)
	expectMail(t, late.address, late.password, filepath.Join(virtualBase, late.mailbox), letters...)
}

// TestPostfixNetwork has passwords in a database over TCP, which the keeper and the
// programs that it starts reach only where the configuration lets them.
func TestPostfixNetwork(t *testing.T) {
	need(t, "postfix")
	addVirtualUser(t, virtualBase)
	d := startDatabase(t)
	people := virtualPeople(t)[:1]
	alice := people[0]
	tables := mapTypes[0].makeTables(t, people)
	configurePostfix(t, virtualParameters(virtualBase, tables)...)
	tables.passwords = d.table(t, "inet:127.0.0.1:"+sqlPort, "network", []entry{{alice.address, alice.secret}})
	for settings, status := range map[string]string{"": statusTemporary, "network = true\n": statusOK} {
		t.Run(settings, func(t *testing.T) {
			serve(t, "", fmt.Sprintf("[auth]\nsources = [\"virtual\"]\npassword_maps = %q\n%s%s", tables.passwords, settings, quickly), "login failed")
			expectStatus(t, status, alice.address, alice.password)
		})
	}
}
