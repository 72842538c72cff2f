package index

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sidepop/index/store"
)

const (
	// killsVariable is how many kills TestKillRemoval and TestKillCount make
	// together.
	killsVariable = "SIDEPOP_TEST_KILLS"
	defaultKills  = 500

	killRounds   = 6   // Commits that a child makes, if it lives
	killMessages = 160 // of each round; every second one is removed
)

func kills(t *testing.T, share float64) int {
	n := defaultKills
	if testing.Short() {
		n = defaultKills / 10
	}
	if v := os.Getenv(killsVariable); v != "" {
		n = must(strconv.Atoi(v))
	}
	return int(float64(n) * share)
}

// killName is a message's unique name: marked ones are removed in their round.
func killName(round, i int) string {
	mark := "keep"
	if i%2 == 0 {
		mark = "mark"
	}
	return fmt.Sprintf("%d.M%dP1.%s", 1700000000+round, i, mark)
}

// childRemove opens the Maildir at args[0] with the state in args[1] and removes
// the marked messages of each round from args[2] on, in one Commit for each.
func childRemove(args []string) {
	x := must(New(Options{
		Measure: measure, State: args[1], MarkSeen: true,
		CommitDelay: time.Duration(1+rand.IntN(20)) * time.Millisecond,
	}))
	first := must(strconv.Atoi(args[2]))
	fmt.Println("ready")
	for round := first; round < first+killRounds; round++ {
		m := must(x.Open(context.Background(), args[0], "alice", self))
		var marked, seen []int
		for i := range m.Len() {
			switch id := m.Message(i).UIDL; {
			case !strings.HasPrefix(id, fmt.Sprint(1700000000+round, ".")):
			case strings.HasSuffix(id, "mark"):
				marked = append(marked, i)
			case i%7 == 0:
				seen = append(seen, i)
			}
		}
		fmt.Println("round", round)
		if failed, err := m.Commit(context.Background(), marked, seen); failed > 0 || err != nil {
			panic(fmt.Sprint(failed, " not removed: ", err))
		}
		must(0, m.Close())
		fmt.Println("done", round)
	}
	time.Sleep(time.Hour)
}

// killBox is a Maildir with messages for several rounds.
type killBox struct {
	dir, state string
	rounds     int // made so far
}

func (b *killBox) fill(t *testing.T, rounds int) {
	t.Helper()
	for ; b.rounds < rounds; b.rounds++ {
		for i := range killMessages {
			name := killName(b.rounds, i)
			if i%3 == 0 {
				name = filepath.Join("cur", name+":2,S")
			} else {
				name = filepath.Join("new", name)
			}
			if err := os.WriteFile(filepath.Join(b.dir, name), fmt.Appendf(nil, "%d\n", i), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// count gives how many messages of each round are there, marked and not.
func (b *killBox) count(t *testing.T) (marked, kept map[int]int) {
	t.Helper()
	marked, kept = make(map[int]int), make(map[int]int)
	for _, f := range folderNames {
		entries, err := os.ReadDir(filepath.Join(b.dir, f))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			unique := uniqueName(e.Name())
			sec, _ := leadingNumber(unique)
			if strings.HasSuffix(unique, "mark") {
				marked[int(sec)-1700000000]++
			} else {
				kept[int(sec)-1700000000]++
			}
		}
	}
	return marked, kept
}

// openRecords counts the records of the journal as the crash has left it.
func openRecords(t *testing.T, state string) (records int) {
	t.Helper()
	s, err := store.Open(state, store.Options{Note: func(n store.Notice) { t.Errorf("the store tells: %+v", n) }})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Unfinished(func(uint64, string, []byte) error { records++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return records
}

// TestKillRemoval kills a process that removes messages, at random moments, half
// of them aimed at a Commit. Then either all messages of a Commit are there or
// none, whatever was not to be removed is there, and a login sees just that.
func TestKillRemoval(t *testing.T) {
	n := kills(t, 0.6)
	dir := memory(t)
	b := &killBox{dir: filepath.Join(dir, "Maildir"), state: filepath.Join(dir, "state")}
	for _, path := range []string{b.state, b.dir + "/new", b.dir + "/cur", b.dir + "/tmp"} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	begun, journalled, partial, first := 0, 0, 0, 0
	for kill := range n {
		b.fill(t, first+killRounds)
		c := startChild(t, "remove", b.dir, b.state, fmt.Sprint(first))
		if kill%2 == 0 { // aimed at one Commit: its journal takes a while, and so do its removals
			c.wait(t, fmt.Sprintf("round %d", first+rand.IntN(killRounds)))
			time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
		} else {
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		}
		c.kill(t)
		marked, _ := b.count(t)
		for _, left := range marked {
			if left < killMessages/2 {
				partial++
			}
		}
		if rand.IntN(5) == 0 {
			continue // the next child has to finish it, and may be killed at that
		}
		if records := openRecords(t, b.state); records > 0 {
			journalled++
		}
		x, err := New(Options{Measure: measure, State: b.state})
		if err != nil {
			t.Fatal(err)
		}
		marked, kept := b.count(t)
		for r := first; r < b.rounds; r++ {
			if left := marked[r]; left != 0 && left != killMessages/2 {
				t.Fatalf("kill %d: of the %d messages of one QUIT %d are left", kill, killMessages/2, left)
			}
			if marked[r] == 0 {
				begun++
			}
			if kept[r] != killMessages/2 {
				t.Fatalf("kill %d: %d messages are there that nobody removed, of %d", kill, kept[r], killMessages/2)
			}
		}
		sameListing(t, fmt.Sprintf("kill %d", kill), listing(t, x, b.dir), naive(t, Options{}, b.dir))
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		if n := openRecords(t, b.state); n > 0 {
			t.Fatalf("kill %d: %d removals are still unfinished", kill, n)
		}
		for r := first; r < b.rounds && marked[r] == 0; r++ {
			first++ // its messages are gone; those kept need not be counted again and again
			b.clear(t, r)
		}
	}
	t.Logf("%d kills: %d with a journal, %d in the middle of the removals, %d QUITs complete", n, journalled, partial, begun)
	if n >= 100 && (journalled == 0 || partial == 0) {
		t.Errorf("no kill hit the window")
	}
}

// clear removes the messages that a round has left.
func (b *killBox) clear(t *testing.T, round int) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(b.dir, "[nc]*", fmt.Sprint(1700000000+round, ".*")))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// childCount is a login to a Maildir of many messages that changes all the time.
func childCount(args []string) {
	x := must(New(Options{
		Measure: measure, State: args[1],
		CommitDelay: time.Duration(1+rand.IntN(5)) * time.Millisecond,
		CommitCount: 20 + rand.IntN(200),
	}))
	fmt.Println("ready")
	for {
		m := must(x.Open(context.Background(), args[0], "alice", self))
		fmt.Println("open")
		for range 30 {
			i := rand.IntN(m.Len())
			unique := m.Message(i).UIDL
			if f, err := m.OpenMessage(i); err == nil {
				must(0, f.Close())
			}
			for _, from := range []string{"new/" + unique, "cur/" + unique + ":2,S"} {
				_ = os.Rename(filepath.Join(args[0], from), filepath.Join(args[0], []string{"new/" + unique, "cur/" + unique + ":2,S"}[rand.IntN(2)]))
			}
			tmp := filepath.Join(args[0], "tmp", fmt.Sprintf("%d.M%dP9.more", time.Now().Unix(), rand.IntN(1e9)))
			must(0, os.WriteFile(tmp, []byte("more\n"), 0o600))
			must(0, os.Rename(tmp, filepath.Join(args[0], "new", filepath.Base(tmp))))
		}
		must(0, m.Close())
		if rand.IntN(3) == 0 {
			must(x.Rebuild(context.Background(), args[0], self, func(int, int) {}))
		}
	}
}

// TestKillCount kills a process that counts and commits to the store. What it
// has counted is worth something, and nothing that it left is wrong.
func TestKillCount(t *testing.T) {
	const messages = 3000
	n := kills(t, 0.4)
	dir := memory(t)
	state, box := filepath.Join(dir, "state"), filepath.Join(dir, "Maildir")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	saved := 0
	for kill := range n {
		if kill%20 == 0 { // from the beginning
			for _, path := range []string{state, box} {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
			}
			makeNumbered(t, box, messages)
			if err := os.Mkdir(state, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		c := startChild(t, "count", box, state)
		if kill%3 == 0 {
			c.wait(t, "open")
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		c.kill(t)
		if kill%20 < 10 && rand.IntN(2) == 0 {
			continue
		}
		openRecords(t, state) // the store opens, and tells nothing
		measured := new(counter32)
		x, err := New(Options{Measure: measured.measure, State: state})
		if err != nil {
			t.Fatal(err)
		}
		got := listing(t, x, box)
		if int(measured.n.Load()) < messages/2 {
			saved++
		}
		sameListing(t, fmt.Sprintf("kill %d", kill), got, naive(t, Options{}, box))
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills; %d times most was counted already", n, saved)
	if n >= 40 && saved == 0 {
		t.Error("nothing that was counted before a kill was ever used")
	}
}
