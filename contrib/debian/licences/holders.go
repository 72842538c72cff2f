package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// noticeLines is in how many lines at the begin of a file a notice is looked for:
// further down there are the words of licences.
const noticeLines = 12

// notice is a copyright notice as modules have them, in a comment or a text. A
// year or a sign tells it from a sentence about copyright.
var notice = regexp.MustCompile(`^[/*#\s]*Copyright:?\s+(?:(?:\([cC]\)|©)\s*)?((?:\d{4}[-, \d]*)?)\s*(.*?)[\s.]*$`)

// notices returns the copyright notices at the begin of a text, as "YEARS HOLDER".
func notices(text string) []string {
	var found []string
	lines := strings.SplitN(text, "\n", noticeLines+1)
	for _, line := range lines[:min(len(lines), noticeLines)] {
		m := notice.FindStringSubmatch(line)
		if m == nil || m[1] == "" && !strings.ContainsAny(line, "©") {
			continue
		}
		holder := m[2]
		if at := strings.Index(strings.ToLower(holder), "all rights reserved"); at >= 0 {
			holder = holder[:at]
		}
		holder = strings.TrimRight(strings.TrimPrefix(holder, "by "), " .")
		if holder != "" {
			found = append(found, strings.TrimSpace(strings.TrimSpace(m[1])+" "+holder))
		}
	}
	return found
}

var year = regexp.MustCompile(`\d{4}`)

// merge makes one line of each holder, with the first and the last year.
func merge(notices []string) []string {
	type span struct{ first, last int }
	spans := make(map[string]span)
	for _, n := range notices {
		holder := strings.TrimLeft(n, "0123456789-, ")
		s, known := spans[holder]
		for _, y := range year.FindAllString(strings.TrimSuffix(n, holder), -1) {
			number, _ := strconv.Atoi(y) // four digits
			if s.first == 0 || number < s.first {
				s.first = number
			}
			s.last = max(s.last, number)
			known = false
		}
		if !known {
			spans[holder] = s
		}
	}
	var merged []string
	for holder, s := range spans {
		switch {
		case s.first == 0:
			merged = append(merged, holder)
		case s.first == s.last:
			merged = append(merged, fmt.Sprintf("%d %s", s.first, holder))
		default:
			merged = append(merged, fmt.Sprintf("%d-%d %s", s.first, s.last, holder))
		}
	}
	slices.Sort(merged)
	return merged
}
