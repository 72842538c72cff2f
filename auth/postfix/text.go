package postfix

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// openText makes a texthash table: text that is read as it is.
func (d *dict) openText(p *Postfix) {
	d.files = []string{d.name}
	fold := func(key string) string { return key }
	if d.fold {
		fold = p.fold
	}
	file := &parsed[map[string]string]{path: d.name, parse: func(content string) (map[string]string, error) {
		return parseText(content, fold)
	}}
	d.get = func(_ context.Context, key string) (string, bool, error) {
		entries, err := file.current()
		value, ok := entries[key]
		return value, ok, err
	}
}

// parseText reads a table's text (postmap(1), "INPUT FILE FORMAT"): a key, white
// space, a value. A key may be quoted, and keeps its quotes. Lines without a
// value or with an open quote do not count. A key that is there twice makes the
// table unusable, as for Postfix's daemons.
func parseText(content string, fold func(string) string) (map[string]string, error) {
	entries := make(map[string]string)
	for number, line := range logicalLines(content) {
		end, balanced := quotedIndex(line, spaces)
		key, value := line[:end], strings.Trim(line[end:], spaces)
		if !balanced || value == "" {
			continue
		}
		key = fold(key)
		if _, twice := entries[key]; twice {
			return nil, fmt.Errorf("line %d: the key is in the table twice: remove one", number)
		}
		entries[key] = value
	}
	return entries, nil
}

// openPatterns makes a table of regular expressions, which postmap looks into. A
// rule whose result has parts of what it matched in it does not count where the
// result decides about somebody's files; but postmap cannot be told so.
func (d *dict) openPatterns() {
	if d.name[0] == '{' {
		err := d.inlinePatterns()
		d.check = func() error { return err }
		return
	}
	d.files = []string{d.name}
	file := &parsed[struct{}]{path: d.name, parse: func(content string) (none struct{}, err error) {
		for number, line := range logicalLines(content) {
			if substitutes(line) {
				return none, fmt.Errorf("line %d: %w", number, errSubstitutes)
			}
		}
		return none, nil
	}}
	d.check = func() error {
		_, err := file.current()
		return err
	}
}

var errSubstitutes = errors.New("the result is made from what the pattern matched ($1), and Postfix " +
	"ignores such a rule here: remove it, or write a rule for each address")

// inlinePatterns checks rules that are written out in main.cf: {{/pattern/ result}, ...}.
func (d *dict) inlinePatterns() error {
	inside, err := inBraces(d.name)
	for _, rule := range items(inside) {
		if err == nil {
			rule, err = inBraces(rule)
		}
		if err == nil && substitutes(strings.Trim(rule, spaces)) {
			err = errSubstitutes
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, d.shown, err)
	}
	return nil
}

// substitutes says whether a rule's result refers to what its pattern matched:
// has a "$" that is not doubled (regexp_table(5), "TEXT SUBSTITUTION").
func substitutes(rule string) bool {
	if c := rule[0] | 0x20; c >= 'a' && c <= 'z' {
		return false // IF and ENDIF have no result
	}
	for {
		rule = strings.TrimLeft(rule, "!"+spaces)
		if rule == "" {
			return false
		}
		delimiter, end := rule[0], 1
		for end < len(rule) && rule[end] != delimiter {
			if rule[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(rule) {
			return false // no rule, then
		}
		rule = rule[end+1:]
		options := strings.IndexAny(rule, spaces+"!")
		if options < 0 {
			return false
		}
		// A second pattern may follow: /one/!/two/ result.
		if rule = rule[options:]; rule[0] != '!' {
			break
		}
	}
	return strings.Contains(strings.ReplaceAll(rule, "$$", ""), "$")
}
