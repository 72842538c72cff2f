package main

import "testing"

// TestSettle has the keeper's answers, in the order in which they come, beside
// the content that holds then.
func TestSettle(t *testing.T) {
	start := snapshot{Started: "0", Current: "0"}
	ask := func(s snapshot, number int) snapshot {
		s.Asked, s.Number = string(rune('0'+number)), number
		return s
	}
	one := ask(start, 1)
	both := ask(one, 2)
	for _, tt := range []struct {
		name string
		got  snapshot
		want snapshot
	}{
		{"used", one.answered(1, "1", true), snapshot{Started: "0", Current: "1"}},
		{"refused", one.answered(1, "1", false), snapshot{Started: "0", Current: "0"}},
		{"used, and asked again", both.answered(1, "1", true), snapshot{Started: "0", Current: "1", Asked: "2", Number: 2}},
		{"refused, and asked again", both.answered(1, "1", false), snapshot{Started: "0", Current: "0", Asked: "2", Number: 2}},
		{"used, then refused", both.answered(1, "1", true).answered(2, "2", false), snapshot{Started: "0", Current: "1"}},
		{"refused, then used", both.answered(1, "1", false).answered(2, "2", true), snapshot{Started: "0", Current: "2"}},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, tt.got, tt.want)
		}
	}
}

// TestSaid: only the keeper says what becomes of a configuration.
func TestSaid(t *testing.T) {
	s := &server{answers: make(chan answer, 9)}
	for _, line := range []string{configUsed, configUsed + "x", "X=1", "", configRefused + "-"} {
		s.Said(keeperRole, line)
	}
	s.Said(frontRole, configUsed+"1")
	if len(s.answers) > 0 {
		t.Errorf("%d answers", len(s.answers))
	}
	s.Said(keeperRole, configUsed+"7")
	s.Said(keeperRole, configRefused+"8")
	if a, b := <-s.answers, <-s.answers; a != (answer{7, true}) || b != (answer{8, false}) {
		t.Errorf("%+v, %+v", a, b)
	}
}
