package auth

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

// queryPrep is SASLprep (RFC 4013) for a string that is compared with a stored
// one: code points that Unicode 3.2 did not assign are let through (section
// 2.5), or nobody could log in with a newer letter. Directions are not
// checked: the prepared form is only another form to try.
var queryPrep = stringprep.Profile{
	Mappings:  stringprep.SASLprep.Mappings,
	Normalize: stringprep.SASLprep.Normalize,
	Prohibits: []stringprep.Set{
		stringprep.TableC1_2, stringprep.TableC2_1, stringprep.TableC2_2,
		stringprep.TableC3, stringprep.TableC4, stringprep.TableC5,
		stringprep.TableC6, stringprep.TableC7, stringprep.TableC8,
		stringprep.TableC9,
	},
}

// forms gives what a name or password may be stored as: itself and, where
// SASLprep differs, the prepared form. ASCII has one form.
func forms(what, s string) ([]string, error) {
	if isASCII(s) {
		return []string{s}, nil
	}
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%w: %s is not valid UTF-8", ErrCredentials, what)
	}
	prepared, err := queryPrep.Prepare(s)
	if err != nil || prepared == "" {
		return nil, fmt.Errorf("%w: %s holds characters that SASLprep prohibits (RFC 4013, section 2.3)", ErrCredentials, what)
	}
	if prepared == s {
		return []string{s}, nil
	}
	return []string{s, prepared}, nil
}

// passwordForms checks a password's length and content, the same for all users.
func passwordForms(password string) ([]string, error) {
	switch {
	case password == "":
		return nil, fmt.Errorf("%w: password is empty", ErrCredentials)
	case len(password) > MaxPasswordOctets:
		return nil, fmt.Errorf("%w: password is longer than %d octets", ErrCredentials, MaxPasswordOctets)
	case strings.IndexByte(password, 0) >= 0:
		return nil, fmt.Errorf("%w: password holds NUL", ErrCredentials)
	}
	return forms("password", password)
}

// userForms is forms for a name. It refuses one that has another domain prepared than
// as typed (SASLprep makes an "@" of the full-width one, U+FF20): by the domain it is
// decided who is asked for the name.
func userForms(user string) ([]string, error) {
	names, err := forms("user name", user)
	if err == nil && strings.Count(names[len(names)-1], "@") != strings.Count(user, "@") {
		return nil, fmt.Errorf("%w: user name holds a character that SASLprep makes an @ (RFC 4013, section 2.2)", ErrCredentials)
	}
	return names, err
}

// nameForms gives the names to look for: as typed, prepared, and then both in
// lower case.
func nameForms(user string) ([]string, error) {
	if user == "" || len(user) > MaxUserOctets {
		return nil, fmt.Errorf("%w: user name is empty or longer than %d octets", ErrCredentials, MaxUserOctets)
	}
	names, err := userForms(user)
	if err != nil {
		return nil, err
	}
	for _, name := range names[:len(names):len(names)] {
		if lower := strings.ToLower(name); lower != name {
			names = append(names, lower)
		}
	}
	return names, nil
}

// isPrepared says whether only the case of a name's letters changes before it is looked
// up, and no letter becomes one of ASCII (U+0130 does in lower case).
func isPrepared(user string) bool {
	names, err := forms("user name", user)
	return err != nil || len(names) == 1 && !strings.ContainsFunc(user, func(r rune) bool {
		return r >= utf8.RuneSelf && unicode.ToLower(r) < utf8.RuneSelf
	})
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
