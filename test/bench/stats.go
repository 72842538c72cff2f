package main

import (
	"slices"
	"time"
)

// median is the middle of the values, or the mean of the two in the middle. It
// needs at least one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// sample is what one round of a row measured of one server.
type sample struct {
	units  float64       // of work done: sessions, messages, megabytes
	cpu    time.Duration // user and system time of the server's process tree
	wall   time.Duration
	memory int64 // bytes more than before, proportional share of the process tree
}

// What a sample says about one unit of work.
func cpuMicroseconds(s sample) float64  { return s.cpu.Seconds() * 1e6 / s.units }
func wallMilliseconds(s sample) float64 { return s.wall.Seconds() * 1e3 / s.units }
func unitsPerSecond(s sample) float64   { return s.units / s.wall.Seconds() }
func kilobytes(s sample) float64        { return float64(s.memory) / 1024 / s.units }

// target is what sidepop has to reach; the zero target is none.
type target struct {
	bound float64
	kind  targetKind
}

// targetKind is how a target's bound is meant.
type targetKind int

const (
	noTarget        targetKind = iota
	atMostOfTuned              // at most bound times the figure of Dovecot tuned
	atLeastOfTuned             // at least bound times the figure of Dovecot tuned
	atMostInItsUnit            // at most bound, in the unit of the figure
)

// verdict is the outcome of a comparison.
type verdict string

const (
	reached    verdict = "reached"
	notReached verdict = "not reached"
	undecided  verdict = "-" // no target, or nothing to compare with
)

// judge compares sidepop's figure with the target; tuned is 0 where there is no
// figure of Dovecot tuned.
func (t target) judge(sidepop, tuned float64) verdict {
	var ok bool
	switch {
	case t.kind == noTarget, t.kind != atMostInItsUnit && tuned == 0:
		return undecided
	case t.kind == atMostOfTuned:
		ok = sidepop <= t.bound*tuned
	case t.kind == atLeastOfTuned:
		ok = sidepop >= t.bound*tuned
	default:
		ok = sidepop <= t.bound
	}
	if ok {
		return reached
	}
	return notReached
}
