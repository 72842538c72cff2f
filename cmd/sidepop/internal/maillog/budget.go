package maillog

import (
	"sync"
	"time"
)

// A window of a budget and how many lines it has: enough to see what goes on, and
// a log of some megabytes a day at worst.
const (
	budgetWindow = time.Minute
	budgetLines  = 20
)

// budget bounds how often something is told.
type budget struct {
	mu    sync.Mutex
	begun time.Time // of the window
	told  int       // in it
	left  int       // not told in it
}

// spend says whether one more line may be told, and at the beginning of a window
// how many were left out in the one before.
func (b *budget) spend(now time.Time) (ok bool, left int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.begun) >= budgetWindow {
		left = b.left
		b.begun, b.told, b.left = now, 0, 0
	}
	if b.told == budgetLines {
		b.left++
		return false, left
	}
	b.told++
	return true, left
}
