package postfix

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sidepop/auth/internal/version"
)

// fakeConf prints main.cf, with what postconf would add.
const fakeConf = `#!/bin/sh
dir=$(dirname "$0")/etc
echo "$*" >>"$dir/conf.runs"
grep -q broken "$dir/main.cf" && { echo "postconf: fatal: main.cf, line 1: broken" >&2; exit 1; }
echo "config_directory = $dir"
cat "$dir/main.cf"
`

// fakeMap looks into the file FILE of a table TYPE:FILE, or .db for hash, with
// lines of "key<tab>value". Some keys do something else.
const fakeMap = `#!/bin/sh
dir=$(dirname "$0")/etc
read -r key
printf '%s\n' "$* <$key" >>"$dir/map.runs"
while [ $# -gt 1 ]; do shift; done
case $key in
slow) sleep 0.3;;
crash) kill -SEGV $$;;
odd) echo something else; exit 0;;
warned) echo "postmap: warning: it is old" >&2; exit 1;;
noisy) echo "postmap: warning: inet_protocols: disabling IPv6 name/address support" >&2; echo "postmap: fatal: too bad" >&2; exit 1;;
latin1) echo 'postmap: warning: hash:/x: key "latin1": non-UTF-8 value "SECRET": malformed' >&2; echo "postmap: fatal: query error" >&2; exit 1;;
empty) printf 'empty\t\n'; exit 0;;
esac
file=${1#*:}
[ "${1%%:*}" = hash ] && file=$file.db
[ -e "$file" ] || { echo "postmap: warning: trouble" >&2; echo "postmap: fatal: open $file: No such file" >&2; exit 1; }
awk -F '\t' -v key="$key" '$1 == key { print; found = 1; exit } END { exit !found }' "$file"
`

// fakeMain is what every main.cf has unless a test says otherwise.
const fakeMain = `mail_version = 3.7.11
smtputf8_enable = yes
myorigin = mx.example.org
mydestination = mx.example.org, local.example
inet_interfaces = all
recipient_delimiter = +
double_bounce_sender = double-bounce
owner_request_special = yes
virtual_mailbox_base = /srv/vmail
virtual_minimum_uid = 100
virtual_uid_maps = static:5000
virtual_gid_maps = static:5001
local_transport = local:mx.example.org
mail_spool_directory = /var/mail
`

// fake is an instance with tools of ours, whose main.cf consists of fakeMain and
// main. It was changed long ago.
type fake struct {
	*Postfix
	t   testing.TB
	dir string // of main.cf
}

func newFake(t testing.TB, main string, change ...func(*Options)) *fake {
	t.Helper()
	commands := t.TempDir()
	f := &fake{t: t, dir: filepath.Join(commands, "etc")}
	for name, script := range map[string]string{"postconf": fakeConf, "postmap": fakeMap} {
		if err := os.WriteFile(filepath.Join(commands, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f.write("main.cf", fakeMain+strings.ReplaceAll(main, "DIR", f.dir))
	o := Options{Commands: commands, ConfigDir: f.dir}
	for _, c := range change {
		c(&o)
	}
	p, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	f.Postfix = p
	return f
}

// ages is how far back the next file's time is set, so that each version of it
// has one of its own, and a test need not wait for it to settle.
var ages atomic.Int64

// write replaces a file, with a time long ago. The change time is now, and makes
// the file unsettled: see settle.
func (f *fake) write(name, content string) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour).Add(time.Duration(ages.Add(1)) * time.Second)
	if err := os.Chtimes(path, old, old); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// lookup checks one answer of a table.
func (f *fake) lookup(table *Table, key, want string) {
	f.t.Helper()
	value, _, err := table.Lookup(f.t.Context(), key)
	if value != want || err != nil {
		f.t.Errorf("%q: %q %v, want %q", key, value, err, want)
	}
}

// wantRuns checks how often postmap ran since the last time.
func (f *fake) wantRuns(want int) {
	f.t.Helper()
	if n := f.runs("map"); n != want {
		f.t.Errorf("postmap ran %d times, want %d", n, want)
	}
}

// settle waits until all files count as settled.
func settle() { time.Sleep(version.SettleTime + 50*time.Millisecond) }

// runs says how often a tool ran, and forgets it.
func (f *fake) runs(name string) int {
	f.t.Helper()
	path := filepath.Join(f.dir, name+".runs")
	content, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	os.Remove(path)
	return strings.Count(string(content), "\n")
}
