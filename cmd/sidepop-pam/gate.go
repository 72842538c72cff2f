//go:build cgo && linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// lookInterval is how often a thread is looked at that may be hashing: a
	// yescrypt hash, Debian's default, takes some 40 ms.
	lookInterval = 10 * time.Millisecond

	// longestHash is when a thread is not taken to be hashing any more, whatever
	// it does. Deliberately slow hashes take some 100 ms.
	longestHash = time.Second
)

// gate bounds how many threads hash passwords at once: a hash occupies a
// processor, and 16 MiB of memory with yescrypt. When the modules hash nobody
// says, so a thread counts from when it enters until it leaves or is asleep: after
// a wrong password it sleeps for seconds. One that waits for another machine and
// hashes then is not counted any more.
type gate struct{ places chan struct{} }

func newGate(places int) gate { return gate{make(chan struct{}, places)} }

// enter waits for a place. leave has to be called at the end.
func (g *gate) enter(thread int) (leave func()) {
	g.places <- struct{}{}
	var once sync.Once
	free := func() { once.Do(func() { <-g.places }) }
	left := make(chan struct{})
	go func() {
		awake(thread, left)
		free()
	}()
	return func() {
		close(left)
		free()
	}
}

// awake returns when a thread sleeps, has left or has taken too long. Twice in a
// row, because a thread that hashes may be found asleep at a lock.
func awake(thread int, left <-chan struct{}) {
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	end := time.After(longestHash)
	for asleep := 0; asleep < 2; {
		select {
		case <-left:
			return
		case <-end:
			return
		case <-look.C:
			if sleeps(thread) {
				asleep++
			} else {
				asleep = 0
			}
		}
	}
}

// sleeps says whether a thread of this process waits for anything but a child:
// pam_unix may have a child hash. False if it cannot be known.
func sleeps(thread int) bool {
	folder := fmt.Sprintf("/proc/self/task/%d/", thread)
	stat, err := os.ReadFile(folder + "stat")
	if err != nil {
		return false
	}
	// The state comes after the name, which is in parentheses and may have
	// any character in it (proc_pid_stat(5)).
	_, rest, _ := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(" "))
	if len(rest) == 0 || rest[0] != 'S' {
		return false
	}
	children, err := os.ReadFile(folder + "children")
	return err == nil && len(children) == 0
}
