package mta

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// entry is one line of a Postfix table.
type entry struct{ key, value string }

// mapType is a type of Postfix table.
type mapType struct {
	name string

	// make writes a table at a path, in place of one that is there, and gives the
	// name to write into a parameter.
	make func(t testing.TB, path string, entries []entry) (table string)

	// whole: Postfix asks only for addresses as they are, with their extension
	// (virtual_mailbox_maps in postconf(5)).
	whole bool
}

var mapTypes = []mapType{
	{name: "hash", make: indexed("hash")},
	{name: "btree", make: indexed("btree")},
	{name: "lmdb", make: indexed("lmdb")},
	{name: "cdb", make: indexed("cdb")},
	{name: "texthash", make: func(t testing.TB, path string, entries []entry) string {
		write(t, path, text(entries), 0o644)
		return "texthash:" + path
	}},
	{name: "pcre", make: patterned("pcre"), whole: true},
	{name: "regexp", make: patterned("regexp"), whole: true},
	{name: "sqlite", make: func(t testing.TB, path string, entries []entry) string {
		write(t, path, fmt.Sprintf("dbpath = %s.db\nquery = SELECT v FROM entries WHERE k = '%%s'\n", path), 0o644)
		run(t, "DROP TABLE IF EXISTS entries;\n"+insertions("entries", entries), "sqlite3", path+".db")
		return "proxy:sqlite:" + path // Debian's smtpd sees no file outside its queue
	}},
}

// indexed makes a table that postmap compiles.
func indexed(kind string) func(testing.TB, string, []entry) string {
	return func(t testing.TB, path string, entries []entry) string {
		write(t, path, text(entries), 0o644)
		run(t, "", "postmap", kind+":"+path)
		return kind + ":" + path
	}
}

// patterned makes a table of patterns.
func patterned(kind string) func(testing.TB, string, []entry) string {
	return func(t testing.TB, path string, entries []entry) string {
		write(t, path, patterns(entries), 0o644)
		return kind + ":" + path
	}
}

// text is a table as postmap(1) reads it.
func text(entries []entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s  %s\n", e.key, e.value)
	}
	return b.String()
}

// patterns is a table as pcre_table(5) and regexp_table(5) have it, where a dollar
// is written twice.
func patterns(entries []entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "/^%s$/  %s\n", regexp.QuoteMeta(e.key), strings.ReplaceAll(e.value, "$", "$$"))
	}
	return b.String()
}

// insertions are the SQL statements that make a table. No entry has a quote.
func insertions(table string, entries []entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (k VARCHAR(255) PRIMARY KEY, v TEXT);\n", table)
	for _, e := range entries {
		fmt.Fprintf(&b, "INSERT INTO %s VALUES ('%s', '%s');\n", table, e.key, e.value)
	}
	return b.String()
}

// tables are the tables of virtual users.
type tables struct{ mailboxes, passwords string }

// makeTables makes the tables of virtual users, as one type has them.
func (m mapType) makeTables(t testing.TB, users []virtualPerson) tables {
	t.Helper()
	var mailboxes, passwords []entry
	for _, u := range users {
		mailboxes = append(mailboxes, entry{u.address, u.mailbox})
		if u.secret != "" {
			passwords = append(passwords, entry{u.address, u.secret})
		}
	}
	dir := filepath.Join("/etc/postfix/tables", m.name)
	return tables{
		mailboxes: m.make(t, filepath.Join(dir, "mailboxes"), mailboxes),
		passwords: m.make(t, filepath.Join(dir, "passwords"), passwords),
	}
}
