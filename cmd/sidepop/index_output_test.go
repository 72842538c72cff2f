package main

import (
	"bytes"
	"testing"

	"sidepop/index"
)

// TestTable: the same rows for people and for programs.
func TestTable(t *testing.T) {
	columns := []column{{"USER", false}, {"MESSAGES", true}, {"STATE", false}}
	for _, tt := range []struct {
		terminal bool
		want     string
	}{
		{true, "" +
			"USER          MESSAGES  STATE\n" +
			"Zoë                  3  current\n" +
			`x\ty\x1b[2J  1,234,567  to be checked` + "\n"},
		{false, "Zoë\t3\tcurrent\n" + `x\ty\x1b[2J` + "\t1234567\tto be checked\n"},
	} {
		var b bytes.Buffer
		o := &output{w: &b, terminal: tt.terminal}
		err := o.table(columns, [][]string{{"Zoë", o.number(3), "current"}, {"x\ty\x1b[2J", o.number(1234567), "to be checked"}})
		if got := b.String(); err != nil || got != tt.want {
			t.Errorf("%v\n got %q\nwant %q", err, got, tt.want)
		}
	}
}

// TestState has mailboxes beside their state in words.
func TestState(t *testing.T) {
	for _, tt := range []struct {
		m       index.Info
		stopped bool
		want    string
	}{
		{index.Info{}, false, "to be checked"},
		{index.Info{Current: true}, false, "current"},
		{index.Info{Current: true, InUse: true, Watched: true}, false, "current, watched"},
		{index.Info{Current: true, InUse: true}, false, "current, not watched"},
		{index.Info{Current: true, InUse: true}, true, "current"},
		{index.Info{InUse: true, Done: 1, Total: 3}, false, "counting 33 %, not watched"},
		{index.Info{InUse: true, Done: 3}, true, "to be checked"},
	} {
		if got := (&inspection{stopped: tt.stopped}).state(tt.m); got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt.m, got, tt.want)
		}
	}
}

func TestSummary(t *testing.T) {
	for _, tt := range []struct {
		verified, differences, differing int
		want                             string
	}{
		{0, 0, 0, "0 mailboxes verified, no difference"},
		{1, 0, 0, "1 mailbox verified, no difference"},
		{2, 1, 1, "2 mailboxes verified, 1 difference, repaired"},
		{1234, 5678, 1, "1,234 mailboxes verified, 5,678 differences in 1 mailbox, repaired"},
	} {
		if got := summary(tt.verified, tt.differences, tt.differing); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
