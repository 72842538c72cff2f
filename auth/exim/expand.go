package exim

import (
	"errors"
	"fmt"
	"strings"
)

// expansion turns a string that exim expands into a template of sidepop's.
type expansion struct {
	home string // what $home is instead of the user's, as a template; "": it is the user's
	out  strings.Builder
}

// template gives the template of a path that exim expands at delivery to a system
// user (exim's specification, "String expansions"): variables of the user and the
// address, braced or not, and ${lc:...} around one. The error names what else is
// in it.
func template(text, home string) (string, error) {
	e := expansion{home: home}
	for text != "" {
		var err error
		if text, err = e.next(text); err != nil {
			return "", err
		}
	}
	path := e.out.String()
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "~") && !strings.HasPrefix(path, "%h") {
		return "", errors.New("it is not a path from /")
	}
	if path = strings.TrimRight(path, "/"); path == "" {
		path = "/"
	}
	return path, nil
}

// next takes a variable or a literal character off the text.
func (e *expansion) next(text string) (rest string, err error) {
	switch text[0] {
	case '$':
		name, rest, err := variable(text)
		if err != nil {
			return "", err
		}
		return rest, e.value(name, rest)
	case '%':
		e.out.WriteString("%%")
	case '\\', '{', '}', '~':
		// Escapes and the rest of items; a tilde means nothing to exim.
		return "", fmt.Errorf("%q is not understood", text[:1])
	default:
		e.out.WriteByte(text[0])
	}
	return text[1:], nil
}

// value writes what stands for a variable.
func (e *expansion) value(name, rest string) error {
	switch name {
	case "local_part", "local_part_data", "local_part_verified":
		// That of a system user is its name: check_local_user sets it.
		e.out.WriteString("%u")
	case "domain":
		e.out.WriteString("%d")
	case "home":
		switch {
		case e.home != "":
			e.out.WriteString(e.home)
		case e.out.Len() == 0 && (rest == "" || rest[0] == '/'):
			e.out.WriteString("~")
		default:
			e.out.WriteString("%h")
		}
	default:
		return fmt.Errorf("$%s is not understood", name)
	}
	return nil
}

// variable takes $name, ${name} or ${lc:$name} off the text, which begins with a
// dollar sign. Lower case changes neither a system user's name, which exim has in
// lower case already (caseful_local_part), nor what a domain is.
func variable(text string) (name, rest string, err error) {
	braced, ok := strings.CutPrefix(text, "${")
	if !ok {
		n := nameLength(text[1:])
		if n == 0 {
			return "", "", fmt.Errorf("%q is not understood", shorten(text))
		}
		return text[1 : 1+n], text[1+n:], nil
	}
	if inner, ok := strings.CutPrefix(braced, "lc:$"); ok {
		name, rest, err = variable("$" + inner)
		if err == nil && (!strings.HasPrefix(rest, "}") || name == "home") {
			err = fmt.Errorf("%q is not understood", shorten(text))
		}
		if err != nil {
			return "", "", err
		}
		return name, rest[1:], nil
	}
	n := nameLength(braced)
	if n == 0 || !strings.HasPrefix(braced[n:], "}") {
		return "", "", fmt.Errorf("%q is not understood", shorten(text))
	}
	return braced[:n], braced[n+1:], nil
}

// nameLength is that of the variable's name which the text begins with.
func nameLength(text string) int {
	for i := range len(text) {
		if c := text[i]; c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(text)
}

// maxShown limits how much of an option is shown, in bytes.
const maxShown = 120

// shorten makes an option's value fit for a line.
func shorten(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown-3], "") + "..."
}
