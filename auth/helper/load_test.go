package helper

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSlow: one request that is not answered does not hold up others.
func TestSlow(t *testing.T) {
	p, _ := open(t, "right", nil)
	slow := make(chan error, 1)
	go func() {
		_, err := p.Authenticate(t.Context(), login("wait"))
		slow <- err
	}()
	underWay(t, p, 1)
	for range 100 {
		accepted(t, p, "joe")
	}
	select {
	case err := <-slow:
		t.Fatalf("the slow one ended first, with error %v", err)
	default:
	}
	if _, err := p.Lookup(t.Context(), "release"); err != nil {
		t.Fatal(err)
	}
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

// TestReplacement: under load no request is lost, and no process gets more
// than its share.
func TestReplacement(t *testing.T) {
	const each, clients, share = 25, 16, 7
	p, events := open(t, "right", func(o *Options) { o.MaxTransactions, o.MaxInFlight = share, 8 })
	var mu sync.Mutex
	answered := make(map[uint32]int)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for j := range each {
				user := fmt.Sprintf("user%d-%d", i, j)
				a, err := p.Authenticate(t.Context(), login(user))
				if err != nil || a.Outcome != Accepted || a.Account.Name != user {
					t.Errorf("%s: got %+v, error %v", user, a, err)
				}
				mu.Lock()
				answered[a.Account.UID]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for pid, n := range answered {
		if n > share {
			t.Errorf("process %d has answered %d requests", pid, n)
		}
	}
	if least := clients * each / share; len(answered) < least {
		t.Errorf("only %d processes", len(answered))
	}
	p.Close()
	if _, said := events.all(); said != nil {
		t.Errorf("was told %q", said)
	}
}

// TestReplacementFinishes: a process that was replaced finishes what it has.
func TestReplacementFinishes(t *testing.T) {
	p, _ := open(t, "right", func(o *Options) { o.MaxTransactions = 3 })
	first := make(chan uint32, 1)
	go func() { first <- accepted(t, p, "wait") }()
	underWay(t, p, 1)
	if a, err := p.Lookup(t.Context(), "joe"); err != nil {
		t.Fatal(a, err)
	}
	released, err := p.Lookup(t.Context(), "release")
	if err != nil {
		t.Fatal(err)
	}
	second := accepted(t, p, "joe")
	if pid := <-first; pid != released.Account.UID || pid == second {
		t.Errorf("processes %d, %d, %d", pid, released.Account.UID, second)
	}
}

func TestPlaces(t *testing.T) {
	p, _ := open(t, "right", func(o *Options) { o.MaxInFlight, o.RequestTimeout = 2, 700*time.Millisecond })
	pid := accepted(t, p, "joe")
	gone, leave := context.WithCancelCause(t.Context())
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := p.Authenticate(gone, login("hang"))
			ended <- err
		}()
	}
	underWay(t, p, 2)
	hurry, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.Authenticate(hurry, login("joe")); !errors.Is(err, ErrTemporary) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a place: got error %v", err)
	}
	left := errors.New("client left")
	leave(left)
	for range 2 {
		if err := <-ended; !errors.Is(err, ErrTemporary) || !errors.Is(err, left) {
			t.Errorf("given up: got error %v", err)
		}
	}
	underWay(t, p, 2) // the work is still being done, whoever waits
	if next := accepted(t, p, "joe"); next == pid {
		t.Error("there was a place before the process that hangs was killed")
	}
}

func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	p, events := open(t, "right", func(o *Options) { o.RequestTimeout = time.Second })
	pid := accepted(t, p, "joe")
	hanging := make(chan error, 1)
	go func() { hanging <- fails(t, p, "hang") }()
	underWay(t, p, 1)
	if err := <-hanging; !strings.Contains(err.Error(), "within 1s") {
		t.Errorf("got error %v", err)
	}
	if next := accepted(t, p, "joe"); next == pid {
		t.Error("the same process goes on")
	}
	p.Close()
	if _, said := events.all(); len(said) != 1 || !strings.Contains(said[0], "did not answer 1 requests in time, and it was killed") {
		t.Errorf("was told %q", said)
	}
}

// TestOverdueFinishes: an overdue request does not cost those that were given
// to the same process later.
func TestOverdueFinishes(t *testing.T) {
	t.Parallel()
	p, _ := open(t, "right", func(o *Options) { o.RequestTimeout = 1500 * time.Millisecond })
	hanging := make(chan error, 1)
	go func() { hanging <- fails(t, p, "hang") }()
	underWay(t, p, 1)
	pid := accepted(t, p, "joe")
	time.Sleep(500 * time.Millisecond)
	later := accepted(t, p, "1200ms") // the other one is overdue in the middle
	select {
	case <-hanging:
	default:
		t.Error("the request that hangs is not overdue yet")
	}
	if next := accepted(t, p, "joe"); later != pid || next == pid {
		t.Errorf("the processes are %d, %d and %d", pid, later, next)
	}
}

func TestCrash(t *testing.T) {
	p, events := open(t, "right", nil)
	pid := accepted(t, p, "joe")
	var waiting sync.WaitGroup
	for range 5 {
		waiting.Go(func() {
			if err := fails(t, p, "wait"); !strings.Contains(err.Error(), "exit status 5") {
				t.Errorf("got error %v", err)
			}
		})
	}
	underWay(t, p, 5)
	fails(t, p, "fault")
	waiting.Wait()
	if next := accepted(t, p, "joe"); next == pid {
		t.Error("the process lives")
	}
	p.Close()
	if _, said := events.all(); len(said) != 1 || !strings.Contains(said[0], "ended by itself: exit status 5; requests under way that failed: 6") {
		t.Errorf("was told %q", said)
	}
}

// TestLastAnswer: what was answered before a crash counts.
func TestLastAnswer(t *testing.T) {
	for range 10 {
		p, _ := open(t, "answers and dies", nil)
		a, err := p.Authenticate(t.Context(), login("joe"))
		if err != nil || a.Outcome != Credentials {
			t.Fatalf("got %+v, error %v", a, err)
		}
		p.Close()
	}
}

// TestAnswersBeforeCrash: requests that the process has not read when it ends,
// and of which the socket complains, do not cost the answers that it gave.
func TestAnswersBeforeCrash(t *testing.T) {
	p, _ := open(t, "answers two and dies", nil)
	ended := make(chan error, 2)
	for range cap(ended) {
		go func() {
			_, err := p.Authenticate(t.Context(), login("joe"))
			ended <- err
		}()
	}
	underWay(t, p, 2)
	p.mu.Lock() // now at most one answer is read before the end of the process
	h := p.current
	err := h.send([]byte("never read"))
	<-h.exited
	p.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
