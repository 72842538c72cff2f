package main

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{3, 1}, 2},
		{[]float64{9, 1, 5}, 5},
		{[]float64{1000, 2, 4, 1}, 3},
		{[]float64{5, 5, 5, -1e9, 1e9}, 5},
	} {
		before := fmt.Sprint(tt.values)
		if got := median(tt.values); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.values, got, tt.want)
		}
		if after := fmt.Sprint(tt.values); after != before {
			t.Errorf("median changed %s to %s", before, after)
		}
	}
}

func TestUnits(t *testing.T) {
	s := sample{units: 4, cpu: 10 * time.Millisecond, wall: 2 * time.Second, memory: 8 << 10}
	for name, tt := range map[string]struct{ got, want float64 }{
		"cpuMicroseconds":  {cpuMicroseconds(s), 2500},
		"wallMilliseconds": {wallMilliseconds(s), 500},
		"unitsPerSecond":   {unitsPerSecond(s), 2},
		"kilobytes":        {kilobytes(s), 2},
	} {
		if math.Abs(tt.got-tt.want) > 1e-9 {
			t.Errorf("%s = %v, want %v", name, tt.got, tt.want)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		target      target
		ours, tuned float64
		want        verdict
	}{
		{target{}, 1, 1, undecided},
		{target{0.2, atMostOfTuned}, 20, 100, reached},
		{target{0.2, atMostOfTuned}, 20.1, 100, notReached},
		{target{0.2, atMostOfTuned}, 20, 0, undecided},
		{target{3, atLeastOfTuned}, 300, 100, reached},
		{target{3, atLeastOfTuned}, 299, 100, notReached},
		{target{3, atLeastOfTuned}, 299, 0, undecided},
		{target{40, atMostInItsUnit}, 40, 0, reached},
		{target{40, atMostInItsUnit}, 41, 1000, notReached},
	} {
		if got := tt.target.judge(tt.ours, tt.tuned); got != tt.want {
			t.Errorf("%+v.judge(%v, %v) = %s, want %s", tt.target, tt.ours, tt.tuned, got, tt.want)
		}
	}
}

// TestTable has a server without figures in one row.
func TestTable(t *testing.T) {
	r := row{name: "work", metrics: []metric{
		{"us CPU a unit", cpuMicroseconds, target{0.5, atMostOfTuned}},
		{"a second", unitsPerSecond, target{}},
	}}
	one := sample{units: 1000, cpu: time.Second, wall: time.Second}
	two := sample{units: 1000, cpu: 2 * time.Second, wall: time.Second}
	all := figures(r, map[string][]sample{ownName: {one, one, two}, dovecotTuned: {two}})
	all = append(all, figures(r, map[string][]sample{dovecotTuned: {two}})...)
	var out strings.Builder
	if err := table(&out, []*server{{name: ownName}, {name: dovecotTuned}}, all); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"work unit sidepop tuned x tuned target",
		"work us CPU a unit 1000 2000 0.5 <= 0.5 x tuned reached",
		"work a second 1000 1000 1 -",
		"work us CPU a unit failed 2000 - <= 0.5 x tuned -",
		"work a second failed 1000 - -",
	}
	for i, line := range strings.Split(out.String(), "\n")[:len(want)] {
		if got := strings.Join(strings.Fields(line), " "); got != want[i] {
			t.Errorf("line %d is %q, want %q", i+1, got, want[i])
		}
	}
}

func TestThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.0123456: "0.0123", 0.286: "0.286", 7.014: "7.01", 999: "999",
		1000: "1000", 12_345: "12300", 234_567: "235000", -5678: "-5680",
	} {
		if got := threeDigits(v); got != want {
			t.Errorf("threeDigits(%v) = %s, want %s", v, got, want)
		}
	}
}
