package helper

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	var b backoff
	now := time.Unix(1e9, 0)
	for i, want := range []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
		4 * time.Second, 8 * time.Second, 16 * time.Second, longestDelay, longestDelay} {
		if b.failed(now) != i+1 {
			t.Fatalf("failure %d is not counted", i+1)
		}
		if b.blocked(now.Add(want)) != nil || want > 0 && b.blocked(now.Add(want-1)) == nil {
			t.Errorf("after failure %d it rests until %v, want %v", i+1, b.until.Sub(now), want)
		}
	}
	for range 1000 {
		b.failed(now)
	}
	if got := b.until.Sub(now); got != longestDelay {
		t.Errorf("after many failures it rests %v", got)
	}
	if !b.succeeded() || b.blocked(now) != nil || b.succeeded() {
		t.Error("a success does not count once")
	}
	if b.failed(now); b.blocked(now) != nil {
		t.Error("one failure after a success has consequences")
	}
}
