package postfix

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
)

// maxKey limits a key in octets: far longer than an address can be (RFC 5321,
// section 4.5.3.1), and what a table can index.
const maxKey = 512

// usable says whether a key can be in a table at all.
func usable(key string) bool {
	return key != "" && len(key) <= maxKey && utf8.ValidString(key) &&
		!strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c == 0x7F })
}

// fold is Postfix's folding of case: that of Unicode where it handles such
// addresses (SMTPUTF8, RFC 6531), else that of ASCII.
func (p *Postfix) fold(s string) string {
	ascii := strings.IndexFunc(s, func(c rune) bool { return c >= utf8.RuneSelf }) < 0
	if !ascii && p.utf8.Load() {
		return cases.Fold().String(s)
	}
	folded := []byte(s)
	for i, c := range folded {
		if 'A' <= c && c <= 'Z' {
			folded[i] = c + 'a' - 'A'
		}
	}
	return string(folded)
}

// maps are the tables of one parameter, asked in order.
type maps struct {
	title string // the parameter; empty: it has none
	dicts []*dict
}

// open makes maps from a parameter's value: tables separated by commas or white
// space.
func (p *Postfix) open(title, names string, fold bool) *maps {
	m := &maps{title: title}
	for _, name := range items(names) {
		m.dicts = append(m.dicts, p.dict(name, fold))
	}
	return m
}

// find looks for a key in each table until one has it. A key that is part of an
// address is not looked for in tables of patterns. Folded is the key for tables
// that are not of patterns.
func (m *maps) find(ctx context.Context, key, folded string, part bool) (value string, in *dict, err error) {
	if !usable(key) || !usable(folded) {
		return "", nil, nil
	}
	for _, d := range m.dicts {
		asked := folded
		if d.pattern {
			asked = key
			if part {
				continue
			}
		}
		err := d.check()
		var ok bool
		if err == nil {
			value, ok, err = d.get(ctx, asked)
		}
		if err == nil && ok && value == "" {
			err = fmt.Errorf("%w: %s gives nothing for %q: give it a value, or remove the entry", ErrConfig, d.shown, key)
		}
		switch {
		case err != nil && m.title != "":
			return "", nil, fmt.Errorf("%s: %w", m.title, err)
		case err != nil:
			return "", nil, err
		}
		if ok {
			return value, d, nil
		}
	}
	return "", nil, nil
}

// Table is a list of Postfix's tables that somebody else than Postfix uses. Its
// methods may be called from many goroutines at once.
type Table struct {
	p *Postfix
	m *maps
}

// Table opens tables: "hash:/etc/postfix/passwords, mysql:/etc/postfix/mysql.cf"
// are asked in this order. An error wraps [ErrConfig]; whether the tables can
// be read shows only when they are asked.
func (p *Postfix) Table(names string) (*Table, error) {
	m := p.open("", names, true)
	if len(m.dicts) == 0 {
		return nil, fmt.Errorf("%w: no table is named", ErrConfig)
	}
	for _, d := range m.dicts {
		if err := d.check(); errors.Is(err, ErrConfig) {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tables = append(p.tables, m)
	return &Table{p, m}, nil
}

// Lookup gives the value of exactly this key; case does not count, except in
// tables of patterns, whose patterns decide. Errors wrap [ErrTemporary] or
// [ErrConfig].
func (t *Table) Lookup(ctx context.Context, key string) (value string, ok bool, err error) {
	if _, err := t.p.current(ctx); err != nil {
		return "", false, err
	}
	value, in, err := t.m.find(ctx, key, t.p.fold(key), false)
	return value, in != nil, err
}

// LookupAddress looks for the forms of an address that virtual(8) looks for, see
// [Postfix.Mailbox], except @domain: that would be one value for everybody. Key
// is the form that was found. Without "@" it is a local part.
func (t *Table) LookupAddress(ctx context.Context, address string) (value, key string, ok bool, err error) {
	c, err := t.p.current(ctx)
	if err != nil {
		return "", "", false, err
	}
	a, ok := c.parseAddress(address)
	if !ok {
		return "", "", false, nil
	}
	found, err := t.p.findAddress(ctx, c, t.m, a, false)
	return found.value, found.key, found.in != nil, err
}
