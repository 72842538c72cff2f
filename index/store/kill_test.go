package store

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	childVariable = "SIDEPOP_STORE_CHILD" // what a child process is to do
	killsVariable = "SIDEPOP_STORE_KILLS" // how often TestKill kills one

	killMailboxes = 5
	killWindow    = 20 // entries of each mailbox
)

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "":
		os.Exit(m.Run())
	case "hold":
		childHold(os.Args[1])
	case "write":
		childWrite(os.Args[1])
	}
}

// child is this test binary, run once more.
type child struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func startChild(t *testing.T, what, dir string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, dir)
	cmd.Env = append(os.Environ(), childVariable+"="+what)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{cmd, bufio.NewReader(out)}
}

// kill ends the child at once and gives the rest of what it said.
func (c *child) kill(t *testing.T) string {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(c.out)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return string(rest)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func childHold(dir string) {
	_, err := Open(dir, Options{})
	must(err)
	fmt.Println("open")
	time.Sleep(time.Hour)
}

// childWrite changes a store until it is killed, and says what it must have.
//
// In state n, a mailbox has the header n and entries for the killWindow numbers
// up to n. So each state can be told from its header.
func childWrite(dir string) {
	s, err := Open(dir, Options{Delay: 2 * time.Millisecond, Count: 50})
	must(err)
	for r := range 3 {
		go childJournal(s, fmt.Sprint(os.Getpid(), "-", r, "-"))
	}
	var states [killMailboxes]int
	for m := range states {
		h, err := s.Header(fmt.Sprint(m))
		must(err)
		states[m], _ = strconv.Atoi(string(h))
	}
	for i := 0; ; i++ {
		m := i * i % killMailboxes
		states[m]++
		s.Update(stateUpdate(m, states[m]))
		if i%200 == 199 {
			must(s.Flush())
			fmt.Println("flushed", m, states[m])
		}
	}
}

// stateUpdate brings a mailbox to state n, now and then all of it.
func stateUpdate(m, n int) Update {
	u := Update{Mailbox: fmt.Sprint(m), Header: fmt.Append(nil, n), Put: []Entry{stateEntry(n)}}
	if n > killWindow {
		u.Delete = [][]byte{stateEntry(n - killWindow).Key}
	}
	if n%100 == 1 {
		u.Clear = true
		for k := max(n-killWindow+1, 1); k < n; k++ {
			u.Put = append(u.Put, stateEntry(k))
		}
	}
	return u
}

func stateEntry(n int) Entry {
	return Entry{fmt.Appendf(nil, "%010d", n), fmt.Append(nil, "value", n)}
}

// childJournal begins removals and ends most of them.
func childJournal(s *Store, prefix string) {
	for i := 0; ; i++ {
		token := fmt.Sprint(prefix, i)
		id, err := s.Begin("journal", []byte(token))
		must(err)
		fmt.Println("begun", token)
		if i%4 > 0 {
			fmt.Println("ending", token)
			s.End(id)
		}
	}
}

// TestKill kills a process that writes, again and again, and looks at the store
// each time.
func TestKill(t *testing.T) {
	kills := 100
	if v := os.Getenv(killsVariable); v != "" {
		var err error
		if kills, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	rnd := newRand(uint64(time.Now().UnixNano()))
	begins, flushes := 0, 0
	for round := range kills {
		c := startChild(t, "write", dir)
		if round%4 > 0 { // else while it starts
			c.out.Peek(1)
		}
		time.Sleep(time.Duration(rnd.IntN(30_000)) * time.Microsecond)
		begun, flushed := said(c.kill(t))
		begins += len(begun)
		flushes += len(flushed)

		s := mustOpen(t, dir, Options{Note: func(n Notice) { t.Errorf("round %d: %+v", round, n) }})
		for m := range killMailboxes {
			checkState(t, s, m, flushed[m])
		}
		err := s.Unfinished(func(id uint64, m string, data []byte) error {
			if m != "journal" {
				t.Errorf("round %d: a record of mailbox %q", round, m)
			}
			delete(begun, string(data))
			s.End(id)
			return nil
		})
		if err != nil || len(begun) > 0 {
			t.Fatalf("round %d: the journal has lost %v, %v", round, begun, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if kills >= 20 && (begins == 0 || flushes == 0) {
		t.Errorf("%d removals and %d flushes in %d rounds", begins, flushes, kills)
	}
	t.Logf("%d kills, %d unfinished removals, %d mailboxes flushed", kills, begins, flushes)
}

// said reads what a child said: which removals it has begun and was not ending,
// and a state that each mailbox has reached.
func said(text string) (begun map[string]bool, flushed map[int]int) {
	begun, flushed = make(map[string]bool), make(map[int]int)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case !strings.HasSuffix(line, "\n"):
		case f[0] == "begun":
			begun[f[1]] = true
		case f[0] == "ending":
			delete(begun, f[1])
		case f[0] == "flushed":
			m, _ := strconv.Atoi(f[1])
			flushed[m], _ = strconv.Atoi(f[2])
		}
	}
	return begun, flushed
}

func checkState(t *testing.T, s *Store, m, atLeast int) {
	t.Helper()
	got := load(t, s, fmt.Sprint(m))
	if got == "none" && atLeast == 0 {
		return
	}
	header, _, _ := strings.Cut(got, ":")
	n, err := strconv.Atoi(header)
	if err != nil || n < atLeast {
		t.Fatalf("mailbox %d holds %q, want state %d or later", m, got, atLeast)
	}
	want := header + ":"
	for k := max(n-killWindow+1, 1); k <= n; k++ {
		e := stateEntry(k)
		want += fmt.Sprintf(" %s=%s", e.Key, e.Value)
	}
	if got != want {
		t.Fatalf("mailbox %d holds %q, want %q", m, got, want)
	}
}
