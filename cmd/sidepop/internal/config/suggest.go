package config

import (
	"fmt"
	"strings"
)

// suggestion names the known key that is nearest to an unknown one, or nothing
// when none is near.
func (d *decoder) suggestion(unknown string) string {
	unknown = strings.ToLower(unknown)
	best, least := "", nearness(unknown)+1
	for _, k := range d.keys() {
		n := min(distance(unknown, k.name), 1+distance(last(unknown), last(k.name)))
		if n < least {
			best, least = k.name, n
		}
		if table, _, ok := strings.Cut(k.name, "."); ok {
			if n := distance(unknown, table); n < least {
				best, least = table, n
			}
		}
	}
	if best == "" {
		return ", expected one of those in sidepop.toml(5)"
	}
	return fmt.Sprintf(", expected %s?%s", best, belonging(unknown, best))
}

// nearness is how many mistakes a name may have to be taken for another one.
func nearness(name string) int { return 1 + len(last(name))/3 }

func last(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// belonging says where a key belongs when it stands in another table, as keys do
// that were added below a table's line.
func belonging(unknown, known string) string {
	in, _, isIn := strings.Cut(unknown, ".")
	table, _, belongs := strings.Cut(known, ".")
	switch {
	case isIn && !belongs:
		return " It belongs above the first table."
	case belongs && (!isIn || in != table):
		return " It belongs in the table [" + table + "]."
	}
	return ""
}

// distance is how many octets must be inserted, removed or replaced to make b
// of a (Levenshtein's).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
