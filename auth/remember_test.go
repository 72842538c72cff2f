package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"sidepop/auth/internal/version"
)

// counting is a source that counts how often it is asked.
type counting struct {
	password string
	asked    int
}

func (c *counting) verify(l Login) func(context.Context) (*Account, error) {
	return func(context.Context) (*Account, error) {
		c.asked++
		if l.Password != c.password {
			return nil, ErrCredentials
		}
		return &Account{Name: l.User, UID: id(7), GID: id(8), Groups: []uint32{9}}, nil
	}
}

// login makes an attempt and says whether the source was asked.
func (c *counting) login(t *testing.T, g *Guard, l Login) (asked bool) {
	t.Helper()
	before := c.asked
	account, err := g.Do(t.Context(), l, c.verify(l))
	if right := l.Password == c.password; right != (err == nil) || right && (account.Name != l.User || *account.UID != 7 || account.Groups[0] != 9) {
		t.Errorf("%+v: %+v, %v", l, account, err)
	}
	return c.asked != before
}

func TestRemember(t *testing.T) {
	joe := from("joe", "192.0.2.1")
	with := func(user, password, remote string) Login {
		l := from(user, remote)
		l.Password = password
		return l
	}
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{CacheTime: time.Minute})
		c := &counting{password: "pw"}
		for _, step := range []struct {
			about string
			l     Login
			asked bool
		}{
			{"the first", joe, true},
			{"again", joe, false},
			{"a wrong password", with("joe", "pw1", "192.0.2.1"), true},
			{"the right one after a wrong one", joe, false},
			{"another user", with("jo", "pw", "192.0.2.1"), true},
			{"the name spelled in another way", with("Joe", "pw", "192.0.2.1"), true},
			{"another address", with("joe", "pw", "192.0.2.2"), true},
			{"another address again", with("joe", "pw", "192.0.2.2"), false},
			{"no address", with("joe", "pw", ""), true},
			{"the same characters cut in another place", with("joep", "w", "192.0.2.1"), true},
		} {
			if asked := c.login(t, g, step.l); asked != step.asked {
				t.Errorf("%s: the source was asked: %v", step.about, asked)
			}
		}
		time.Sleep(time.Minute - DefaultFailureDelay*2 - 1)
		if c.login(t, g, joe) {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if !c.login(t, g, joe) {
			t.Error("remembered for too long; a hit must not prolong it")
		}
		g.Set(GuardOptions{CacheTime: time.Minute, UserNetworks: map[string]Networks{"joe": networks(t, "10.0.0.0/8")}})
		if _, err := g.Do(t.Context(), joe, c.verify(joe)); !errors.Is(err, ErrDenied) {
			t.Errorf("a remembered login from where it is not allowed: %v", err)
		}
		g.Set(GuardOptions{CacheTime: time.Minute, Deny: networks(t, "192.0.2.1")})
		if _, err := g.Do(t.Context(), joe, c.verify(joe)); !errors.Is(err, ErrCredentials) {
			t.Errorf("a remembered login from a denied network: %v", err)
		}
		g.Set(GuardOptions{})
		if !c.login(t, g, joe) {
			t.Error("remembered without CacheTime")
		}
	})
}

// No password, as with APOP, is none that could be remembered.
func TestEmptyPasswordIsNotRemembered(t *testing.T) {
	g := NewGuard(GuardOptions{CacheTime: time.Minute})
	c := new(counting)
	l := Login{User: "joe"}
	for range 2 {
		if !c.login(t, g, l) {
			t.Error("remembered")
		}
	}
}

// What a caller does to an account stays with it.
func TestRememberedAccountIsACopy(t *testing.T) {
	g := NewGuard(GuardOptions{CacheTime: time.Minute})
	c := &counting{password: "pw"}
	l := from("joe", "")
	for range 3 {
		account, err := g.Do(t.Context(), l, c.verify(l))
		if err != nil || account.Name != "joe" || *account.UID != 7 || *account.GID != 8 || account.Groups[0] != 9 {
			t.Fatalf("%+v, %v", account, err)
		}
		account.Name, *account.UID, *account.GID, account.Groups[0] = "eve", 0, 0, 0
	}
	if c.asked != 1 {
		t.Errorf("the source was asked %d times", c.asked)
	}
}

// Remembered logins tell a guesser nothing sooner.
func TestMemoryIsNoOracle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardOptions{CacheTime: time.Hour})
		c := &counting{password: "pw"}
		l := from("joe", "192.0.2.1")
		c.login(t, g, l)
		for n := range 6 {
			wrong := l
			wrong.Password = fmt.Sprint("wrong", n)
			begin := time.Now()
			if !c.login(t, g, wrong) || (time.Since(begin)-DefaultFailureDelay) != time.Duration(growing[n])*time.Second {
				t.Errorf("wrong password %d is answered after %v", n, time.Since(begin))
			}
		}
		begin := time.Now()
		if c.login(t, g, l) || time.Since(begin) != time.Duration(growing[6])*time.Second {
			t.Errorf("the right password is answered after %v", time.Since(begin))
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		key := func(n int) loginKey { return m.key(from(fmt.Sprint("user", n), "")) }
		const more = 10
		for n := range maxRemembered + more {
			_, now := m.find(key(n), time.Hour, nil)
			m.put(key(n), &Account{}, now)
		}
		if len(m.logins) != maxRemembered || m.order.Len() != maxRemembered {
			t.Errorf("%d logins, %d in order", len(m.logins), m.order.Len())
		}
		for n, want := range map[int]bool{0: false, more - 1: false, more: true, maxRemembered + more - 1: true} {
			if account, _ := m.find(key(n), time.Hour, nil); (account != nil) != want {
				t.Errorf("login %d is remembered: %v", n, !want)
			}
		}
		at := moment{m.changes, false}
		m.put(key(0), &Account{}, at)
		if account, _ := m.find(key(0), time.Hour, nil); account != nil {
			t.Error("a login is remembered that relies on a file which has just changed")
		}
		// Twice the same takes one place.
		_, now := m.find(key(more), time.Hour, nil)
		m.put(key(more), &Account{}, now)
		if len(m.logins) != maxRemembered || m.order.Len() != maxRemembered {
			t.Errorf("%d logins, %d in order", len(m.logins), m.order.Len())
		}
		time.Sleep(time.Hour)
		if account, _ := m.find(key(more), time.Hour, nil); account != nil || len(m.logins) != maxRemembered-1 {
			t.Errorf("%v is remembered, %d in memory", account, len(m.logins))
		}
	})
}

// unmask makes a text that stands nowhere else in one piece, nor in a frame of its
// caller.
//
//go:noinline
func unmask(masked string) []byte {
	text := []byte(masked)
	for i := range text {
		text[i] ^= 1
	}
	return text
}

// After a login nothing in the process's memory holds the password, remembered or
// wrong.
func TestPasswordDoesNotStay(t *testing.T) {
	const password, canary = "uhgtlhl,w`rrvnse", "b`o`sx,bnmntsdc!"
	g := NewGuard(GuardOptions{CacheTime: time.Hour, FailureDelay: time.Millisecond})
	for _, refusal := range []error{nil, ErrCredentials} {
		text := unmask(password)
		l := Login{User: fmt.Sprint("user", refusal), Password: unsafe.String(&text[0], len(text))}
		if _, err := g.Do(t.Context(), l, answer(0, refusal)); !errors.Is(err, refusal) {
			t.Fatal(err)
		}
		clear(text)
	}
	dump := filepath.Join(t.TempDir(), "heap")
	f, err := os.Create(dump)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kept := unmask(canary)
	runtime.GC()
	runtime.GC()
	debug.WriteHeapDump(f.Fd())
	content, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(content, unmask(canary)) {
		t.Fatal("the dump does not hold what is in memory")
	}
	if bytes.Contains(content, unmask(password)) {
		t.Error("the password is still in memory")
	}
	if len(g.memory.logins) != 1 {
		t.Errorf("%d logins are remembered", len(g.memory.logins))
	}
	runtime.KeepAlive(g)
	runtime.KeepAlive(kept)
}

func BenchmarkGuardRemembered(b *testing.B) {
	dir := b.TempDir()
	files := []string{dir + "/a", dir + "/b", dir + "/absent"}
	past := time.Now().Add(-time.Hour)
	for _, path := range files[:2] {
		put(b, path, "")
		if err := os.Chtimes(path, past, past); err != nil {
			b.Fatal(err)
		}
	}
	time.Sleep(version.SettleTime)
	g := NewGuard(GuardOptions{CacheTime: 24 * time.Hour, Files: func() []string { return files }})
	l := from("joe@example.org", "192.0.2.1")
	asked := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Do(b.Context(), l, func(context.Context) (*Account, error) { asked++; return &Account{Name: "joe"}, nil }); err != nil {
			b.Fatal(err)
		}
	}
	if asked != 1 {
		b.Errorf("the source was asked %d times", asked)
	}
}
