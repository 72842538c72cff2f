package supervise

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// TestMain is the role too, when it is started as one.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, Supervised) {
		os.Exit(role(os.Args[1]))
	}
	os.Exit(m.Run())
}

// role does what the first argument says, and writes its process id to each
// connection of the socket that it was given.
func role(how string) int {
	told := Join()
	line := string(<-told)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if how == "deaf" {
		signal.Ignore(syscall.SIGTERM)
	}
	if how == "broken" {
		return 3
	}
	files := activation.Files(true)
	if len(files) != 1 || files[0].Name() != "test" {
		return 4
	}
	l, err := net.FileListener(files[0])
	if err != nil {
		return 5
	}
	var mu sync.Mutex // guards line
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			fmt.Fprintln(c, os.Getpid(), line)
			mu.Unlock()
			c.Close()
		}
	}()
	if how != "silent" {
		if ok, err := daemon.SdNotify(false, daemon.SdNotifyReady); !ok || err != nil {
			return 6
		}
	}
	for {
		select {
		case <-term:
			return 0
		case next, ok := <-told:
			if !ok {
				return 0
			}
			mu.Lock()
			line = string(next)
			mu.Unlock()
			_, _ = daemon.SdNotify(false, "X_TOLD="+line)
		case <-time.After(time.Minute):
			return 7
		}
	}
}

// record has how roles ended.
type record struct {
	mu    sync.Mutex
	ended []string
	said  []string
}

func (r *record) Ended(role, how string, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, fmt.Sprint(role, " ", how, " ", wait))
}

func (r *record) Said(role, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, role+" "+line)
}

func (r *record) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ended)
}

// begin starts a role that does something, with a socket.
func begin(t *testing.T, how string) (p *Process, ended *record, socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); file.Close() })
	ended = &record{}
	p, err = Start(t.TempDir(), Role{Name: "test", Args: []string{how}, Sockets: []*os.File{file}, Names: []string{"test"}}, []byte("first"), ended)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(0, nil) })
	return p, ended, socket
}

// pid asks the role for its process id.
func pid(t *testing.T, socket string) (id int) {
	t.Helper()
	id, _ = ask(t, socket)
	return id
}

// ask asks for the line that it was told last, too.
func ask(t *testing.T, socket string) (id int, line string) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fscan(bufio.NewReader(c), &id, &line); err != nil {
		t.Fatal(err)
	}
	return id, line
}

const patience = 20 * time.Second

func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("not %s in time", what)
	}
}

// TestRestart kills a role several times: connections made meanwhile wait for the
// next one.
func TestRestart(t *testing.T) {
	p, ended, socket := begin(t, "good")
	wait(t, "ready", p.Ready())
	seen := make(map[int]bool)
	for range 3 {
		id := pid(t, socket)
		if seen[id] {
			t.Fatal("the role that was killed answers")
		}
		seen[id] = true
		if err := syscall.Kill(id, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for syscall.Kill(id, 0) == nil { // until it was waited for
			time.Sleep(time.Millisecond)
		}
	}
	last := pid(t, socket)
	want := []string{"test signal: killed 100ms", "test signal: killed 200ms", "test signal: killed 400ms"}
	if got := ended.all(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if err := p.Stop(patience, nil); err != nil || p.Err() != nil {
		t.Errorf("stop: %v, %v", err, p.Err())
	}
	wait(t, "done", p.Done())
	if err := syscall.Kill(last, 0); err != syscall.ESRCH {
		t.Errorf("it is still there: %v", err)
	}
}

// TestTell: a role is told things, and what the runs after it are told first.
func TestTell(t *testing.T) {
	p, said, socket := begin(t, "good")
	wait(t, "ready", p.Ready())
	id, line := ask(t, socket)
	if line != "first" {
		t.Errorf("told %q", line)
	}
	p.Tell([]byte("second"))
	for begun := time.Now(); line != "second"; _, line = ask(t, socket) {
		if time.Since(begun) > patience {
			t.Fatalf("told %q", line)
		}
	}
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		said.mu.Lock()
		all := slices.Clone(said.said)
		said.mu.Unlock()
		if slices.Equal(all, []string{"test X_TOLD=second"}) {
			break
		}
		if time.Since(begun) > patience {
			t.Fatalf("it said %q", all)
		}
	}
	for i, want := range []string{"second", "third"} {
		if i > 0 {
			p.First([]byte("third"))
		}
		if err := syscall.Kill(id, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for syscall.Kill(id, 0) == nil {
			time.Sleep(time.Millisecond)
		}
		last := id
		if id, line = ask(t, socket); id == last || line != want {
			t.Errorf("process %d after %d was told %q", id, last, line)
		}
	}
}

// TestBroken: what could never start is not started again.
func TestBroken(t *testing.T) {
	p, ended, _ := begin(t, "broken")
	wait(t, "done", p.Done())
	if err := p.Err(); err == nil || err.Error() != "the test could not start (exit status 3); it has said why" {
		t.Error(err)
	}
	if all := ended.all(); len(all) > 0 {
		t.Errorf("told %q", all)
	}
	if err := p.Stop(patience, nil); err != nil {
		t.Error(err)
	}
}

func TestKill(t *testing.T) {
	p, _, socket := begin(t, "deaf")
	wait(t, "ready", p.Ready())
	id := pid(t, socket)
	if err := p.Stop(50*time.Millisecond, nil); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Error(err)
	}
	if err := syscall.Kill(id, 0); err != syscall.ESRCH {
		t.Errorf("it is still there: %v", err)
	}
}

func TestHurry(t *testing.T) {
	p, _, _ := begin(t, "deaf")
	wait(t, "ready", p.Ready())
	hurry := make(chan struct{})
	close(hurry)
	begun := time.Now()
	if err := p.Stop(patience, hurry); err == nil || time.Since(begun) >= patience {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
}

// TestStopEarly stops a role that is not ready and waits to be.
func TestStopEarly(t *testing.T) {
	p, _, socket := begin(t, "silent")
	pid(t, socket)
	if err := p.Stop(patience, nil); err != nil {
		t.Error(err)
	}
	select {
	case <-p.Ready():
		t.Error("it is ready without having said so")
	default:
	}
}

// TestOrphan: without its supervisor a role ends by itself.
func TestOrphan(t *testing.T) {
	p, _, socket := begin(t, "good")
	wait(t, "ready", p.Ready())
	id := pid(t, socket)
	p.once.Do(func() { close(p.stop) }) // so that it is not started again
	p.mu.Lock()
	close(p.lines) // which ends its standard input
	p.lines = make(chan []byte)
	p.mu.Unlock()
	wait(t, "done", p.Done())
	if err := syscall.Kill(id, 0); err != syscall.ESRCH {
		t.Errorf("it is still there: %v", err)
	}
}

// TestEnvironment: what systemd means for the supervisor is not for roles.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC"} {
		t.Setenv(name, "1")
	}
	t.Setenv("SIDEPOP_KEPT", "1")
	all := strings.Join(environment(), "\n")
	if strings.Contains(all, "NOTIFY") || strings.Contains(all, "LISTEN") || strings.Contains(all, "WATCHDOG") {
		t.Error(all)
	}
	if !strings.Contains(all, "SIDEPOP_KEPT=1") {
		t.Error("the rest is lost")
	}
}

// TestDeaf: a role that does not read what it is told holds nothing up.
func TestDeaf(t *testing.T) {
	p, _, socket := begin(t, "good")
	wait(t, "ready", p.Ready())
	if err := syscall.Kill(pid(t, socket), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for range 100 {
		p.Tell(make([]byte, 64<<10))
	}
	hurry := make(chan struct{})
	close(hurry)
	if err := p.Stop(patience, hurry); err == nil || time.Since(begun) > patience/2 {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
}

// TestWake: what a role is told ends its wait for the next run.
func TestWake(t *testing.T) {
	p, ended, socket := begin(t, "good")
	wait(t, "ready", p.Ready())
	var begun time.Time
	for range 7 { // the last wait is of several seconds
		if err := syscall.Kill(pid(t, socket), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		n := len(ended.all())
		for len(ended.all()) == n {
			time.Sleep(time.Millisecond)
		}
		p.Tell([]byte("wake"))
	}
	if _, line := ask(t, socket); line != "wake" || time.Since(begun) > 3*time.Second {
		t.Errorf("told %q after %s", line, time.Since(begun))
	}
}
