package wire

import (
	"slices"
	"sync"
	"time"
)

// idle are the connections whose sessions are over, for those that begin next: to
// open one and to close it is a fifth of what a short session costs.
type idle struct {
	mu    sync.Mutex
	links []idleLink  // in the order in which they were used last
	sweep *time.Timer // closes those that nobody needs; nil: none waits
}

type idleLink struct {
	*link
	since time.Time
}

// leave ends the session that a link was used for, and keeps the link or closes it.
func (i *idle) leave(l *link) error {
	b := newBuffer()
	err := l.send(b.begin(verbLeave), nil)
	b.free()
	if err != nil || !i.keep(l) { // it is broken, and closed, or there are enough
		return l.Close()
	}
	return nil
}

func (i *idle) keep(l *link) bool {
	now := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.links) == maxIdle {
		return false
	}
	i.links = append(i.links, idleLink{l, now})
	if i.sweep == nil {
		i.sweep = time.AfterFunc(idleWait, i.closeOld)
	}
	return true
}

// take gives the link that was used last; nil: there is none.
func (i *idle) take() *link {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.links)
	if n == 0 {
		return nil
	}
	last := i.links[n-1].link
	i.links = slices.Delete(i.links, n-1, n)
	return last
}

// closeOld closes the links that were not used for a while.
func (i *idle) closeOld() {
	i.mu.Lock()
	defer i.mu.Unlock()
	old := 0
	for old < len(i.links) && time.Since(i.links[old].since) >= idleWait {
		old++
	}
	i.closeFirst(old)
	switch {
	case i.sweep == nil: // stopped too late
	case len(i.links) == 0:
		i.sweep = nil
	default:
		i.sweep.Reset(idleWait - time.Since(i.links[0].since))
	}
}

// clear closes all, for a front that ends.
func (i *idle) clear() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closeFirst(len(i.links))
	if i.sweep != nil {
		i.sweep.Stop()
		i.sweep = nil
	}
}

func (i *idle) closeFirst(n int) {
	for _, l := range i.links[:n] {
		_ = l.Close()
	}
	i.links = slices.Delete(i.links, 0, n)
}
