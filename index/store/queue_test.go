package store

import (
	"testing"
	"time"
)

// TestNext says what the writer does next, with a Count of 10, a delay of 5 s,
// and operations that were queued at the time 0.
func TestNext(t *testing.T) {
	const delay = 5 * time.Second
	start := time.Now()
	at := func(sec int) time.Time { return start.Add(time.Duration(sec) * time.Second) }
	small := op{Update: Update{Mailbox: "m"}}
	large := op{Update: Update{Mailbox: "m", Put: make([]Entry, 10)}}
	begin := op{kind: opBegin, done: make(chan error)}
	flush := op{kind: opFlush, done: make(chan error)}
	for _, tt := range []struct {
		about  string
		ops    []op
		now    int // seconds
		retry  int // 0: no commit has failed
		closed bool
		task   task
		wait   time.Duration
	}{
		{"nothing", nil, 1, 0, false, idle, -1},
		{"an update", []op{small}, 1, 0, false, idle, 4 * time.Second},
		{"an update, late", []op{small}, 5, 0, false, commitAll, 0},
		{"a removal's end", []op{{kind: opEnd}}, 2, 0, false, idle, 3 * time.Second},
		{"many updates", []op{small, large}, 1, 0, false, commitAll, 0},
		{"a removal's begin", []op{small, begin}, 1, 0, false, commitAll, 0},
		{"flush", []op{flush}, 1, 0, false, commitAll, 0},
		{"many updates after a failure", []op{large}, 6, 9, false, idle, 3 * time.Second},
		{"a removal's begin after a failure", []op{large, begin}, 6, 9, false, commitOnly, 0},
		{"flush after a failure", []op{large, begin, flush}, 6, 9, false, commitAll, 0},
		{"many updates when it is time again", []op{large}, 9, 9, false, commitAll, 0},
		{"closed", nil, 1, 0, true, stop, 0},
		{"closed, with an update", []op{small}, 1, 9, true, commitAll, 0},
	} {
		q := newQueue(10)
		for _, o := range tt.ops {
			if _, err := q.push(o); err != nil {
				t.Fatal(err)
			}
		}
		q.since = start
		if tt.closed {
			q.close()
		}
		var retry time.Time
		if tt.retry > 0 {
			retry = at(tt.retry)
		}
		if task, wait := q.next(at(tt.now), retry, delay); task != tt.task || wait != tt.wait {
			t.Errorf("%s: task %d after %v, want %d after %v", tt.about, task, wait, tt.task, tt.wait)
		}
	}
}

// TestBackPressure has an update wait for a writer that is busy.
func TestBackPressure(t *testing.T) {
	const count = 10
	q := newQueue(count)
	one := op{Update: Update{Mailbox: "m", Put: []Entry{{}}}} // of weight 2
	for range backlog * count / 2 {
		if _, err := q.push(one); err != nil {
			t.Fatal(err)
		}
	}
	pushed := make(chan error)
	go func() {
		_, err := q.push(one)
		pushed <- err
	}()
	select {
	case <-pushed:
		t.Error("one more does not wait")
	case <-time.After(20 * time.Millisecond):
	}
	if _, err := q.push(op{kind: opEnd}); err != nil {
		t.Error(err)
	}
	ops := q.take(commitAll)
	q.settle(ops, false)
	if err := <-pushed; err != nil || q.changes != 2 || q.waiting["m"] != 1 {
		t.Errorf("%d changes, %d updates, %v", q.changes, q.waiting["m"], err)
	}
	for range backlog*count/2 - 1 {
		q.push(one)
	}
	go func() {
		_, err := q.push(one)
		pushed <- err
	}()
	q.close()
	if err := <-pushed; err != ErrClosed {
		t.Errorf("waiting at Close: %v", err)
	}
}
