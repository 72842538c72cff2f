package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"sidepop/pop3"
)

// TestSilentSession: a session that asks for nothing for too long ends, and gives
// up what it holds; one that asks in time goes on.
func TestSilentSession(t *testing.T) {
	const allowed = 300 * time.Millisecond
	closed := make(chan struct{}, 2)
	drop := func() *scriptedDrop {
		return &scriptedDrop{
			messages: 1,
			open:     func(int) (io.ReadCloser, int64, error) { return io.NopCloser(strings.NewReader("x\n")), 3, nil },
			close:    func() error { closed <- struct{}{}; return nil },
		}
	}
	k := newKeeper(t, dropFor(drop()))
	k.AllowSilence(allowed)
	asking, silent := logIn(t, &Client{Path: k.path}), logIn(t, &Client{Path: k.path})
	defer asking.Close()
	ask := func(m pop3.Maildrop) error {
		r, _, err := m.Open(background, 0)
		if err == nil {
			_ = r.Close()
		}
		return err
	}
	told := fmt.Sprintf(`broken "alice": nothing was asked for %v`, allowed)
	for begun := time.Now(); k.events.String() == ""; time.Sleep(allowed / 30) {
		if err := ask(asking); err != nil || time.Since(begun) > patience {
			t.Fatalf("the one that asks: %v after %v", err, time.Since(begun))
		}
	}
	within(t, "close", closed)
	if got := k.events.String(); got != told {
		t.Errorf("told: %s", got)
	}
	if n := len(k.Sessions()); n != 1 {
		t.Errorf("%d sessions", n)
	}
	if err := ask(silent); !errors.Is(err, pop3.ErrTemporary) || Told(err) {
		t.Errorf("after the silence: %v", err)
	}
	_ = silent.Close()
}
