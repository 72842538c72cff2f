package postfix

import (
	"errors"
	"iter"
	"strings"
)

const (
	// spaces are those of C's isspace, blank what separates items of a list.
	spaces = " \t\n\v\f\r"
	blank  = ", \t\r\n"
)

// items splits a list of main.cf: commas and white space separate, except
// within braces.
func items(s string) []string {
	var list []string
	for {
		s = strings.TrimLeft(s, blank)
		if s == "" {
			return list
		}
		end, level := 0, 0
		for ; end < len(s); end++ {
			c := s[end]
			if c == '{' {
				level++
			} else if c == '}' && level > 0 {
				level--
			} else if level == 0 && strings.IndexByte(blank, c) >= 0 {
				break
			}
		}
		list = append(list, s[:end])
		s = s[end:]
	}
}

// inBraces gives what is between the braces that begin and end s.
func inBraces(s string) (string, error) {
	level := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			level++
		case '}':
			level--
		}
		if level == 0 && i > 0 && i == len(s)-1 {
			return s[1:i], nil
		}
		if level <= 0 {
			break
		}
	}
	return "", errors.New("it needs to be in braces, {...}")
}

// quotedIndex finds the first byte outside of double quotes that is one of
// those in set. A backslash takes what follows it as it is. Balanced says
// whether no quote was left open there, or at the end.
func quotedIndex(s, set string) (at int, balanced bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(set, c) >= 0:
			return i, true
		}
	}
	return len(s), !quoted
}

// nameValue splits "name = value".
func nameValue(s string) (name, value string, err error) {
	s = strings.TrimLeft(s, spaces)
	end, balanced := quotedIndex(s, spaces+"=")
	name, value = s[:end], strings.TrimLeft(s[end:], spaces)
	switch {
	case !balanced:
		return "", "", errors.New("a name has a quote without its other one")
	case name == "":
		return "", "", errors.New("a name is missing before =")
	case !strings.HasPrefix(value, "="):
		return "", "", errors.New("= is missing after a name")
	}
	return name, strings.Trim(value[1:], spaces), nil
}

// logicalLines gives the lines of a file of Postfix's, with the number of the
// first physical line of each (from 1): a line that begins with white space
// continues the one before, and a line that is empty or whose first character
// is "#" does not count (postconf(5), "The general format of the main.cf file").
// A file that begins with white space begins with a line that does not count.
func logicalLines(content string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		var line strings.Builder
		first, number := 0, 0
		for physical := range strings.Lines(content) {
			number++
			// The next logical line begins here, unless this one goes on.
			if line.Len() > 0 && physical[0] != '#' && strings.IndexByte(spaces, physical[0]) < 0 {
				if !yieldLine(yield, first, &line) {
					return
				}
			}
			text := strings.TrimSuffix(physical, "\n")
			if trimmed := strings.TrimLeft(text, spaces); trimmed == "" || trimmed[0] == '#' {
				continue
			}
			if line.Len() == 0 {
				first = number
			}
			line.WriteString(text)
		}
		if line.Len() > 0 {
			yieldLine(yield, first, &line)
		}
	}
}

// yieldLine hands a line over and empties the builder.
func yieldLine(yield func(int, string) bool, number int, line *strings.Builder) bool {
	text, _, _ := strings.Cut(line.String(), "\x00") // C's end of a string
	line.Reset()
	if text == "" || strings.IndexByte(spaces, text[0]) >= 0 {
		return true
	}
	return yield(number, text)
}
