package main

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A kind of licence has a short name and words that only its texts have, in any
// division into lines and any case.
type kind struct {
	name  string
	words []string
	// common is set if the systems of Debian have the text.
	common bool
	// or is the name of a common licence that may be chosen instead. It begins in
	// the text at orFrom.
	or, orFrom string
}

// kinds are in the order in which they are tried.
var kinds = []kind{
	{name: "BSD-3-clause", or: "GPL-2", orFrom: "-------------------------------------------------------------------------\nGPL v2.0:",
		words: []string{"one or the other of these two Licenses: - BSD 3-clause - GPL v2.0"}},
	{name: "Apache-2.0", common: true, words: []string{"Apache License", "Version 2.0, January 2004"}},
	{name: "Expat", words: []string{"Permission is hereby granted, free of charge", `THE SOFTWARE IS PROVIDED "AS IS"`}},
	{name: "BSD-3-clause", words: []string{"Redistributions of source code must retain", "may be used to endorse or promote"}},
	{name: "BSD-2-clause", words: []string{"Redistributions of source code must retain", "Redistributions in binary form must reproduce"}},
}

var errUnknownLicence = errors.New("a licence that is not known; read it, and if Debian's guidelines allow it, add it to kinds")

func kindOf(licence string) (kind, error) {
	words := folded(licence)
	for _, k := range kinds {
		if !slices.ContainsFunc(k.words, func(w string) bool { return !strings.Contains(words, folded(w)) }) {
			return k, nil
		}
	}
	return kind{}, errUnknownLicence
}

// folded makes texts equal that differ in case and white space alone.
func folded(text string) string {
	return strings.ToLower(strings.Join(strings.Fields(text), " "))
}

// A terms is what a licence says, by its short name.
type terms struct{ name, text string }

// known are the terms that were needed so far.
type known []terms

// add returns what stands in the field License of a part, and keeps the terms.
func (all *known) add(p *part) (string, error) {
	k, err := kindOf(p.licence)
	if err != nil {
		return "", err
	}
	if k.common {
		return all.addCommon(k.name), nil
	}
	text := p.licence
	if k.or != "" {
		text, _, _ = strings.Cut(text, k.orFrom)
	}
	name := all.addText(k.name, path.Base(p.folder), withoutNotices(text))
	if k.or != "" {
		name += " or " + all.addCommon(k.or)
	}
	return name, nil
}

func (all *known) addCommon(name string) string {
	text := "On Debian systems the text is in /usr/share/common-licenses/" + name + ".\n"
	if !slices.Contains(*all, terms{name, text}) {
		*all = append(*all, terms{name, text})
	}
	return name
}

// addText gives terms whose name is taken by others that of a module behind "~".
func (all *known) addText(name, module, text string) string {
	for _, have := range *all {
		if folded(have.text) == folded(text) {
			return have.name
		}
	}
	if slices.ContainsFunc(*all, func(have terms) bool { return have.name == name }) {
		name += "~" + module
	}
	*all = append(*all, terms{name, text})
	return name
}

// title is a line that is no part of the terms.
var title = regexp.MustCompile(`(?i)^((the )?mit license( \(mit\))?|all rights reserved\.?)\s*$`)

// withoutNotices returns the terms alone.
func withoutNotices(licence string) string {
	var kept []string
	for line := range strings.SplitSeq(licence, "\n") {
		if len(notices(line)) == 0 && !title.MatchString(line) {
			kept = append(kept, line)
		}
	}
	return strings.TrimSpace(strings.Join(kept, "\n")) + "\n"
}

// field makes lines those of a field's continuation.
func field(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \t\n\f"); line == "" {
			line = "."
		}
		b.WriteString(" " + line + "\n")
	}
	return b.String()
}
