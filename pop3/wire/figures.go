package wire

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrNoFigures is what [Client.Figures] returns where the keeper has none, or more
// than [MaxFigures].
var ErrNoFigures = errors.New("wire: the keeper has no figures to give")

// asked is a front's request for figures.
type asked struct {
	request uint64
	counts  Counts
}

// takeFigures has a request answered by the goroutine that does that. A front has
// one under way, so that it can't have much done at once.
func (f *control) takeFigures(d *decoder) error {
	q := asked{request: d.uint(1<<64 - 1), counts: d.counts()}
	if err := d.end(); err != nil {
		return err
	}
	select {
	case f.figures <- q:
		return nil
	default:
		return fmt.Errorf("%w: figures are under way", errTurn)
	}
}

// giveFigures answers requests, one after the other, until the connection has ended.
func (f *control) giveFigures() {
	for {
		select {
		case q := <-f.figures:
			if f.sendFigures(q.request, f.makeFigures(q.counts)) != nil {
				return
			}
		case <-f.gone:
			return
		}
	}
}

// makeFigures gives the text, or nothing.
func (f *control) makeFigures(front Counts) (text []byte) {
	defer func() {
		if p := recover(); p != nil {
			f.server.Events.Failed(f.peer, "", "figures", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			text = nil
		}
	}()
	if f.server.Figures == nil {
		return nil
	}
	if text = f.server.Figures(front); len(text) > MaxFigures {
		f.server.Events.Failed(f.peer, "", "figures", fmt.Errorf("%d octets; at most %d can be given", len(text), MaxFigures))
		return nil
	}
	return text
}

// sendFigures sends a text in pieces.
func (f *control) sendFigures(request uint64, text []byte) error {
	b := newBuffer()
	defer b.free()
	for {
		piece := text[:min(len(text), figuresPiece)]
		text = text[len(piece):]
		p := appendBool(appendUint(b.begin(verbFiguresAre), request), len(text) > 0)
		if err := f.tell(appendBytes(p, piece)); err != nil || len(text) == 0 {
			return err
		}
	}
}

// Figures asks the keeper for its figures, a text of its own making which has the
// front's Counts in it. It returns when ctx is done. One call is under way at a
// time; others fail.
func (c *Client) Figures(ctx context.Context) ([]byte, error) {
	f := c.control.Load()
	if f == nil {
		return nil, unreachable("figures", errors.New("the keeper is not there"))
	}
	answer, err := f.askFigures()
	if err != nil {
		return nil, unreachable("figures", err)
	}
	select {
	case text := <-answer:
		if len(text) == 0 {
			return nil, ErrNoFigures
		}
		return text, nil
	case <-ctx.Done():
		return nil, unreachable("figures", context.Cause(ctx))
	}
}

// figuring is a request for figures in the front.
type figuring struct {
	request uint64
	text    []byte        // what has come so far
	answer  chan<- []byte // nil: none is under way
}

func (f *frontControl) askFigures() (<-chan []byte, error) {
	answer := make(chan []byte, 1)
	f.mu.Lock()
	switch {
	case f.ended != nil:
		f.mu.Unlock()
		return nil, f.ended
	case f.figuring.answer != nil:
		f.mu.Unlock()
		return nil, errors.New("the keeper has not answered the request before")
	}
	f.figuring = figuring{request: f.figuring.request + 1, answer: answer}
	request := f.figuring.request
	f.mu.Unlock()
	b := newBuffer()
	defer b.free()
	err := f.tell(appendCounts(appendUint(b.begin(verbFigures), request), f.client.counts()))
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.figuring.answer = nil
	}
	return answer, err
}

// takeFigures takes a piece of an answer, which nobody may wait for any longer.
func (f *frontControl) takeFigures(d *decoder) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := &f.figuring
	request, more := d.uint(q.request), d.bool()
	piece := d.bytes(figuresPiece)
	if err := d.end(); err != nil {
		return err
	}
	if request != q.request || q.answer == nil {
		return errTurn
	}
	if q.text = append(q.text, piece...); len(q.text) > MaxFigures {
		return errRange
	}
	if !more {
		q.answer <- q.text
		q.answer, q.text = nil, nil
	}
	return nil
}
