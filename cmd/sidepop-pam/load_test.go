//go:build cgo && linux

package main

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"sidepop/auth/helper"
)

// watch notes the processes of a pool and the most that one of them has of
// something, until its end is called.
func watch(t testing.TB, field string) (end func() (pids []int, most int)) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	var pids []int
	most := 0
	go func() {
		defer close(stopped)
		for {
			for _, pid := range helperProcesses(t) {
				most = max(most, status(pid, field))
				if !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() ([]int, int) {
		close(stop)
		<-stopped
		return pids, most
	}
}

// TestAtOnce: 64 logins at once, all right, with no more memory than the hashes of
// as many as there are processors.
func TestAtOnce(t *testing.T) {
	p, _ := open(t, nil)
	end := watch(t, "VmRSS")
	var done sync.WaitGroup
	for range 64 {
		done.Go(func() {
			if a := try(t, p, login("sidepop", "joe")); a.Outcome != helper.Accepted {
				t.Errorf("got %v, %q", a.Outcome, a.Messages)
			}
		})
	}
	done.Wait()
	_, most := end()
	if limit := 20<<10 + runtime.GOMAXPROCS(0)*17<<10; most == 0 || most > limit {
		t.Errorf("%d KiB of memory, at most %d", most, limit)
	}
}

// TestGuessing: right passwords are not held up by many wrong ones.
func TestGuessing(t *testing.T) {
	t.Parallel()
	p, _ := open(t, nil)
	try(t, p, login("sidepop", "joe"))
	var done sync.WaitGroup
	wrong := login("sidepop", "joe")
	wrong.Password = helper.Secret("wrong")
	for range 32 {
		done.Go(func() { try(t, p, wrong) })
	}
	begun := time.Now()
	if a := try(t, p, login("sidepop", "joe")); a.Outcome != helper.Accepted {
		t.Errorf("got %v", a.Outcome)
	}
	took := time.Since(begun)
	done.Wait()
	if all := time.Since(begun); took > all-time.Second {
		t.Errorf("a right password beside 32 wrong ones took %v, those %v", took, all)
	}
}

// TestLeak: modules that leak a MiB each time, and what it comes to after 2,000
// logins.
func TestLeak(t *testing.T) {
	const logins, transactions = 2000, 50
	p, events := open(t, func(o *helper.Options) { o.MaxTransactions = transactions })
	end := watch(t, "VmRSS")
	var done sync.WaitGroup
	next := make(chan struct{})
	for range 8 {
		done.Go(func() {
			for range next {
				if a := try(t, p, login("leak", "joe")); a.Outcome != helper.Accepted {
					t.Errorf("got %v, %q", a.Outcome, a.Messages)
				}
			}
		})
	}
	for range logins {
		next <- struct{}{}
	}
	close(next)
	done.Wait()
	pids, most := end()
	if limit := (transactions + 30) << 10; most > limit {
		t.Errorf("%d KiB of memory, at most %d", most, limit)
	}
	if len(pids) < logins/transactions/2 { // the watch may miss some
		t.Errorf("%d processes", len(pids))
	}
	if _, died := events.all(); len(died) > 0 {
		t.Errorf("died: %q", died)
	}
}

// TestTiming: who exists does not show by more than a hash's time.
func TestTiming(t *testing.T) {
	t.Parallel()
	p, _ := open(t, nil)
	took := func(user string) time.Duration {
		l := login("plain", user)
		l.Password = helper.Secret("wrong")
		var times []time.Duration
		for range 7 {
			begun := time.Now()
			try(t, p, l)
			times = append(times, time.Since(begun))
		}
		slices.Sort(times)
		return times[len(times)/2]
	}
	took("joe") // the first one starts the process
	known, unknown, locked := took("joe"), took("nobodythere"), took("locked")
	t.Logf("known %v, unknown %v, locked %v", known, unknown, locked)
	for _, other := range []time.Duration{unknown, locked} {
		if (known - other).Abs() > longestHash/2 {
			t.Errorf("known %v, another %v", known, other)
		}
	}
}
