package helper

import (
	"fmt"
	"time"
)

const (
	// firstDelay is how long a program rests that has failed twice in a row;
	// it doubles with each failure.
	firstDelay = 250 * time.Millisecond

	// longestDelay is how long after its repair a program may still rest.
	longestDelay = 30 * time.Second
)

// failuresToRest is how many failures in a row have consequences. A single
// one may have been an accident.
const failuresToRest = 2

// backoff holds back a program that fails again and again. A failure is a
// process that has not answered a single request.
type backoff struct {
	failures int       // in a row
	until    time.Time // nothing is started before
}

// failed notes a failure and says how many there were in a row.
func (b *backoff) failed(now time.Time) int {
	b.failures++
	if b.failures >= failuresToRest {
		doublings := min(b.failures-failuresToRest, 16) // any more is longer than longestDelay
		b.until = now.Add(min(firstDelay<<doublings, longestDelay))
	}
	return b.failures
}

// succeeded forgets all failures, and says whether they had had consequences.
func (b *backoff) succeeded() (recovered bool) {
	recovered = b.failures >= failuresToRest
	*b = backoff{}
	return recovered
}

// blocked says why nothing can be started now.
func (b *backoff) blocked(now time.Time) error {
	if !now.Before(b.until) {
		return nil
	}
	return fmt.Errorf("it failed %d times in a row and is started again in %v",
		b.failures, b.until.Sub(now).Round(time.Millisecond))
}
