package index

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// numbered makes a Maildir with n messages in new; message i holds its number.
func numbered(t testing.TB, n int) string {
	t.Helper()
	dir := maildirWith(t, nil)
	for i := range n {
		name := filepath.Join(dir, "new", numberedName(i))
		if err := os.WriteFile(name, fmt.Appendf(nil, "%d", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	age(t, dir)
	return dir
}

func numberedName(i int) string { return fmt.Sprintf("%d.M%dP%d.host", 1700000000+i, i, i) }

// renameAll moves every message from one folder and info part to another.
func renameAll(t testing.TB, dir string, n int, from, to string) {
	t.Helper()
	for i := range n {
		rename(t, dir, fmt.Sprintf(from, numberedName(i)), fmt.Sprintf(to, numberedName(i)))
	}
}

func TestSettled(t *testing.T) {
	now := time.Unix(1000, 5_000_000)
	at := func(d time.Duration) stamp { return stamp{ino: 1, ctime: now.Add(d).UnixNano()} }
	for _, tt := range []struct {
		dirs [folders]stamp
		want bool
	}{
		{[folders]stamp{}, true}, // both missing
		{[folders]stamp{at(-clockGrain), at(-time.Hour)}, true},
		{[folders]stamp{{}, at(-time.Hour)}, true},
		{[folders]stamp{at(-time.Hour), at(1 - clockGrain)}, false},
		{[folders]stamp{at(0), at(-time.Hour)}, false},
		{[folders]stamp{at(1), at(-time.Hour)}, false},
		{[folders]stamp{at(time.Hour), at(-time.Hour)}, false}, // the clock was set back
	} {
		if p := (proof{dirs: tt.dirs}); p.settled(now) != tt.want {
			t.Errorf("%v at %v: %v", tt.dirs, now, !tt.want)
		}
	}
}

// TestRead moves a message when it is first visited: it is visited again where
// it went. The order, new before cur, is part of what makes readings complete.
func TestRead(t *testing.T) {
	dir := maildirWith(t, map[string]string{"cur/1.a": "", "new/2.b": "", "new/.c": ""})
	d, err := openDirs(dir, false, new(haste))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	var visited []place
	visit := func(p place) bool {
		visited = append(visited, p)
		return true
	}
	check := func(want ...place) {
		t.Helper()
		if len(visited) < len(want) || !slices.Equal(visited[:len(want)], want) {
			t.Errorf("visited %v, want %v", visited, want)
		}
		visited = nil
	}
	if err := d.read(t.Context(), visit); err != nil || len(visited) != 2 {
		t.Errorf("%d visits, want one reading; error %v", len(visited), err)
	}
	check(place{"2.b", folderNew}, place{"1.a", folderCur})

	err = d.read(t.Context(), func(p place) bool {
		if p.name == "1.a" {
			rename(t, dir, "cur/1.a", "cur/1.a:2,S")
		}
		return visit(p)
	})
	if err != nil {
		t.Error(err)
	}
	check(place{"2.b", folderNew}, place{"1.a", folderCur}, place{"2.b", folderNew}, place{"1.a:2,S", folderCur})

	if err := d.read(t.Context(), func(p place) bool { return visit(p) && false }); err != nil || len(visited) != 1 {
		t.Errorf("%d visits after stopping at the first; error %v", len(visited), err)
	}
}

// TestConcurrentRenames opens the mailbox again and again while another program
// moves and flags its messages: each must be there each time, once, and readable.
func TestConcurrentRenames(t *testing.T) {
	const messages = 1000
	dir := numbered(t, messages)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() {
		at := make([]string, messages)
		for i := range at {
			at[i] = "new/" + numberedName(i)
		}
		for {
			select {
			case <-stop:
				return
			default:
			}
			i := rand.IntN(messages)
			next := []string{"new/%s", "cur/%s", "cur/%s:2,", "cur/%s:2,S", "cur/%s:2,RS"}
			to := fmt.Sprintf(next[rand.IntN(len(next))], numberedName(i))
			if err := os.Rename(filepath.Join(dir, at[i]), filepath.Join(dir, to)); err != nil {
				t.Error(err)
				return
			}
			at[i] = to
		}
	})
	for range 10 {
		m := open(t, dir, Options{})
		if m.Len() != messages {
			t.Fatalf("%d messages, want %d", m.Len(), messages)
		}
		for i := range messages {
			if id := m.Message(i).UIDL; id != numberedName(i) {
				t.Fatalf("message %d is %s", i, id)
			}
		}
		for range 100 {
			i := rand.IntN(messages)
			if s := content(t, m, i); s != fmt.Sprint(i) {
				t.Fatalf("message %d holds %q", i, s)
			}
		}
		m.Close()
	}
}

// TestSearches finds renamed and removed messages, and counts how often that
// took reading the names.
func TestSearches(t *testing.T) {
	const messages = 2000
	dir := numbered(t, messages)
	m := open(t, dir, Options{})
	searches := 0
	var last *candidate
	count := func() {
		if len(m.moved) > 0 && &m.moved[0] != last {
			searches++
			last = &m.moved[0]
		}
	}
	check := func(about string, most int) {
		t.Helper()
		if searches == 0 || searches > most {
			t.Errorf("%s: the names were read %d times, want at most %d", about, searches, most)
		}
		searches = 0
	}

	renameAll(t, dir, messages, "new/%s", "cur/%s:2,")
	for i := range messages / 2 {
		if s := content(t, m, i); s != fmt.Sprint(i) {
			t.Fatalf("message %d holds %q", i, s)
		}
		count()
	}
	check("renamed once", 1)

	renameAll(t, dir, messages, "cur/%s:2,", "cur/%s:2,S")
	for i := range messages / 2 {
		if failed, err := m.Commit(t.Context(), []int{i}, nil); failed != 0 || err != nil {
			t.Fatalf("remove: %d failed, %v", failed, err)
		}
		count()
	}
	check("renamed twice", 1)
	left, err := filepath.Glob(filepath.Join(dir, "cur", "*"))
	if err != nil || len(left) != messages/2 {
		t.Fatalf("%d files left, %v", len(left), err)
	}

	for _, path := range left[1:] {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages {
		if _, err := m.OpenMessage(i); (err == nil) != (i == messages/2) || err != nil && !errors.Is(err, ErrGone) {
			t.Fatalf("message %d: %v", i, err)
		}
		count()
	}
	check("removed", 1)
}
