package systemd

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	clients = 8 // at the same time, each of a user and an address of its own

	// mostErrors ends a load in which everything fails.
	mostErrors = 5
)

// load is clients that look whether there is mail, over and over.
type load struct {
	temporary bool // what comes after a login may be refused for the time being

	stop    chan struct{}
	running sync.WaitGroup
	done    atomic.Int64 // sessions

	mu      sync.Mutex
	errors  []error
	slowest time.Duration
}

// addClients adds the users of a load.
func addClients(t testing.TB) (people [clients]person) {
	t.Helper()
	for i := range people {
		people[i] = addPerson(t, fmt.Sprint("client", i))
	}
	return people
}

// startLoad starts clients that go on until end.
func startLoad(people [clients]person, temporary bool) *load {
	l := &load{temporary: temporary, stop: make(chan struct{})}
	for i, p := range people {
		from := net.IPv4(127, 2, 0, byte(i+1))
		l.running.Go(func() {
			for !l.stopped() {
				begin := time.Now()
				l.note(p.poll(from, l.temporary), time.Since(begin))
			}
		})
	}
	return l
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return l.failed()
	}
}

func (l *load) failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.errors) >= mostErrors
}

// note takes down how a session went.
func (l *load) note(err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	if err != nil {
		l.errors = append(l.errors, fmt.Errorf("after %d sessions, %v into one: %w", l.done.Load(), took, err))
		return
	}
	l.done.Add(1)
}

// more waits for so many further sessions.
func (l *load) more(t testing.TB, sessions int64) {
	t.Helper()
	until := l.done.Load() + sessions
	await(t, fmt.Sprintf("%d sessions", until), func() bool { return l.done.Load() >= until || l.failed() })
}

// end stops the clients when each has come to the end of a session, and there were at
// least so many of these.
func (l *load) end(t testing.TB, least int64) {
	t.Helper()
	if missing := least - l.done.Load(); missing > 0 {
		l.more(t, missing)
	}
	close(l.stop)
	l.running.Wait()
	for _, err := range l.errors {
		t.Error(err)
	}
	t.Logf("figure: %s: %d sessions, %d failed; the slowest took %v", t.Name(), l.done.Load(), len(l.errors), l.slowest.Round(time.Millisecond))
}
