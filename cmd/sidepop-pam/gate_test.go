//go:build cgo && linux

package main

import (
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// within says whether a place of the gate gets free in time. It gives it back.
func within(g *gate, patience time.Duration) bool {
	select {
	case g.places <- struct{}{}:
		<-g.places
		return true
	case <-time.After(patience):
		return false
	}
}

// TestGate: what a thread does decides how long its place is taken.
func TestGate(t *testing.T) {
	for _, c := range []struct {
		name string
		work func(end *atomic.Bool) // of a thread that has entered
		free bool                   // another one gets its place long before longestHash
	}{
		{"hashes", func(end *atomic.Bool) {
			for !end.Load() {
			}
		}, false},
		{"sleeps", func(end *atomic.Bool) {
			for !end.Load() {
				_ = unix.Nanosleep(&unix.Timespec{Nsec: 50e6}, nil)
			}
		}, true},
		{"waits for a child", func(*atomic.Bool) {
			child := exec.Command("sleep", "1.5")
			if err := child.Start(); err != nil {
				t.Error(err)
				return
			}
			var status unix.WaitStatus
			_, _ = unix.Wait4(child.Process.Pid, &status, 0, nil)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(1)
			entered, left := make(chan struct{}), make(chan struct{})
			var end atomic.Bool
			go func() {
				runtime.LockOSThread()
				leave := g.enter(unix.Gettid())
				close(entered)
				c.work(&end)
				leave()
				leave = g.enter(unix.Gettid()) // a second time, after the first place was given back once
				leave()
				close(left)
			}()
			<-entered
			if got := within(&g, longestHash/2); got != c.free {
				t.Errorf("after half the longest time: free %v", got)
			}
			if !within(&g, 2*longestHash) {
				t.Error("not free after the longest time")
			}
			end.Store(true)
			<-left
			if len(g.places) != 0 {
				t.Errorf("%d places are taken by nobody", len(g.places))
			}
		})
	}
}

// TestGateLeaves: a thread that leaves gives its place back at once.
func TestGateLeaves(t *testing.T) {
	g := newGate(1)
	begun := time.Now()
	for range 100 {
		g.enter(unix.Gettid())()
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("100 threads one after the other took %v", took)
	}
}
