package maillog

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"sidepop/pop3"
)

func TestBudget(t *testing.T) {
	var b budget
	now := time.Now()
	for i := range budgetLines + 5 {
		if ok, left := b.spend(now); ok != (i < budgetLines) || left != 0 {
			t.Errorf("line %d: %v, %d left out", i, ok, left)
		}
	}
	if ok, left := b.spend(now.Add(budgetWindow)); !ok || left != 5 {
		t.Errorf("the next window: %v, %d left out", ok, left)
	}
}

// TestFrontFloods: a front that misbehaves without end does not fill the log, nor
// write lines of its own into it.
func TestFrontFloods(t *testing.T) {
	var out bytes.Buffer
	l, err := New(&out, "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		l.FrontBroken(pop3.Peer{Session: "x\n2026-11-22 forged\x1b[2J"}, "", errors.New("violated"))
		l.FrontRefused(1, errors.New("another user"))
	}
	if lines := strings.Count(out.String(), "\n"); lines != 2*budgetLines {
		t.Errorf("%d lines", lines)
	}
	if strings.Contains(out.String(), "\n2026-11-22 forged") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("forged:\n%.500s", out.String())
	}
}
