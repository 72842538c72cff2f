package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"sidepop/auth/postfix"
	"sidepop/cmd/sidepop/internal/check"
)

// aliases says where else Postfix sends what comes for a name.
func (c *checkup) aliases(ctx context.Context, s *check.Section, name string) {
	if c.found.Postfix == nil {
		return
	}
	p := c.found.Postfix
	local, _, isAddress := strings.Cut(name, "@")
	if isAddress {
		c.alias(ctx, s, p, "virtual_alias_maps", name)
	}
	c.alias(ctx, s, p, "alias_maps", local)
}

// alias looks a name up in the tables of a parameter.
func (c *checkup) alias(ctx context.Context, s *check.Section, p *postfix.Postfix, parameter, name string) {
	tables := p.Parameter(parameter)
	if tables == "" {
		return
	}
	t, err := p.Table(tables)
	if err != nil {
		s.Fact(parameter, "%v", err)
		return
	}
	switch to, key, ok, err := t.LookupAddress(ctx, name); {
	case err != nil:
		s.Fact(parameter, "%v", err)
	case ok:
		s.Fact("perhaps elsewhere", "%s is an alias of %s (%s = %s)", key, to, parameter, tables)
	}
}

const shadowFile = "/etc/shadow"

// systemHints are what the system's files say about a user that PAM may refuse
// him for. Only root sees all.
func systemHints(name string) (hints []string) {
	const shell, passwdFields = 6, 7
	if f := entry("/etc/passwd", name); len(f) == passwdFields {
		switch f[shell][strings.LastIndexByte(f[shell], '/')+1:] {
		case "nologin", "false":
			hints = append(hints, "the shell is "+f[shell]+": PAM decides whether that keeps the user from mail")
		}
	}
	const password, expires, shadowFields = 1, 7, 9
	f := entry(shadowFile, name)
	if len(f) != shadowFields {
		return hints
	}
	switch {
	case f[password] == "":
		hints = append(hints, "there is no password in "+shadowFile+": nobody can log in with an empty one")
	case strings.ContainsAny(f[password][:1], "!*"):
		hints = append(hints, "the password is locked in "+shadowFile+": it is never right, unless PAM asks others too")
	}
	if day, err := strconv.ParseInt(f[expires], 10, 64); err == nil && day <= time.Now().Unix()/secondsPerDay {
		hints = append(hints, "the account has expired ("+shadowFile+"): PAM refuses it")
	}
	return hints
}

// secondsPerDay: shadow(5) counts days since 1970.
const secondsPerDay = 24 * 60 * 60

// entry is the line of a name in a file of the kind of passwd(5), in fields; nil
// where there is none, or this user may not read the file.
func entry(file, name string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(strings.TrimSuffix(line, "\n"), ":"); fields[0] == name {
			return fields
		}
	}
	return nil
}
