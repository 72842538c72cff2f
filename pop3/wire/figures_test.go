package wire

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// newGiver is newKeeper with figures.
func newGiver(t *testing.T, figures func(front Counts) []byte) *keeper {
	t.Helper()
	k := &keeper{TB: t, Server: &Server{Figures: figures}}
	k.folder()
	k.serve(alice())
	t.Cleanup(k.stop)
	if err := k.Push(State{}); err != nil { // before it a front asks for nothing
		t.Fatal(err)
	}
	return k
}

// TestFigures: a text of any length within the limit comes whole, with the front's
// counts known to the keeper.
func TestFigures(t *testing.T) {
	var given noted[[]byte]
	var heard noted[Counts]
	k := newGiver(t, func(front Counts) []byte { heard.set(front); return given.get() })
	c := &Client{Path: k.path, Counts: func() Counts { return counted(7) }}
	if _, err := c.Figures(background); err == nil {
		t.Error("figures without a keeper")
	}
	defer run(c)()
	waitFor(t, "the keeper", func() bool { return c.control.Load() != nil })
	for _, octets := range []int{1, figuresPiece - 1, figuresPiece, figuresPiece + 1, 3 * figuresPiece, MaxFigures} {
		text := bytes.Repeat([]byte("0123456789\n"), octets/11+1)[:octets]
		given.set(text)
		if got, err := c.Figures(background); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d octets: %d, %v", octets, len(got), err)
		}
	}
	if heard.get() != counted(7) {
		t.Errorf("the keeper heard %v", heard.get())
	}
	for _, text := range [][]byte{nil, make([]byte, MaxFigures+1)} {
		given.set(text)
		if got, err := c.Figures(background); !errors.Is(err, ErrNoFigures) {
			t.Errorf("%d octets: %d, %v", len(text), len(got), err)
		}
	}
	if told := k.events.String(); strings.Count(told, "figures") != 1 {
		t.Errorf("told: %s", told)
	}
}

// TestFiguresPanic: the session with the front goes on.
func TestFiguresPanic(t *testing.T) {
	k := newGiver(t, func(Counts) []byte { panic("broken") })
	c := &Client{Path: k.path}
	defer run(c)()
	waitFor(t, "the keeper", func() bool { return c.control.Load() != nil })
	for range 2 {
		if _, err := c.Figures(background); !errors.Is(err, ErrNoFigures) {
			t.Error(err)
		}
	}
	if told := k.events.String(); !strings.Contains(told, "panic: broken") {
		t.Errorf("told: %s", told)
	}
}

// TestFiguresLate: a keeper that hangs is waited for no longer than asked, and not
// asked again before it has answered.
func TestFiguresLate(t *testing.T) {
	going := make(chan struct{})
	k := newGiver(t, func(Counts) []byte { <-going; return []byte("late") })
	c := &Client{Path: k.path}
	defer run(c)()
	waitFor(t, "the keeper", func() bool { return c.control.Load() != nil })
	ctx, cancel := context.WithTimeout(background, 10*time.Millisecond)
	defer cancel()
	if _, err := c.Figures(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := c.Figures(background); err == nil || !strings.Contains(err.Error(), "has not answered") {
		t.Error(err)
	}
	close(going)
	waitFor(t, "an answer", func() bool {
		got, err := c.Figures(background)
		return err == nil && string(got) == "late"
	})
}

// TestFiguresFlood: a front that asks without waiting is cut off.
func TestFiguresFlood(t *testing.T) {
	going := make(chan struct{})
	k := newGiver(t, func(Counts) []byte { <-going; return nil })
	front := dialRaw(t, k)
	front.say(request(verbControl))
	front.hear(verbState)
	for i := range 3 {
		front.say(appendCounts(request(verbFigures, i+1), Counts{}))
	}
	front.hearEnd()
	close(going)
	waitFor(t, "a broken protocol", func() bool { return strings.Contains(k.events.String(), "figures are under way") })
}

// TestFiguresEnd: a keeper that goes away leaves nobody waiting.
func TestFiguresEnd(t *testing.T) {
	asked := make(chan struct{}, 10)
	state, err := newState(State{})
	if err != nil {
		t.Fatal(err)
	}
	k := newRawKeeper(t, func(c *conn) {
		for {
			in, err := c.receive(false)
			if err != nil {
				return
			}
			v := verb(in.packet[1])
			in.free()
			switch v {
			case verbControl:
				_ = c.send(state.packets[0], nil)
			case verbFigures:
				asked <- struct{}{}
				return
			}
		}
	})
	c := &Client{Path: k.path}
	defer run(c)()
	waitFor(t, "the keeper", func() bool { return c.control.Load() != nil })
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	if _, err := c.Figures(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	within(t, "the question", asked)
}
