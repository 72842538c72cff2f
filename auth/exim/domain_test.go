package exim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLocalDomain(t *testing.T) {
	f := newFake(t)
	e := f.open()
	for _, tc := range []struct {
		domain string
		want   bool
		asked  int // how often so far
	}{
		{"local.test", true, 1},
		{"Local.Test", true, 1},
		{"other.test", false, 2},
		{"other.test", false, 2},
		{"", false, 2},
		{"[127.0.0.1]", false, 2},
		{"local.test}}{yes}{yes}", false, 2},
		{"$primary_hostname", false, 2},
		{"a b", false, 2},
		{"b\u00fccher.test", false, 2},
		{"under_score.test", false, 2},
		{"-bP", false, 2},
		{".test", false, 2},
		{strings.Repeat("a", 254), false, 2},
		{strings.Repeat("a", 253), false, 3},
	} {
		got, err := e.LocalDomain(context.Background(), tc.domain)
		if got != tc.want || err != nil {
			t.Errorf("%q: got %v, %v", tc.domain, got, err)
		}
		if n := f.runs("-be"); n != tc.asked {
			t.Errorf("%q: exim was asked %d times, want %d", tc.domain, n, tc.asked)
		}
	}
	want := "-be ${if and{{match_domain{other.test}{+local_domains}}}{yes}{no}}\n"
	if log, _ := os.ReadFile(f.path("log")); !strings.Contains(string(log), want) {
		t.Errorf("no %q in\n%s", want, log)
	}
}

// TestLocalDomainOld lets an answer grow old.
func TestLocalDomainOld(t *testing.T) {
	f := newFake(t)
	e := f.open()
	ask := func(want bool) {
		t.Helper()
		if got, err := e.LocalDomain(context.Background(), "local.test"); got != want || err != nil {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	ask(true)
	f.write("be", "echo no")
	ask(true)
	e.domains.answers["local.test"] = answer{true, time.Now().Add(-time.Second)}
	ask(false)
}

// TestChange changes the configuration under an open exim.
func TestChange(t *testing.T) {
	f := newFake(t)
	e := f.open()
	ask := func(want bool) {
		t.Helper()
		if got, err := e.LocalDomain(context.Background(), "local.test"); got != want || err != nil {
			t.Fatalf("got %v, %v", got, err)
		}
		e.state.settled = true // as after a while
	}
	ask(true)
	f.write("be", "echo no")
	f.substitute("routers", "transport = mail_spool", "transport = maildir_home")
	if got := e.Local().Template; got != "/var/mail/%u" {
		t.Errorf("got %q before the change", got)
	}
	f.write("config", "changed")
	if got := e.Local().Template; got != "~/Maildir" {
		t.Errorf("got %q after the change", got)
	}
	e.state.settled = true
	ask(false)
	reads := f.runs("-bP routers")
	ask(false)
	if n := f.runs("-bP routers"); n != reads {
		t.Errorf("a configuration that had not changed was read %d times more", n-reads)
	}

	// Soon after a change the stamp does not tell versions apart.
	e.state.settled = false
	f.write("be", "echo yes")
	ask(true)

	// A configuration that cannot be read gives no answers, and is left alone
	// for a moment.
	f.write("version", "")
	f.write("config", "changed again")
	for range 3 {
		if _, err := e.LocalDomain(context.Background(), "local.test"); !errors.Is(err, ErrTemporary) {
			t.Errorf("got %v", err)
		}
	}
	if got := e.Local().Template; got != "~/Maildir" {
		t.Errorf("got %q while the configuration cannot be read", got)
	}
	if n := f.runs("-bV"); n != 4 {
		t.Errorf("the configuration was read %d times, want 4", n)
	}
}

func TestLocalDomainFaults(t *testing.T) {
	for _, tc := range []struct {
		name, be string
		want     error
		wanted   string // in its text
	}{
		{"lookup", `echo 'Failed: unable to complete match against "+local_domains"'`, ErrTemporary, "unable to complete match"},
		{"unreadable", "echo '2026-11-22 15:07:33 failed to open configuration file /x: Permission denied (euid=100 egid=102)' >&2; exit 1", ErrConfig, "/x: Permission denied (euid=100 egid=102): let that user read it"},
		{"more than an answer", "echo yes; echo yes", ErrTemporary, "expected yes or no"},
		{"killed", "kill -9 $$", ErrTemporary, "died"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFake(t)
			f.write("be", tc.be)
			e := f.open()
			for _, domain := range []string{"a.test", "a.test", "b.test"} {
				_, err := e.LocalDomain(context.Background(), domain)
				if !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.wanted) {
					t.Errorf("got %v, want %v with %q", err, tc.want, tc.wanted)
				}
			}
			if n := f.runs("-be"); n != 1 {
				t.Errorf("exim was asked %d times in a moment, want 1", n)
			}
			e.domains.again = time.Now()
			f.write("be", "echo yes")
			if got, err := e.LocalDomain(context.Background(), "a.test"); !got || err != nil {
				t.Errorf("afterwards: got %v, %v", got, err)
			}
		})
	}
}

// TestLocalDomainCancelled: a caller that gives up spoils nothing for others.
func TestLocalDomainCancelled(t *testing.T) {
	f := newFake(t)
	e := f.open()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.LocalDomain(ctx, "local.test"); !errors.Is(err, ErrTemporary) {
		t.Errorf("got %v", err)
	}
	if got, err := e.LocalDomain(context.Background(), "local.test"); !got || err != nil {
		t.Errorf("afterwards: got %v, %v", got, err)
	}
}

// TestLocalDomainMany asks from many goroutines, for more domains than are kept.
func TestLocalDomainMany(t *testing.T) {
	f := newFake(t)
	e := f.open()
	for i := range maxDomains {
		e.domains.answers[fmt.Sprintf("%d.test", i)] = answer{false, time.Now().Add(time.Hour)}
	}
	e.domains.of = e.state
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			want := i%2 == 0
			domain := map[bool]string{true: "local.test", false: "new.test"}[want]
			if got, err := e.LocalDomain(context.Background(), domain); got != want || err != nil {
				t.Errorf("%s: got %v, %v", domain, got, err)
			}
		})
	}
	wait.Wait()
	if n := f.runs("-be"); n > 2*maxRunning {
		t.Errorf("two domains took %d exims", n)
	}
	if n := len(e.domains.answers); n > maxDomains {
		t.Errorf("%d answers are kept, at most %d expected", n, maxDomains)
	}
}
