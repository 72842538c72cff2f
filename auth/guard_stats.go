package auth

import "time"

// GuardStats is what a [Guard], with those that [Guard.Anew] made of it, has counted.
type GuardStats struct {
	Delayed  uint64        // attempts that had to wait because of earlier failures
	Delay    time.Duration // for so long, all together
	Busy     uint64        // attempts that were not made: see [ErrBusy]
	UnderWay int           // attempts at the moment, those that wait included
}

// Stats costs the same however many have failed.
func (g *Guard) Stats() GuardStats {
	t := g.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.UnderWay = t.strangers + t.regulars
	return s
}
