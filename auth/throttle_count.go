package auth

import (
	"container/heap"
	"math"
	"time"
)

const (
	// failureHalfLife is how long it takes until a failure counts half. Somebody
	// who has forgotten his password and tries a dozen is free again after a
	// quarter of an hour.
	failureHalfLife = 5 * time.Minute

	// maxCounted bounds each table of failures: about 12 MB, and only under an
	// attack from, or on, so many.
	maxCounted = 100_000

	// leastCount is a count of failures that is as good as none.
	leastCount = 1.0 / 64
)

// failures counts failures by key; a failure weighs 1 and loses weight with time.
// Of too many keys the one with the lowest count gives way: whoever wants to have
// a count forgotten must make [maxCounted] others greater than it, while they
// decay, with no more failures a second than [maxAttempts] attempts can make. What
// such an attacker can clear is a count of about 4, which costs him seconds.
// Times are those since some fixed instant.
type failures struct {
	counts map[place]*count
	order  countHeap
}

// count is the failures of one key. Since all counts decay alike, one instant
// says how many there are and which of two counts is lower, now and later.
type count struct {
	key   place
	one   time.Duration // when they have decayed to 1
	index int           // in the heap
}

func (c *count) at(now time.Duration) float64 {
	return math.Exp2(float64(c.one-now) / float64(failureHalfLife))
}

// set gives the instant for a count of n > 0 now.
func (c *count) set(n float64, now time.Duration) {
	c.one = now + time.Duration(math.Log2(n)*float64(failureHalfLife))
}

// of says how many failures a key has.
func (f *failures) of(key place, now time.Duration) float64 {
	if c := f.counts[key]; c != nil {
		return c.at(now)
	}
	return 0
}

// add counts a failure.
func (f *failures) add(key place, now time.Duration) {
	if c := f.counts[key]; c != nil {
		c.set(c.at(now)+1, now)
		heap.Fix(&f.order, c.index)
		return
	}
	if f.counts == nil {
		f.counts = make(map[place]*count)
	}
	for len(f.order) > 0 && (len(f.order) >= maxCounted || f.order[0].at(now) < leastCount) {
		f.remove(f.order[0])
	}
	c := &count{key: key, one: now}
	f.counts[key] = c
	heap.Push(&f.order, c)
}

// takeBack makes undone that a failure was counted at an instant.
func (f *failures) takeBack(key place, counted, now time.Duration) {
	c := f.counts[key]
	if c == nil {
		return
	}
	failure := count{one: counted}
	rest := c.at(now) - failure.at(now)
	if rest < leastCount {
		f.remove(c)
		return
	}
	c.set(rest, now)
	heap.Fix(&f.order, c.index)
}

// halve forgives half of a key's failures.
func (f *failures) halve(key place) {
	if c := f.counts[key]; c != nil {
		c.one -= failureHalfLife
		heap.Fix(&f.order, c.index)
	}
}

func (f *failures) remove(c *count) {
	heap.Remove(&f.order, c.index)
	delete(f.counts, c.key)
}

// countHeap is a [heap.Interface] with the lowest count first.
type countHeap []*count

func (h countHeap) Len() int           { return len(h) }
func (h countHeap) Less(i, j int) bool { return h[i].one < h[j].one }

func (h countHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *countHeap) Push(x any) {
	c := x.(*count)
	c.index = len(*h)
	*h = append(*h, c)
}

func (h *countHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
