package helper

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNeverStarts: programs that do not come to serve, and what is said once.
func TestNeverStarts(t *testing.T) {
	for program, want := range map[string]string{
		"dies at start": "ended by itself: exit status 3",
		"never ready":   "did not say that it is ready within 200ms, and it was killed",
		"other version": "protocol version 2, and 1 is spoken here",
		"answers first": "an answer to a request that was not made",
	} {
		t.Run(program, func(t *testing.T) {
			p, events := open(t, program, func(o *Options) {
				if program == "never ready" {
					o.StartTimeout = 200 * time.Millisecond
				}
			})
			for range 2 {
				if err := fails(t, p, "joe"); !strings.Contains(err.Error(), want) {
					t.Errorf("got error %v, want %q", err, want)
				}
			}
			begin := time.Now()
			for range 10 {
				err := fails(t, p, "joe")
				if !strings.Contains(err.Error(), "2 times in a row") && time.Since(begin) < firstDelay/2 {
					t.Errorf("got error %v", err)
				}
			}
			p.Close()
			lines, said := events.all()
			if len(said) != 2 || !strings.HasPrefix(said[0], "died: ") || !strings.HasPrefix(said[1], "unavailable: ") ||
				!strings.Contains(said[0], want) || !strings.Contains(said[1], want) {
				t.Errorf("was told %q", said)
			}
			if program == "dies at start" && strings.Join(lines, "|") != "no library|no library" {
				t.Errorf("the program's lines are %q", lines)
			}
		})
	}
}

func TestNoProgram(t *testing.T) {
	p, events := open(t, "", func(o *Options) { o.Command = []string{"/nonexistent/helper"} })
	if err := fails(t, p, "joe"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v", err)
	}
	p.Close()
	if _, said := events.all(); len(said) != 1 || !strings.Contains(said[0], "/nonexistent/helper") {
		t.Errorf("was told %q", said)
	}
}

// TestMends: a program that works again is used again.
func TestMends(t *testing.T) {
	p, events := open(t, "mends itself:3", func(o *Options) { o.Dir = t.TempDir() })
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := p.Authenticate(t.Context(), login("joe")); err == nil {
			break
		} else if !errors.Is(err, ErrTemporary) || time.Since(begin) > 20*time.Second {
			t.Fatal(err)
		}
	}
	p.Close()
	_, said := events.all()
	if len(said) != 3 || said[2] != "available" || !strings.HasPrefix(said[1], "unavailable: ") {
		t.Errorf("was told %q", said)
	}
}

// TestBreaches: a program that breaks the protocol is killed, and requests
// under way fail unless they were answered before.
func TestBreaches(t *testing.T) {
	for program, want := range map[string]string{
		"ready twice":   "said twice that it is ready",
		"garbage":       "protocol version 103",
		"too long":      "packet is too long",
		"answers twice": "an answer to a request that was not made or is answered",
		"unknown id":    "an answer to a request that was not made",
		"wrong outcome": `the answer "unknown user" does not fit`,
	} {
		t.Run(program, func(t *testing.T) {
			p, events := open(t, program, nil)
			if program == "answers twice" {
				if a, err := p.Authenticate(t.Context(), login("joe")); err != nil || a.Outcome != Credentials {
					t.Errorf("the first answer: %+v, error %v", a, err)
				}
			} else {
				fails(t, p, "joe")
			}
			for begin := time.Now(); ; time.Sleep(time.Millisecond) {
				_, said := events.all()
				if len(said) > 0 && strings.Contains(said[0], want) && strings.Contains(said[0], "and it was killed") {
					break
				}
				if time.Since(begin) > 10*time.Second || len(said) > 0 {
					t.Fatalf("was told %q, want %q", said, want)
				}
			}
		})
	}
}

// TestDeaf: a program that reads nothing, with more requests than its socket
// holds. It also ignores the end of its socket.
func TestDeaf(t *testing.T) {
	t.Parallel()
	const clients = 500
	p, events := open(t, "deaf", func(o *Options) { o.MaxInFlight, o.RequestTimeout = clients, 2*time.Second })
	l := Login{Service: "s", User: strings.Repeat("u", MaxUser), Password: Secret(strings.Repeat("p", MaxPassword))}
	begin := time.Now()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			if _, err := p.Authenticate(t.Context(), &l); !errors.Is(err, ErrTemporary) || strings.Contains(err.Error(), "pppp") {
				t.Errorf("got error %v", err)
			}
		})
	}
	all.Wait()
	if taken := time.Since(begin); taken > 6*time.Second {
		t.Errorf("it took %v", taken)
	}
	p.Close()
	if _, said := events.all(); len(said) == 0 || !strings.Contains(said[0], "in time, and it was killed") {
		t.Errorf("was told %q", said)
	}
}

// TestStopped: a process that is alive and does nothing.
func TestStopped(t *testing.T) {
	p, _ := open(t, "right", func(o *Options) { o.RequestTimeout = 300 * time.Millisecond })
	pid := accepted(t, p, "joe")
	if _, err := p.Lookup(t.Context(), "stop"); !errors.Is(err, ErrTemporary) {
		t.Errorf("got error %v", err)
	}
	if next := accepted(t, p, "joe"); next == pid {
		t.Error("the same process goes on")
	}
}

// TestFlood: output is read and thrown away, and costs no answers.
func TestFlood(t *testing.T) {
	p, events := open(t, "floods", nil)
	for told := 0; told < linesPerWindow; {
		accepted(t, p, "joe")
		lines, _ := events.all()
		told = len(lines)
	}
	for range 20 {
		accepted(t, p, "joe")
	}
	p.Close()
	lines, _ := events.all()
	if len(lines) > 3*(linesPerWindow+1) {
		t.Fatalf("%d lines were told", len(lines))
	}
	for _, line := range lines {
		if len(line) > maxLine || strings.Contains(line, "\x1b") {
			t.Errorf("a line of %d octets: %q", len(line), line)
		}
	}
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, "more lines were left out)") {
		t.Errorf("the last line is %q", last)
	}
}

// TestChildLeft: a child that holds the socket and the output open hides
// neither the end of the process nor delays it.
func TestChildLeft(t *testing.T) {
	p, events := open(t, "leaves a child", nil)
	pid := accepted(t, p, "joe")
	begin := time.Now()
	if err := fails(t, p, "fault"); !strings.Contains(err.Error(), "exit status 5") {
		t.Errorf("got error %v", err)
	}
	if next := accepted(t, p, "joe"); next == pid {
		t.Error("the same process goes on")
	}
	p.Close()
	if taken := time.Since(begin); taken > 3*time.Second {
		t.Errorf("it took %v", taken)
	}
	if _, said := events.all(); len(said) != 1 {
		t.Errorf("was told %q", said)
	}
}

func TestClosesItsSocket(t *testing.T) {
	t.Parallel()
	p, events := open(t, "closes", nil)
	fails(t, p, "joe")
	p.Close()
	if _, said := events.all(); len(said) != 1 || !strings.Contains(said[0], "it closed its socket and went on, and it was killed") {
		t.Errorf("was told %q", said)
	}
}

// TestClose: requests under way and waiting fail at once, the processes end.
func TestClose(t *testing.T) {
	t.Parallel()
	p, _ := open(t, "right", func(o *Options) { o.MaxInFlight = 2 })
	ended := make(chan error, 4)
	for range cap(ended) {
		go func() { ended <- fails(t, p, "wait") }()
	}
	underWay(t, p, 2)
	closed := make(chan struct{}, 2)
	for range cap(closed) {
		go func() {
			p.Close()
			closed <- struct{}{}
		}()
	}
	for range cap(ended) {
		if err := <-ended; !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("got error %v", err)
		}
	}
	for range cap(closed) {
		<-closed
	}
	fails(t, p, "joe")
}

func TestCloseUnused(t *testing.T) {
	p, _ := open(t, "dies at start", nil)
	p.Close()
	p.Close()
}

// TestCloseWhileStarting: nobody waits for a program that is not ready.
func TestCloseWhileStarting(t *testing.T) {
	p, events := open(t, "never ready", nil)
	ended := make(chan error, 1)
	go func() { ended <- fails(t, p, "joe") }()
	for began := false; !began; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		began = p.current != nil
		p.mu.Unlock()
	}
	p.Close()
	if err := <-ended; !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("got error %v", err)
	}
	if _, said := events.all(); said != nil {
		t.Errorf("was told %q", said)
	}
}

// TestCloseKills: a process that ignores the end of its socket.
func TestCloseKills(t *testing.T) {
	t.Parallel()
	p, events := open(t, "deaf", nil)
	hurry, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := p.Lookup(hurry, "joe"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v", err)
	}
	p.Close()
	if _, said := events.all(); len(said) != 1 || !strings.Contains(said[0], "did not end within 3s") {
		t.Errorf("was told %q", said)
	}
}
