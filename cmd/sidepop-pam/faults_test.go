//go:build cgo && linux

package main

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/auth/helper"
)

// TestCrash: modules that end the process cost the logins under way and no more.
func TestCrash(t *testing.T) {
	for service, how := range map[string]string{
		"crash": "signal: segmentation fault", "null-response": "signal: segmentation fault", "exit": "exit status 0",
	} {
		p, events := open(t, nil)
		if a := try(t, p, login("plain", "joe")); a.Outcome != helper.Accepted {
			t.Fatalf("%s: before: %v", service, a.Outcome)
		}
		if a, err := p.Authenticate(t.Context(), login(service, "joe")); !errors.Is(err, helper.ErrTemporary) {
			t.Errorf("%s: got %v, error %v", service, a.Outcome, err)
		}
		if a := try(t, p, login("plain", "joe")); a.Outcome != helper.Accepted {
			t.Errorf("%s: after: %v", service, a.Outcome)
		}
		p.Close()
		// Registers and stacks may have passwords in them.
		lines, died := events.all()
		if len(died) != 1 || !strings.Contains(died[0], how) || len(lines) > 0 {
			t.Errorf("%s: died: %q, want %q; logged %q", service, died, how, lines)
		}
	}
}

// TestIdentity: a module that changes the process's identity ends it. It can only
// where there is no sandbox.
func TestIdentity(t *testing.T) {
	p, events := open(t, func(o *helper.Options) { o.Command = []string{world.helper} })
	if _, err := p.Authenticate(t.Context(), login("become", "joe")); !errors.Is(err, helper.ErrTemporary) {
		t.Errorf("error %v", err)
	}
	p.Close()
	if lines, _ := events.all(); len(lines) != 1 || !strings.Contains(lines[0], "to 1001, 1001: take it out") {
		t.Errorf("logged %q", lines)
	}
	confined, _ := open(t, nil)
	if a := try(t, confined, login("become", "joe")); a.Outcome != helper.Accepted {
		t.Errorf("in the sandbox: %v, %q", a.Outcome, a.Messages)
	}
}

// TestSlowModule: a module that sleeps holds up nobody, not even as many of them
// as there are processors, and more.
func TestSlowModule(t *testing.T) {
	t.Parallel()
	p, events := open(t, nil)
	pid := events.process(t, p)
	var slow sync.WaitGroup
	for range 20 {
		slow.Go(func() {
			if a := try(t, p, login("sleep", "joe")); a.Outcome != helper.Accepted {
				t.Errorf("slow login: %v", a.Outcome)
			}
		})
	}
	eventually(t, "all that are slow sleep", func() bool { return status(pid, "Threads") > 20 })
	begun := time.Now()
	for range 5 {
		if a := try(t, p, login("plain", "joe")); a.Outcome != helper.Accepted {
			t.Errorf("login: %v", a.Outcome)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("5 logins beside those took %v", took)
	}
	slow.Wait()
	eventually(t, "the threads have ended", func() bool { return status(pid, "Threads") < 15 })
}

// TestProcess: what the process shows and has.
func TestProcess(t *testing.T) {
	p, events := open(t, nil)
	pid := events.process(t, p)
	var core unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &core); err != nil || core.Max != 0 {
		t.Errorf("core files of %d octets, %v", core.Max, err)
	}
	// Of a process that is not dumpable the environment is root's alone.
	if info, err := os.Stat(procFile(pid, "environ")); err != nil || ownerOf(info) != 0 {
		t.Errorf("environ: %v, %v", info, err)
	}
	if got := status(pid, "CapEff"); got != 0 {
		t.Errorf("capabilities %d", got)
	}
	before := descriptors(t, pid)
	for range 10 {
		try(t, p, login("sidepop", "joe"))
		try(t, p, login("access", "joe"))
	}
	if after := descriptors(t, pid); after > before {
		t.Errorf("%d descriptors, before 20 logins %d", after, before)
	}
}
