package postfix

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestItems(t *testing.T) {
	for s, want := range map[string][]string{
		"":                             nil,
		" ,\t\r\n,":                    nil,
		"a":                            {"a"},
		"a,b c\td,,e ":                 {"a", "b", "c", "d", "e"},
		"inline:{a=b, {c = d e}} x":    {"inline:{a=b, {c = d e}}", "x"},
		"{a b} {c}d,e":                 {"{a b}", "{c}d", "e"},
		"{a b":                         {"{a b"},
		"a} b":                         {"a}", "b"},
		"a}{b c":                       {"a}{b c"},
		"\"a b\"":                      {"\"a", "b\""},
		"a\vb":                         {"a\vb"},
		"$x/{y},z":                     {"$x/{y}", "z"},
		"static:{ x y },proxy:mysql:/": {"static:{ x y }", "proxy:mysql:/"},
	} {
		if got := items(s); !slices.Equal(got, want) {
			t.Errorf("%q: %q", s, got)
		}
	}
}

func TestLogicalLines(t *testing.T) {
	for content, want := range map[string]string{
		"":                            "",
		"a":                           "1:a|",
		"a\nb\n":                      "1:a|2:b|",
		"a\n b\nc":                    "1:a b|3:c|",
		"a\n\n# x\n  # y\n b\n":       "1:a b|",
		"a\n\nb":                      "1:a|3:b|",
		"\n\n#\n  \na\n":              "5:a|",
		" a\n b\nc\n":                 "3:c|",
		"a\r\nb\r\n":                  "1:a\r|2:b\r|",
		"a\x00b\nc":                   "1:a|2:c|",
		"\x00b\nc":                    "2:c|",
		"a #b\n#c":                    "1:a #b|",
		"a\n\tb\n\n\n\tc\n#\nd":       "1:a\tb\tc|7:d|",
		"user  x\n#u2 y\nuser3 z\n  ": "1:user  x|3:user3 z|",
	} {
		var got strings.Builder
		for number, line := range logicalLines(content) {
			fmt.Fprintf(&got, "%d:%s|", number, line)
		}
		if got.String() != want {
			t.Errorf("%q: %q, want %q", content, got.String(), want)
		}
	}
	for range logicalLines("a\nb\nc") {
		break
	}
}

func TestSubstitutes(t *testing.T) {
	for rule, want := range map[string]bool{
		"/a/ b": false, "/a/ $1": true, "/(a)/ x${1}y": true, "/(a)/ $(1)": true, "/a$/ b": false, "/a/ $$1": false,
		"/a/ $$$1": true, "/a/i $1": true, "!/a/ $1": true, "! /a/ b": false, "/a\\/$1/ b": false, "/a\\/$1/ $1": true,
		"|a/$| b": false, "|a| $b": true, "/a/!/b$/ c": false, "/a/!/b$/ $1": true, "if /$1/": false, "IF /$1/": false,
		"endif": false, "/a": false, "/": false, "!": false, "/a/": false, "/a/ ": false, "/a\\": false, "/a/ $": true,
	} {
		if got := substitutes(rule); got != want {
			t.Errorf("%q: %v", rule, got)
		}
	}
}

func FuzzItems(f *testing.F) {
	for _, s := range []string{"a, b", "inline:{{a = b}, c=d} x", "}{", "{{", ",,", "static:{x}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list := items(s)
		for _, item := range list {
			if item == "" || strings.ContainsAny(item[:1], blank) || !strings.Contains(s, item) {
				t.Errorf("%q: item %q", s, item)
			}
			if inside, err := inBraces(item); err == nil && "{"+inside+"}" != item {
				t.Errorf("%q: %q in braces", item, inside)
			}
			if name, value, err := nameValue(item); err == nil && (name == "" || strings.Trim(value, spaces) != value) {
				t.Errorf("%q: %q = %q", item, name, value)
			}
		}
		if !strings.Contains(s, "{") && !slices.Equal(list, items(strings.Join(list, " ,\n"))) {
			t.Errorf("%q: %q is other items when joined", s, list)
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"a b\n", "\"a b\" c\n  d\n# x\n", "a\n", " a b\n", "a\\ b c\n", "\x00a b\n", "a b\r\n", "/(x)/ $1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		last := 0
		for number, line := range logicalLines(content) {
			if number <= last || line == "" || strings.IndexByte(spaces, line[0]) >= 0 || line[0] == '#' || strings.ContainsAny(line, "\n\x00") {
				t.Errorf("%q: line %d is %q", content, number, line)
			}
			last = number
			substitutes(line)
		}
		entries, err := parseText(content, func(s string) string { return s })
		if err != nil {
			return
		}
		var again strings.Builder
		for key, value := range entries {
			if key == "" || value == "" || strings.Trim(value, spaces) != value {
				t.Errorf("%q: %q has %q", content, key, value)
			}
			fmt.Fprintf(&again, "%s %s\n", key, value)
		}
		reread, err := parseText(again.String(), func(s string) string { return s })
		if err != nil || len(reread) != len(entries) {
			t.Errorf("%q: read again: %q %v", content, reread, err)
		}
	})
}
