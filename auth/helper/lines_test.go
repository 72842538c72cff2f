package helper

import (
	"strings"
	"testing"
	"time"
)

func TestTeller(t *testing.T) {
	var told []string
	l := teller{tell: func(line string) { told = append(told, line) }}
	now := time.Unix(1e9, 0)
	l.line("", now)
	for range linesPerWindow + 9 {
		l.line("a\tb", now)
	}
	if len(told) != linesPerWindow || told[0] != "a?b" {
		t.Errorf("%d lines were told, %q", len(told), told[:1])
	}
	l.line("later", now.Add(lineWindow))
	l.close()
	if want := "(9 more lines were left out)|later"; strings.Join(told[linesPerWindow:], "|") != want {
		t.Errorf("then %q, want %q", told[linesPerWindow:], want)
	}
}
