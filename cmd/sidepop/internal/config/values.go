package config

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sidepop/auth"
)

// A setter takes the value of a key as TOML has it, or says what was expected
// instead. It is a toml.Unmarshaler, so that the decoder adds the position.
type setter func(value any) error

// UnmarshalTOML implements toml.Unmarshaler.
func (s setter) UnmarshalTOML(value any) error { return s(value) }

// unexpected says what a value is and what it should be.
func unexpected(value any, expected string) error {
	return fmt.Errorf("%s, expected %s", show(value), expected)
}

// show is a value as the file has it, or its type where that would be long.
func show(value any) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case int64, float64, bool:
		return fmt.Sprint(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	}
	return "a date or time"
}

func truth(to *bool) setter {
	return func(value any) error {
		b, ok := value.(bool)
		if !ok {
			return unexpected(value, "true or false")
		}
		*to = b
		return nil
	}
}

// moment takes a date with a time, or "" for none.
func moment(to *time.Time) setter {
	return func(value any) error {
		switch v := value.(type) {
		case time.Time:
			*to = v
			return nil
		case string:
			if v == "" {
				*to = time.Time{}
				return nil
			}
		}
		return unexpected(value, `a date, such as 2026-11-22 or 2026-11-22T08:30:00+01:00, without quotes, or ""`)
	}
}

func number(to *int, least, most int64) setter {
	return func(value any) error {
		n, ok := value.(int64)
		if !ok || n < least || n > most {
			return unexpected(value, fmt.Sprintf("a whole number from %d to %d", least, most))
		}
		*to = int(n)
		return nil
	}
}

func duration(to *time.Duration, least, most time.Duration) setter {
	return func(value any) error {
		s, isText := value.(string)
		d, err := time.ParseDuration(s)
		if !isText || err != nil || d < least || d > most {
			return unexpected(value, fmt.Sprintf(`a time from "%s" to "%s", such as "90s" or "1h30m"`, short(least), short(most)))
		}
		*to = d
		return nil
	}
}

// short is d without parts that are zero: 10m, not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// text takes one of some words.
func text(to *string, words []string) setter {
	return func(value any) error {
		s, ok := value.(string)
		if !ok || !slices.Contains(words, s) {
			return unexpected(value, oneOf(words))
		}
		*to = s
		return nil
	}
}

// prefixes takes a list of networks and addresses.
func prefixes(to *[]netip.Prefix) setter {
	const expected = `a list of networks and addresses, such as ["10.0.0.5", "2001:db8::/64"]`
	return func(value any) error {
		items, ok := value.([]any)
		if !ok {
			return unexpected(value, expected)
		}
		var all []netip.Prefix
		for _, item := range items {
			s, _ := item.(string)
			p, err := netip.ParsePrefix(s)
			if a, errAddr := netip.ParseAddr(s); errAddr == nil && a.Zone() == "" {
				p, err = a.Unmap().Prefix(a.Unmap().BitLen())
			}
			if err != nil {
				return unexpected(item, expected)
			}
			all = append(all, p.Masked())
		}
		*to = all
		return nil
	}
}

// choice takes one of some words that stand for something.
func choice[T any](to *T, words map[string]T) setter {
	return func(value any) error {
		s, _ := value.(string)
		v, ok := words[s]
		if !ok {
			return unexpected(value, oneOf(slices.Sorted(maps.Keys(words))))
		}
		*to = v
		return nil
	}
}

func oneOf(words []string) string { return "one of " + quoted(words) }

func quoted(words []string) string { return `"` + strings.Join(words, `", "`) + `"` }

// maxHostname is what a domain name can have (RFC 1035, section 2.3.4).
const maxHostname = 253

// hostPattern is the host names of RFC 1123, section 2.1, and underscores,
// which machines' names have: nothing that could break the APOP timestamp.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`)

func hostname(to *string) setter {
	return func(value any) error {
		s, _ := value.(string)
		if !ValidHostname(s) {
			return unexpected(value, `a host name such as "mx.example.org"`)
		}
		*to = s
		return nil
	}
}

// ValidHostname says whether s can be a host's name.
func ValidHostname(s string) bool { return len(s) <= maxHostname && hostPattern.MatchString(s) }

func userName(to *string) setter {
	return func(value any) error {
		s, _ := value.(string)
		if s == "" {
			return unexpected(value, `the name of a user of this machine, such as "vmail"`)
		}
		*to = s
		return nil
	}
}

// mailbox takes a template that can be expanded to an absolute path.
func mailbox(to *string) setter {
	example := auth.Account{Name: "user@example.org", Home: "/home/user"}
	return func(value any) error {
		s, _ := value.(string)
		expanded, err := example.Expand(s)
		if err != nil {
			return fmt.Errorf("%s: %w", show(value), err)
		}
		if !filepath.IsAbs(expanded) {
			return unexpected(value, `a path that begins with "/", "~/" or "%h", in which %u, %n and %d stand for the user`)
		}
		*to = s
		return nil
	}
}

func path(to *string) setter {
	return func(value any) error {
		s, _ := value.(string)
		if !filepath.IsAbs(s) {
			return unexpected(value, "the path of a file, from /")
		}
		*to = s
		return nil
	}
}

// folder takes a folder of sidepop's own, with a path of at most so many bytes.
func folder(to *string, most int) setter {
	return func(value any) error {
		s, _ := value.(string)
		if !filepath.IsAbs(s) || filepath.Clean(s) == "/" || strings.ContainsRune(s, 0) || len(filepath.Clean(s)) > most {
			return unexpected(value, fmt.Sprintf("the path of a folder, from /, of at most %d bytes", most))
		}
		*to = filepath.Clean(s)
		return nil
	}
}

func passwdFile(to *string) setter {
	return func(value any) error {
		s, _ := value.(string)
		if !filepath.IsAbs(s) || strings.Contains(strings.ReplaceAll(s, "%d", ""), "%") {
			return unexpected(value, "the path of a file, from /, in which %d may stand for the domain")
		}
		*to = s
		return nil
	}
}

// addresses takes addresses with ports. Host names are not among them: what
// they mean may not be known when the machine starts, or change.
func addresses(to *[]netip.AddrPort) setter {
	const expected = `a list of IP addresses with ports, such as ["[::]:110"] or ["127.0.0.1:110", "[::1]:110"]`
	return func(value any) error {
		list, ok := value.([]any)
		if !ok {
			return unexpected(value, expected)
		}
		var as []netip.AddrPort
		for _, item := range list {
			s, _ := item.(string)
			a, err := netip.ParseAddrPort(s)
			if err != nil || a.Port() == 0 {
				return unexpected(item, expected)
			}
			if slices.Contains(as, a) {
				return fmt.Errorf("%s is there twice, expected each address once", a)
			}
			as = append(as, a)
		}
		*to = as
		return nil
	}
}

// maxExpire is ten years, in days.
const maxExpire = 3650

// expire takes the days after which the operator removes mail (RFC 2449,
// section 6.7).
func expire(to *string) setter {
	return func(value any) error {
		switch v := value.(type) {
		case string:
			if v == "never" || v == "" {
				*to = strings.ToUpper(v)
				return nil
			}
		case int64:
			if v >= 0 && v <= maxExpire {
				*to = strconv.FormatInt(v, 10)
				return nil
			}
		}
		return unexpected(value, fmt.Sprintf(`"never", a number of days from 0 to %d without quotes, or "" to announce nothing`, maxExpire))
	}
}
