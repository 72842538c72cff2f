package maillog

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	// maxValue is how many octets of a value are logged. The longest that are
	// of use are paths; a client's "user name" can be as long as a SASL line.
	maxValue = 1024

	// maxError is that for errors: that of a defect has the stack with it.
	maxError = 8 << 10
)

// Escape makes s harmless in every format and readable: octets that are no
// UTF-8 and characters that don't print (controls, line ends, invisible or
// direction-changing ones) are written as in Go string literals, and so is the
// backslash, so that the original can be told.
func Escape(s string) string { return escapeUpTo(maxValue, s) }

func escapeError(err error) string { return escapeUpTo(maxError, err.Error()) }

func escapeUpTo(most int, s string) string {
	if isPlain(s) && len(s) <= most {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if i >= most {
			fmt.Fprintf(&b, "... (%d octets)", len(s))
			break
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"', r == '\'', strconv.IsPrint(r) && r != '\\' && (r != utf8.RuneError || size > 1):
			b.WriteString(s[i : i+size])
		default:
			quoted := strconv.Quote(s[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

// isPlain is the usual case: printable ASCII without a backslash.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// maxSeen bounds the memory of what has been logged once. After so many
// different things all may be logged again.
const maxSeen = 10_000

// seen remembers what has been told.
type seen struct {
	mu   sync.Mutex
	told map[string]struct{}
}

// first says whether what is new.
func (s *seen) first(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.told[what]; ok {
		return false
	}
	if s.told == nil || len(s.told) >= maxSeen {
		s.told = make(map[string]struct{})
	}
	s.told[what] = struct{}{}
	return true
}
