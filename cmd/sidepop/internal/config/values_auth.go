package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sidepop/auth"
	"sidepop/auth/helper"
)

// words takes a list of some words, each once.
func words(to *[]string, known []string) setter {
	return list(to, "a list with any of "+quoted(known)+", each once, in the order in which they are asked", func(s string) bool {
		return slices.Contains(known, s)
	})
}

// domains takes a list of domains. They are compared in lower case.
func domains(to *[]string) setter {
	return func(value any) error {
		var all []string
		err := list(&all, `a list of domains, such as ["example.org"]`, ValidHostname)(value)
		for i := range all {
			all[i] = strings.ToLower(all[i])
		}
		*to = all
		return err
	}
}

func paths(to *[]string) setter {
	return list(to, `a list of folders, from /, such as ["/etc/postfix"]`, filepath.IsAbs)
}

// list takes a list of texts that are valid, each once and at least one.
func list(to *[]string, expected string, valid func(string) bool) setter {
	return func(value any) error {
		items, ok := value.([]any)
		if !ok || len(items) == 0 {
			return unexpected(value, expected)
		}
		var all []string
		for _, item := range items {
			s, ok := item.(string)
			if !ok || !valid(s) || slices.Contains(all, s) {
				return unexpected(item, expected)
			}
			all = append(all, s)
		}
		*to = all
		return nil
	}
}

// networks takes a list of networks.
func networks(to *auth.Networks) setter {
	return func(value any) error {
		items, ok := value.([]any)
		ok = ok && len(items) > 0 // none could be taken for any
		texts := make([]string, len(items))
		for i, item := range items {
			if texts[i], ok = item.(string); !ok {
				break
			}
		}
		if !ok {
			return unexpected(value, `a list of networks and addresses, such as ["10.0.0.0/8", "2001:db8::1", "local"]`)
		}
		n, err := auth.ParseNetworks(texts)
		if err != nil {
			return err
		}
		*to = n
		return nil
	}
}

// userNetworks takes a table of networks by user, user@domain or @domain.
func userNetworks(to *map[string]auth.Networks) setter {
	return func(value any) error {
		table, ok := value.(map[string]any)
		if !ok {
			return unexpected(value, `a table, such as { "joe" = ["10.0.0.0/8"], "@example.org" = ["local"] }`)
		}
		all := make(map[string]auth.Networks, len(table))
		for user, value := range table {
			var n auth.Networks
			if err := networks(&n)(value); err != nil {
				return fmt.Errorf("%q: %w", user, err)
			}
			all[strings.ToLower(user)] = n
		}
		*to = all
		return nil
	}
}

// service takes the name of a PAM service, which is a file's.
func service(to *string) setter {
	return func(value any) error {
		s, _ := value.(string)
		if s == "" || len(s) > helper.MaxService || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" || s[0] == '.' {
			return unexpected(value, "the name of a file in /etc/pam.d, such as \"sidepop\"")
		}
		*to = s
		return nil
	}
}

// tables takes Postfix tables: a type, a colon and a name each. Whether there are
// such is for Postfix to say.
func tables(to *string) setter {
	return func(value any) error {
		s, _ := value.(string)
		if !strings.Contains(s, ":") {
			return unexpected(value, `Postfix tables, such as "hash:/etc/postfix/passwords"`)
		}
		*to = s
		return nil
	}
}
