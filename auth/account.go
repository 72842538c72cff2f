package auth

import (
	"errors"
	"fmt"
	"strings"
)

// Account is a user whose secret was found right.
type Account struct {
	// Name is the account's own name as its source spells it, with the domain
	// where there is one file a domain. It need not be the name that was typed.
	Name string

	// UID and GID own the mail; nil when the source does not give them.
	UID, GID *uint32

	// Groups are the supplementary groups of a system user, GID among them or not.
	Groups []uint32

	// Home is an absolute path, or "" when the source gives none.
	Home string

	// Mail is the mailbox as a passwd file writes it, such as maildir:~/Maildir,
	// or "" when the source gives none. [Account.Expand] fills in its variables.
	Mail string

	// Maildir is the absolute path of the mailbox, as it is, where the source
	// knows it from the MTA; then Mail and Home say nothing about it.
	Maildir string
}

// Expand fills in the variables of a path template: %u is the name, %n its
// part before the last "@", %d its domain, %h the home, %% a percent sign. A ~
// that begins a path (at the start or after ":" or "=", and before "/" or the
// end) is the home too. It fails when a variable is unknown, has no value, or
// would lead out of the folder it stands in.
func (a *Account) Expand(template string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(template); i++ {
		variable := byte(0)
		switch c := template[i]; {
		case c == '~' && beginsPath(template[:i]) && endsTilde(template[i+1:]):
			variable = 'h'
		case c == '%' && i+1 < len(template):
			i++
			variable = template[i]
		case c == '%':
			return "", errors.New("expand: lone % at the end: write %% for a percent sign")
		default:
			out.WriteByte(c)
			continue
		}
		value, err := a.variable(variable)
		if err != nil {
			return "", fmt.Errorf("expand: %w", err)
		}
		out.WriteString(value)
	}
	return out.String(), nil
}

func beginsPath(before string) bool {
	return before == "" || strings.HasSuffix(before, ":") || strings.HasSuffix(before, "=")
}

func endsTilde(after string) bool { return after == "" || after[0] == '/' }

// variable gives the value of one %-variable.
func (a *Account) variable(letter byte) (string, error) {
	local, domain := splitUser(a.Name)
	switch letter {
	case '%':
		return "%", nil
	case 'u':
		return pathPart(letter, a.Name)
	case 'n':
		return pathPart(letter, local)
	case 'd':
		return pathPart(letter, domain)
	case 'h':
		if a.Home == "" {
			return "", errors.New("the account has no home: give one, or write the path without ~ and %h")
		}
		return a.Home, nil
	}
	return "", fmt.Errorf("unknown variable %q: only %%u, %%n, %%d, %%h and %%%% exist", "%"+string(rune(letter)))
}

// expandHome fills in the variables of the home.
func (a *Account) expandHome() error {
	template := a.Home
	a.Home = "" // it cannot refer to itself
	home, err := a.Expand(template)
	a.Home = home
	return err
}

// pathPart refuses values that are more than one path element.
func pathPart(letter byte, value string) (string, error) {
	if value == "" || value == "." || value == ".." || strings.ContainsAny(value, "/\x00") {
		return "", fmt.Errorf("%%%c cannot be part of a path for this account: it is empty or not one path element", letter)
	}
	return value, nil
}

// splitUser splits a name at its last "@"; domain is "" when there is none.
func splitUser(name string) (local, domain string) {
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		return name[:at], name[at+1:]
	}
	return name, ""
}
