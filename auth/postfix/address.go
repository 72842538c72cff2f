package postfix

import (
	"context"
	"strings"
)

// address is a mail address in Postfix's internal form: without the quotes that
// a local part may need, in folded case. Without domain it has no "@".
type address struct {
	local, domain string
}

func (a address) String() string {
	if a.domain == "" {
		return a.local
	}
	return a.local + "@" + a.domain
}

// parseAddress takes an address with its local part quoted or not. Not ok is one
// that cannot receive mail.
func (c *config) parseAddress(s string) (a address, ok bool) {
	if !usable(s) {
		return address{}, false
	}
	s = c.fold(s)
	local, domain, quoted := unquote(s)
	if !quoted {
		at := strings.LastIndexByte(s, '@')
		if at < 0 {
			return address{local: s}, true
		}
		local, domain = s[:at], s[at+1:]
	}
	// Postfix takes one dot off the end of a domain.
	domain = strings.TrimSuffix(domain, ".")
	if local == "" || domain == "" || strings.HasSuffix(domain, ".") {
		return address{}, false
	}
	return address{local, domain}, true
}

// unquote splits "quoted string"@domain (RFC 5322, section 3.4.1).
func unquote(s string) (local, domain string, ok bool) {
	if s[0] != '"' {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			domain, ok := strings.CutPrefix(s[i+1:], "@")
			return b.String(), domain, ok && !strings.Contains(domain, "@")
		case c == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// quote is the form of a local part in a table: quoted if it has anything but
// letters, digits and marks between single dots. Octets above 0x7F stay.
func quote(local string) string {
	plain := local != "" && local[0] != '.' && !strings.HasSuffix(local, ".") && !strings.Contains(local, "..")
	if plain && !strings.ContainsAny(local, " ()<>@,;:\\\"[]") {
		return local
	}
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(local) + `"`
}

// strip takes the extension off a local part: from the first delimiter on. Some
// names keep theirs, and none becomes empty.
func (c *config) strip(local string) (bare string, ok bool) {
	for _, whole := range []string{"postmaster", "mailer-daemon", c.values["double_bounce_sender"]} {
		if strings.EqualFold(local, whole) {
			return "", false
		}
	}
	if strings.Contains(c.delimiters, "-") && c.values["owner_request_special"] != "no" {
		const owner, request = "owner-", "-request"
		if strings.HasPrefix(local, owner) || len(local) > len(request) && strings.HasSuffix(local, request) {
			return "", false
		}
	}
	at := strings.IndexAny(local, c.delimiters)
	if at <= 0 {
		return "", false
	}
	return local[:at], true
}

// Bare gives the one spelling of all addresses that [Table.LookupAddress] may find to
// be the same: without an extension, quotes, upper case or a dot at the end. What is
// no address stays as it is.
func (p *Postfix) Bare(s string) string {
	c := p.latest()
	a, ok := c.parseAddress(s)
	if !ok || a.domain == "" {
		return s
	}
	if bare, stripped := c.strip(a.local); stripped {
		a.local = bare
	}
	return a.String()
}

// found is what a search for an address came to. In is nil if to nothing.
type found struct {
	value, key string
	in         *dict
}

// form is a key to look for.
type form struct {
	key  string
	part bool // of the address, not the whole
}

// findAddress looks for the forms of an address in virtual(8)'s order:
// user+extension@domain, user@domain, user+extension and user if the domain is
// this machine's, @domain. The quoted form of a local part comes before the
// unquoted one.
func (p *Postfix) findAddress(ctx context.Context, c *config, m *maps, a address, catchAll bool) (found, error) {
	bare, stripped := c.strip(a.local)
	locals := []string{a.local}
	if stripped {
		locals = append(locals, bare)
	}
	f, err := m.findLocals(ctx, locals, a.domain, true)
	if f.in != nil || err != nil || a.domain == "" {
		return f, err
	}
	origin, err := c.origin()
	if err != nil {
		return found{}, err
	}
	local := c.fold(origin) == a.domain
	if !local {
		if local, err = c.isLocal(ctx, a.domain); err != nil {
			return found{}, err
		}
	}
	if local {
		if f, err = m.findLocals(ctx, locals, "", false); f.in != nil || err != nil {
			return f, err
		}
	}
	if !catchAll {
		return found{}, nil
	}
	return m.findForms(ctx, form{"@" + a.domain, true})
}

// findLocals looks for local parts at a domain, or without one. Whole says that
// the first of them makes the whole address.
func (m *maps) findLocals(ctx context.Context, locals []string, domain string, whole bool) (found, error) {
	var forms []form
	for i, local := range locals {
		part := !whole || i > 0
		quoted := quote(local)
		forms = append(forms, form{address{quoted, domain}.String(), part})
		if quoted != local {
			forms = append(forms, form{address{local, domain}.String(), part})
		}
	}
	return m.findForms(ctx, forms...)
}

func (m *maps) findForms(ctx context.Context, forms ...form) (found, error) {
	for _, f := range forms {
		value, in, err := m.find(ctx, f.key, f.key, f.part)
		if err != nil || in != nil {
			return found{value, f.key, in}, err
		}
	}
	return found{}, nil
}
