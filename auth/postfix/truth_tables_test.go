package postfix

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// truthEntries are keys and mailboxes, in the format of postmap(1).
const truthEntries = `
user@a.example           user/
user+ext@a.example       user.ext/
other-one@a.example      other.one/
other@a.example          other/
mbox@a.example           mbox.file
deep@a.example           a/b//c/./d/
Mixed@a.example          mixed/
"john smith"@a.example   john.smith/
"quo\"te"@a.example      quote/
"john"@a.example         never/
mailer@a.example         mailer/
owner@a.example          owner/
list@a.example           list/
dots@a.example           ..x/...y/
mëd@a.example            med/
local                    local/
local+x                  local.x/
user                     user.alone/
"with space"             with.space/
@b.example               catchall/
user@b.example           b.user/
a.example                domain
`

var truthAddresses = []string{
	"user@a.example", "other@a.example", "USER@A.Example", "user+ext@a.example", "user+other@a.example", "user+ext+more@a.example",
	"user-ext@a.example", "user+@a.example", "user-+x@a.example", "+user@a.example", "User+EXT@a.example",
	"other-one@a.example", "other-one-two@a.example", "other-two@a.example", "other+one-two@a.example",
	"mbox@a.example", "deep@a.example", "mixed@a.example", "Mixed@a.example", "mixed+x@a.example",
	`"john smith"@a.example`, `"john smith+x"@a.example`, `"John Smith"@a.example`, `"quo\"te"@a.example`, "john@a.example",
	`"user"@a.example`, `"user+ext"@a.example`, "nobody@a.example", "nobody+x@a.example",
	"mailer-daemon@a.example", "mailer-x@a.example", "owner-x@a.example", "owner+x@a.example", "Owner-X@a.example",
	"list-request@a.example", "list-other@a.example", "list+x-request@a.example",
	"dots@a.example", "mëd@a.example", "MËD@a.example", "mëd+x@a.example",
	"local@local.example", "local+x@local.example", "local+y@local.example", "local@a.example", "user@local.example",
	"LOCAL+y@mx.example.org", `"with space"@local.example`, `"with space+x"@local.example`, "a.example@local.example",
	"anybody@b.example", "any+x@b.example", "user@b.example", "user+x@b.example", `"x y"@b.example`, "a@c.example", "user@a.example.",
}

// truthTables makes the table of the entries in each type, and gives its name.
var truthTables = map[string]func(t *testing.T) string{
	"hash": indexed("hash"), "btree": indexed("btree"), "lmdb": indexed("lmdb"), "cdb": indexed("cdb"),
	"texthash":       plain("texthash:" + truthDir + "/vmailbox"),
	"proxy texthash": plain("proxy:texthash:" + truthDir + "/vmailbox"),
	"inline":         func(*testing.T) string { return inlineTruth() },
	"several": func(t *testing.T) string {
		return "inline:{{other@a.example = first/}} , " + indexed("hash")(t) + " static:rest/"
	},
	"unionmap": func(t *testing.T) string {
		return "unionmap:{" + plain("texthash:"+truthDir+"/vmailbox")(t) + "}"
	},
	"pipemap": func(t *testing.T) string {
		write(t, truthDir+"/second", "user/ piped/\nother.one/ one/\ncatchall/ all/\n")
		tool(t, "postmap", "hash:"+truthDir+"/second")
		return "pipemap:{" + indexed("hash")(t) + " hash:" + truthDir + "/second}"
	},
	"sqlite": sqliteTruth,
	"regexp": patternTruth("regexp"),
	"pcre":   patternTruth("pcre"),
	"union of patterns": func(t *testing.T) string {
		return "unionmap:{" + patternTruth("pcre")(t) + "}"
	},
	"missing":       func(*testing.T) string { return "hash:/nonexistent/table" },
	"missing text":  func(*testing.T) string { return "texthash:/nonexistent/table" },
	"unknown type":  func(*testing.T) string { return "inline:{{other@a.example=x/}} nosuch:x" },
	"fail":          func(*testing.T) string { return "inline:{{other@a.example=x/}} fail:always" },
	"duplicate key": func(t *testing.T) string { return duplicateTruth(t) },
	"empty value":   func(*testing.T) string { return "inline:{{user@a.example=}, other@a.example=x/}" },
	"tcp":           func(*testing.T) string { return "inline:{{other@a.example=x/}} tcp:127.0.0.1:1" },
}

func indexed(kind string) func(*testing.T) string {
	return func(t *testing.T) string {
		write(t, truthDir+"/vmailbox", truthEntries)
		tool(t, "postmap", kind+":"+truthDir+"/vmailbox")
		return kind + ":" + truthDir + "/vmailbox"
	}
}

func plain(name string) func(*testing.T) string {
	return func(t *testing.T) string {
		write(t, truthDir+"/vmailbox", truthEntries)
		return name
	}
}

func inlineTruth() string {
	var entries []string
	for _, line := range logicalLines(truthEntries) {
		end, _ := quotedIndex(line, spaces)
		entries = append(entries, "{"+line[:end]+" = "+strings.TrimSpace(line[end:])+"}")
	}
	return "inline:{" + strings.Join(entries, ", ") + "}"
}

func duplicateTruth(t *testing.T) string {
	write(t, truthDir+"/twice", "user@a.example a/\nother@a.example b/\nuser@a.example c/\n")
	return "texthash:" + truthDir + "/twice"
}

func sqliteTruth(t *testing.T) string {
	if _, err := exec.LookPath("sqlite3"); err != nil {
		t.Skip("no sqlite3")
	}
	database := truthDir + "/mail.sqlite"
	os.Remove(database)
	statements := []string{"create table box (name text, path text);"}
	for _, line := range logicalLines(truthEntries) {
		end, _ := quotedIndex(line, spaces)
		// Here a key may have spaces without quotes.
		name := strings.ReplaceAll(line[:end], `"john smith"`, "john smith")
		statements = append(statements, fmt.Sprintf("insert into box values ('%s', '%s');", name, strings.TrimSpace(line[end:])))
	}
	tool(t, "sqlite3", database, strings.Join(statements, "\n"))
	write(t, truthDir+"/sqlite.cf", "dbpath = "+database+"\nquery = SELECT path FROM box WHERE name = '%s'\n")
	return "sqlite:" + truthDir + "/sqlite.cf"
}

func patternTruth(kind string) func(*testing.T) string {
	return func(t *testing.T) string {
		write(t, truthDir+"/patterns", `
/^user@a\.example$/      user/
/^USER@b\.example$/      upper/
/^user\+ext@a\.example$/ ext/
/^local/!/local\+y/      local/
if /a\.example$/
/^nobody/                no$$body/
endif
/^"john smith"@/         quoted/
/^john/                  john/
/@b\.example$/
  catch/
`)
		return kind + ":" + truthDir + "/patterns"
	}
}
