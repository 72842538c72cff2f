package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// never is a delay that no test waits for.
const never = time.Hour

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustFlush(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
}

// load gives a mailbox as text, "header: key=value ...", or "none".
func load(t testing.TB, s *Store, mailbox string) string {
	t.Helper()
	var b strings.Builder
	found, err := s.Load(mailbox,
		func(h []byte) error { fmt.Fprintf(&b, "%s:", h); return nil },
		func(k, v []byte) error { fmt.Fprintf(&b, " %s=%s", k, v); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return "none"
	}
	return b.String()
}

// put makes entries from "key=value" words.
func put(words string) (es []Entry) {
	for _, w := range strings.Fields(words) {
		k, v, _ := strings.Cut(w, "=")
		es = append(es, Entry{[]byte(k), []byte(v)})
	}
	return es
}

func keys(words string) (ks [][]byte) {
	for _, w := range strings.Fields(words) {
		ks = append(ks, []byte(w))
	}
	return ks
}

// notices collects what a store tells.
type notices struct {
	mu   sync.Mutex
	list []Notice
}

func (n *notices) note(x Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, x)
}

func (n *notices) count(e Event) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range n.list {
		if x.Event == e {
			count++
		}
	}
	return count
}

func TestUpdate(t *testing.T) {
	for _, tt := range []struct {
		about   string
		updates []Update
		want    string
	}{
		{"nothing", nil, "none"},
		{"made", []Update{{Clear: true, Header: []byte("h"), Put: put("b=2 a=1")}}, "h: a=1 b=2"},
		{"made without anything", []Update{{Clear: true}}, ":"},
		{"not made without Clear", []Update{{Header: []byte("h"), Put: put("a=1")}}, "none"},
		{"added", []Update{{Clear: true, Header: []byte("h")}, {Put: put("a=1")}, {Put: put("b=2")}}, "h: a=1 b=2"},
		{"overwritten", []Update{{Clear: true, Put: put("a=1 a=2")}, {Put: put("a=3")}}, ": a=3"},
		{"header alone", []Update{{Clear: true, Header: []byte("h"), Put: put("a=1")}, {Header: []byte("i")}}, "i: a=1"},
		{"header emptied", []Update{{Clear: true, Header: []byte("h")}, {Header: []byte{}}}, ":"},
		{"deleted", []Update{{Clear: true, Put: put("a=1 b=2 c=3")}, {Delete: keys("b x")}}, ": a=1 c=3"},
		{"deleted, then put", []Update{{Clear: true, Put: put("a=1")}, {Delete: keys("a"), Put: put("a=2")}}, ": a=2"},
		{"put, then deleted", []Update{{Clear: true, Put: put("a=1")}, {Delete: keys("a")}}, ":"},
		{"cleared", []Update{{Clear: true, Header: []byte("h"), Put: put("a=1 b=2")}, {Clear: true, Put: put("b=3")}}, ": b=3"},
		{"dropped", []Update{{Clear: true, Put: put("a=1")}, {Drop: true}}, "none"},
		{"dropped wins", []Update{{Clear: true, Put: put("a=1")}, {Drop: true, Clear: true, Put: put("b=1")}}, "none"},
		{"change after a drop", []Update{{Clear: true, Put: put("a=1")}, {Drop: true}, {Put: put("b=2")}}, "none"},
		{"made after a drop", []Update{{Clear: true, Put: put("a=1")}, {Drop: true}, {Clear: true, Put: put("b=2")}}, ": b=2"},
		{"empty key and value", []Update{{Clear: true, Put: []Entry{{nil, nil}}}, {Put: []Entry{{[]byte("a"), nil}, {[]byte("a"), nil}}}}, ": = a="},
		{"empty value replaced", []Update{{Clear: true, Put: []Entry{{[]byte("a"), nil}}}, {Put: put("a=1")}}, ": a=1"},
		{"longest", []Update{{Clear: true, Put: []Entry{{bytes.Repeat([]byte("k"), maxKey), []byte("v")}}}},
			": " + strings.Repeat("k", maxKey) + "=v"},
		{"key too long", []Update{{Clear: true, Put: put("a=1")}, {Put: []Entry{{make([]byte, maxKey+1), nil}}}}, "none"},
		{"value too long", []Update{{Clear: true, Put: put("a=1")}, {Put: []Entry{{nil, make([]byte, maxValue+1)}}}}, "none"},
		{"header too long", []Update{{Clear: true, Put: put("a=1")}, {Header: make([]byte, maxHeader+1)}}, "none"},
	} {
		// Once all in one commit, once each in its own.
		for _, each := range []bool{false, true} {
			dir := t.TempDir()
			s := mustOpen(t, dir, Options{Delay: never})
			s.Update(Update{Mailbox: "n", Clear: true, Header: []byte("other"), Put: put("a=1 b=2")})
			for _, u := range tt.updates {
				u.Mailbox = "\x00m\xff"
				s.Update(u)
				if each {
					mustFlush(t, s)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, dir, Options{Note: func(n Notice) { t.Errorf("%s: %+v", tt.about, n) }})
			if got := load(t, s, "\x00m\xff"); got != tt.want {
				t.Errorf("%s (each: %v): got %.100q, want %.100q", tt.about, each, got, tt.want)
			}
			if got := load(t, s, "n"); got != "other: a=1 b=2" {
				t.Errorf("%s: the other mailbox is %q", tt.about, got)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	var n notices
	s := mustOpen(t, t.TempDir(), Options{Note: n.note})
	s.Update(Update{Clear: true})
	s.Update(Update{Mailbox: strings.Repeat("m", maxMailbox+1), Clear: true})
	s.Update(Update{Mailbox: "m", Clear: true, Put: []Entry{{make([]byte, maxKey+1), nil}}})
	mustFlush(t, s)
	if n.count(Refused) != 3 || len(n.list) != 3 {
		t.Errorf("notices %+v", n.list)
	}
	if _, err := s.Begin("", nil); err == nil {
		t.Error("a removal from no mailbox")
	}
}

// TestModel makes the same changes to a store and to a map.
func TestModel(t *testing.T) {
	const mailboxes, rounds = 4, 300
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{Delay: time.Millisecond})
	model := make(map[string]map[string]string)
	rnd := newRand(1)
	for round := range rounds {
		m := fmt.Sprint(rnd.IntN(mailboxes))
		u := Update{Mailbox: m}
		switch rnd.IntN(10) {
		case 0:
			u.Drop = true
			delete(model, m)
		case 1, 2:
			u.Clear = true
			model[m] = make(map[string]string)
		}
		for range rnd.IntN(100) {
			k := fmt.Sprint(rnd.IntN(300))
			u.Delete = append(u.Delete, []byte(k))
			delete(model[m], k)
		}
		for range rnd.IntN(100) {
			k, v := fmt.Sprint(rnd.IntN(300)), strings.Repeat("v", rnd.IntN(100))
			u.Put = append(u.Put, Entry{[]byte(k), []byte(v)})
			if model[m] != nil && !u.Drop {
				model[m][k] = v
			}
		}
		s.Update(u)
		if round%50 == 49 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, dir, Options{Delay: time.Millisecond})
			for i := range mailboxes {
				m := fmt.Sprint(i)
				got := make(map[string]string)
				found, err := s.Load(m, func([]byte) error { return nil },
					func(k, v []byte) error { got[string(k)] = string(v); return nil })
				if err != nil || found != (model[m] != nil) || !maps.Equal(got, model[m]) {
					t.Fatalf("round %d, mailbox %s: found %v with %d entries, want %d, %v", round, m, found, len(got), len(model[m]), err)
				}
			}
		}
	}
}

func TestVisibility(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{Delay: never, Count: 10})
	s.Update(Update{Mailbox: "m", Clear: true, Put: put("a=1")})
	if !s.Pending("m") || s.Pending("n") || load(t, s, "m") != "none" {
		t.Error("an update is committed at once")
	}
	mustFlush(t, s)
	if s.Pending("m") || load(t, s, "m") != ": a=1" {
		t.Error("an update is not committed by Flush")
	}
	s.Update(Update{Mailbox: "m", Put: put("b=2 c=3 d=4 e=5")})
	s.Update(Update{Mailbox: "m", Put: put("f=6 g=7 h=8 i=9")})
	until(t, func() bool { return !s.Pending("m") })
	if got := load(t, s, "m"); got != ": a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9" {
		t.Errorf("after Count changes there is %q", got)
	}
	s.Update(Update{Mailbox: "n", Clear: true, Header: []byte("h")})
	if _, err := s.Begin("n", nil); err != nil || s.Pending("n") {
		t.Errorf("Begin does not commit what is before: %v", err)
	}
	if h, err := s.Header("n"); string(h) != "h" || err != nil {
		t.Errorf("header %q, %v", h, err)
	}
	if h, err := s.Header("x"); h != nil || err != nil {
		t.Errorf("header of nothing: %q, %v", h, err)
	}
	var names []string
	err := s.Mailboxes(func(m string, h []byte) error { names = append(names, m+":"+string(h)); return nil })
	if want := []string{"m:", "n:h"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("mailboxes %q, want %q, %v", names, want, err)
	}
}

// until waits for something that another goroutine does.
func until(t testing.TB, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited 10 seconds")
		}
	}
}

func TestDelay(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{Delay: 10 * time.Millisecond})
	for range 3 {
		s.Update(Update{Mailbox: "m", Clear: true})
		until(t, func() bool { return !s.Pending("m") })
	}
}

func TestCallbacks(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{Note: func(n Notice) { t.Errorf("%+v", n) }})
	s.Update(Update{Mailbox: "m", Clear: true, Put: put("a=1 b=2")})
	mustFlush(t, s)
	mine := errors.New("mine")
	ok := func([]byte) error { return nil }
	bad := func([]byte) error { return mine }
	okEntry := func(k, v []byte) error { return nil }
	badEntry := func(k, v []byte) error { return mine }
	if found, err := s.Load("m", bad, okEntry); found || err != mine {
		t.Errorf("header fails: %v, %v", found, err)
	}
	if found, err := s.Load("m", ok, badEntry); found || err != mine {
		t.Errorf("entry fails: %v, %v", found, err)
	}
	if err := s.Mailboxes(func(string, []byte) error { return mine }); err != mine {
		t.Errorf("mailbox fails: %v", err)
	}
	func() {
		defer func() {
			if p := recover(); p != "mine" {
				t.Errorf("panic %v", p)
			}
		}()
		s.Load("m", ok, func(k, v []byte) error { panic("mine") })
	}()
	// Nothing of bbolt's is locked now.
	s.Update(Update{Mailbox: "m", Clear: true, Put: entries(10_000)})
	mustFlush(t, s)
}

func TestClosed(t *testing.T) {
	s := mustOpen(t, t.TempDir(), Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Update(Update{Mailbox: "m", Clear: true})
	s.End(1)
	_, begin := s.Begin("m", nil)
	_, header := s.Header("m")
	for i, err := range []error{s.Close(), s.Flush(), begin, header} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

// newRand gives random numbers that are the same in each run.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
