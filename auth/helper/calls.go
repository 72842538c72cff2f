package helper

import (
	"errors"
	"fmt"
	"time"
)

// call is one request under way. Its fields belong to whoever holds the
// pool's lock, except for result.
type call struct {
	verb    verb
	result  chan result // gets one element
	overdue *time.Timer
	givenUp bool // it has failed already; its answer is still to come
}

type result struct {
	answer Answer
	err    error
}

// fail tells the caller. The request stays entered.
func (c *call) fail(why error) {
	c.givenUp = true
	c.result <- result{err: why}
}

// enterLocked numbers a request and enters it as under way in a process.
func (p *Pool) enterLocked(h *process, r *request) *call {
	p.lastID++
	id := p.lastID
	r.id = id
	c := &call{verb: r.verb, result: make(chan result, 1)}
	c.overdue = time.AfterFunc(p.options.RequestTimeout, func() {
		p.giveUp(h, id, fmt.Errorf("process %d has not answered within %v", h.pid(), p.options.RequestTimeout))
	})
	h.calls[id] = c
	if h.entered++; h.entered >= p.options.MaxTransactions {
		p.retireLocked(h)
	}
	return c
}

// giveUp fails a request whose answer is not waited for any longer. A process
// that has such a one gets no more requests.
func (p *Pool) giveUp(h *process, id uint64, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := h.calls[id]
	if !ok || c.givenUp {
		return // it was answered at the same moment
	}
	c.fail(why)
	p.retireLocked(h)
	h.settleLocked()
}

// retireLocked keeps further requests away from a process: the next one starts
// another.
func (p *Pool) retireLocked(h *process) {
	if h.state == serving {
		h.state = retired
	}
	if p.current == h {
		p.current = nil
	}
}

// deliver takes a packet from a process. An error is a breach of the protocol.
func (p *Pool) deliver(h *process, r *reply) error {
	p.mu.Lock()
	recovered, err := p.deliverLocked(h, r)
	p.mu.Unlock()
	if recovered {
		p.options.Events.Available()
	}
	return err
}

func (p *Pool) deliverLocked(h *process, r *reply) (recovered bool, err error) {
	if h.state == ending {
		return false, nil // nobody waits
	}
	if r.verb == verbReady {
		return false, h.readyLocked()
	}
	c, ok := h.calls[r.id]
	if !ok {
		return false, errors.New("an answer to a request that was not made or is answered")
	}
	if !r.answer.Outcome.answers(c.verb) {
		return false, fmt.Errorf("the answer %q does not fit its request", r.answer.Outcome)
	}
	for i, m := range r.answer.Messages {
		r.answer.Messages[i] = printable(m, MaxMessage)
	}
	p.removeLocked(h, r.id)
	if !c.givenUp {
		c.result <- result{answer: r.answer}
	}
	if !h.answered {
		h.answered = true
		recovered = p.backoff.succeeded()
	}
	h.settleLocked()
	return recovered, nil
}

// removeLocked ends a request and gives its place free.
func (p *Pool) removeLocked(h *process, id uint64) {
	h.calls[id].overdue.Stop()
	delete(h.calls, id)
	<-p.places
}

// failLocked ends all requests of a process, and says how many waited.
func (p *Pool) failLocked(h *process, why error) (failed int) {
	for id, c := range h.calls {
		if !c.givenUp {
			c.fail(why)
			failed++
		}
		p.removeLocked(h, id)
	}
	return failed
}

// retire is retireLocked for a process that cannot answer any more.
func (p *Pool) retire(h *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retireLocked(h)
}

// leave fails what a process that ended has not answered; why is nil when it
// was told to end. It returns how to report that once no lock is held.
func (p *Pool) leave(h *process, why error) (report func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retireLocked(h)
	told := why == nil
	if told {
		why = errClosed
	} else {
		why = fmt.Errorf("%s: %w", h.name(), why)
	}
	if !h.ready {
		h.failed = why
		close(h.started)
	}
	failed := p.failLocked(h, why)
	if told {
		return func() {}
	}
	if failed > 0 {
		why = fmt.Errorf("%w; requests under way that failed: %d", why, failed)
	}
	died := func() { p.options.Events.Died(why) }
	if h.answered {
		return died
	}
	switch failures := p.backoff.failed(time.Now()); {
	case failures < failuresToRest:
		return died
	case failures == failuresToRest:
		return func() { p.options.Events.Unavailable(why) }
	}
	return func() {}
}

// forget ends the pool's knowledge of a process that was waited for.
func (p *Pool) forget(h *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.processes, h)
}
