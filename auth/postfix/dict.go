package postfix

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// dictID is a table and how its keys are treated.
type dictID struct {
	spec string // type:name

	// fold says that the keys in the table are folded too where it is read as
	// text. Postfix's daemons do not: there a key with an upper-case letter is
	// never found. postmap -q does.
	fold bool
}

// dict is one table of Postfix's (DATABASE_README).
type dict struct {
	dictID
	shown string // the table for an error's text: without what is written out in main.cf
	kind  string
	name  string

	// pattern says that its keys are patterns, which are matched with whole
	// addresses only and never with parts of them.
	pattern bool

	// files are those that may hold the table. Not all need to exist.
	files []string

	// get looks up a key that is as the table wants it. Errors wrap ErrTemporary
	// or ErrConfig.
	get func(ctx context.Context, key string) (value string, ok bool, err error)

	// check says whether the table is fit to decide who reads mail.
	check func() error

	faults faults // of postmap
}

// patterns are the types whose keys are patterns, as far as Postfix is concerned.
var patterns = map[string]bool{
	"regexp": true, "pcre": true, "cidr": true, "fail": true, "randmap": true, "socketmap": true, "tcp": true,
}

// unauthenticated are the types that Postfix refuses where the answer decides
// about somebody's files, since anybody could be answering.
var unauthenticated = map[string]bool{"tcp": true, "socketmap": true, "memcache": true}

// suffixes are those of the files of a table. A Postfix without Berkeley DB takes
// hash and btree for lmdb or cdb.
var suffixes = map[string][]string{
	"hash": {".db", ".lmdb", ".cdb"}, "btree": {".db", ".lmdb", ".cdb"},
	"lmdb": {".lmdb"}, "cdb": {".cdb"}, "dbm": {".dir", ".pag"}, "sdbm": {".dir", ".pag"},
}

// dict gives a table, opened at its first use. A table that cannot be opened
// fails when it is asked, as in Postfix.
func (p *Postfix) dict(spec string, fold bool) *dict {
	// virtual(8) opens the table itself where proxymap(8) is asked for.
	for strings.HasPrefix(spec, "proxy:") {
		spec = strings.TrimPrefix(spec, "proxy:")
	}
	id := dictID{spec, fold}
	p.mu.Lock()
	d := p.dicts[id]
	p.mu.Unlock()
	if d != nil {
		return d
	}
	d = p.newDict(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	if first := p.dicts[id]; first != nil {
		return first
	}
	p.dicts[id] = d
	return d
}

func (p *Postfix) newDict(id dictID) *dict {
	d := &dict{dictID: id, shown: id.spec, check: func() error { return nil }}
	var ok bool
	d.kind, d.name, ok = strings.Cut(id.spec, ":")
	if !ok || d.kind == "" || d.name == "" {
		d.fail(ErrConfig, "write it as type:name, such as hash:"+id.spec)
		return d
	}
	if d.name[0] == '{' || d.kind == "inline" { // without its braces it is refused
		d.shown = d.kind + ":{...}"
	}
	d.pattern = patterns[d.kind]
	d.get = func(ctx context.Context, key string) (string, bool, error) { return p.ask(ctx, d, key) }
	switch d.kind {
	case "static":
		d.openStatic()
	case "inline":
		d.openInline(p)
	case "texthash":
		d.openText(p)
	case "fail":
		d.fail(ErrTemporary, "a table of this type always fails")
	case "regexp", "pcre":
		d.openPatterns()
	case "unionmap", "pipemap":
		d.openParts(p)
	default:
		d.findFiles()
	}
	if unauthenticated[d.kind] {
		err := fmt.Errorf("%w: %s: anybody could answer for it: Postfix takes no %s table here", ErrConfig, d.shown, d.kind)
		d.check = func() error { return err }
	}
	return d
}

// fail makes every lookup fail.
func (d *dict) fail(kind error, text string) {
	err := fmt.Errorf("%w: %s: %s", kind, d.shown, text)
	d.get = func(context.Context, string) (string, bool, error) { return "", false, err }
	d.check = func() error { return err }
}

// findFiles knows the files of a table by its type. A database has a file of
// settings, and SQLite's one with the data.
func (d *dict) findFiles() {
	if !filepath.IsAbs(d.name) {
		return
	}
	if endings := suffixes[d.kind]; endings != nil {
		for _, ending := range endings {
			d.files = append(d.files, d.name+ending)
		}
		return
	}
	d.files = []string{d.name}
	if d.kind != "sqlite" {
		return
	}
	content, err := readFile(d.name)
	if err != nil {
		return // postmap will say why
	}
	for _, line := range logicalLines(content) {
		if name, value, err := nameValue(line); err == nil && name == "dbpath" {
			d.files = append(d.files, value, value+"-wal", value+"-journal")
		}
	}
}

func (d *dict) openStatic() {
	value := d.name
	if value[0] == '{' {
		var err error
		if value, err = inBraces(value); err != nil {
			d.fail(ErrConfig, err.Error())
			return
		}
		value = strings.Trim(value, spaces)
	}
	d.get = func(context.Context, string) (string, bool, error) { return value, true, nil }
}

// openInline reads inline:{name=value, {name = value with spaces}}.
func (d *dict) openInline(p *Postfix) {
	inside, err := inBraces(d.name)
	values := make(map[string]string)
	for _, item := range items(inside) {
		if item[0] == '{' && err == nil {
			item, err = inBraces(item)
		}
		var name, value string
		if err == nil {
			name, value, err = nameValue(item)
		}
		if d.fold {
			name = p.fold(name)
		}
		values[name] = value
	}
	if err == nil && len(values) == 0 {
		err = errors.New("it has no entry")
	}
	if err != nil {
		d.fail(ErrConfig, err.Error())
		return
	}
	d.get = func(_ context.Context, key string) (string, bool, error) {
		value, ok := values[key]
		return value, ok, nil
	}
}

// openParts opens what a unionmap or pipemap is made of; postmap does the rest.
func (d *dict) openParts(p *Postfix) {
	inside, err := inBraces(d.name)
	names := items(inside)
	if err == nil && len(names) == 0 {
		err = errors.New("it has no table")
	}
	if err != nil {
		d.fail(ErrConfig, err.Error())
		return
	}
	var parts []*dict
	for _, name := range names {
		part := p.dict(name, d.fold)
		parts = append(parts, part)
		d.files = append(d.files, part.files...)
	}
	// The first table decides, as it is the one that sees the key.
	d.pattern = parts[0].pattern
	d.check = func() error {
		for _, part := range parts {
			if err := part.check(); err != nil {
				return fmt.Errorf("%s: %w", d.shown, err)
			}
		}
		return nil
	}
}
