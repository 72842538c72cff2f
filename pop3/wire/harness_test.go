package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sidepop/pop3"
	"sidepop/pop3/internal/dialog"
)

// patience bounds each wait: far beyond what a working program needs.
const patience = 10 * time.Second

var background = context.Background()

func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not come about", what)
		}
	}
}

// noted is a value that the keeper's side sets and a test reads: the race
// detector does not see that a packet crossed between the two.
type noted[T any] struct {
	mu sync.Mutex
	v  T
}

func (n *noted[T]) set(v T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.v = v
}

func (n *noted[T]) get() T {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.v
}

// record keeps the events of a server.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

func (r *record) AcceptFailed(l net.Addr, err error)       { r.add("accept %v", err) }
func (r *record) Refused(_ uint32, err error)              { r.add("refused %v", err) }
func (r *record) Broken(_ pop3.Peer, user string, e error) { r.add("broken %q: %v", user, e) }
func (r *record) LoginFailed(p pop3.Peer, m, u string, e error) {
	r.add("login %s %s %q: %v", p.Session, m, u, e)
}
func (r *record) Failed(_ pop3.Peer, u, command string, e error) {
	line, _, _ := strings.Cut(e.Error(), "\n") // of a stack
	r.add("failed %q %s: %s", u, command, line)
}

// keeper is a server on a socket of its own, with the ledger of what its
// backend opened.
type keeper struct {
	testing.TB
	*Server
	path   string
	events *record
	ledger *dialog.Ledger
	result chan error
}

// newKeeper serves b until the test ends.
func newKeeper(t testing.TB, b pop3.Backend) *keeper {
	t.Helper()
	k := &keeper{TB: t, Server: &Server{}}
	k.folder()
	k.serve(b)
	t.Cleanup(k.stop)
	return k
}

// folder makes one for the socket. Not t.TempDir: a socket's path has 107
// octets at most.
func (k *keeper) folder() {
	k.Helper()
	folder, err := os.MkdirTemp("", "wire")
	if err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() { os.RemoveAll(folder) })
	k.path = filepath.Join(folder, "keeper.sock")
}

// serve begins to serve with a server that is new.
func (k *keeper) serve(b pop3.Backend) {
	k.Helper()
	k.events, k.result = &record{}, make(chan error, 1)
	k.Events = k.events
	k.ledger = dialog.NewLedger(b)
	k.SetBackend(k.ledger)
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: k.path})
	if err != nil {
		k.Fatal(err)
	}
	s, result := k.Server, k.result
	go func() { result <- s.Serve(l) }()
}

// stop ends the server, once, and checks that nothing stayed open.
func (k *keeper) stop() {
	k.Helper()
	if k.Server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := k.Shutdown(ctx); err != nil {
		k.Errorf("Shutdown: %v", err)
	}
	if err := <-k.result; !errors.Is(err, ErrServerClosed) {
		k.Errorf("Serve returned %v", err)
	}
	k.ledger.Check(k)
	k.Server = nil
}

// offers pushes what the backend offers.
func (k *keeper) offers(b pop3.Backend) {
	k.Helper()
	if err := k.Push(State{Plain: b.Offer(pop3.Peer{}), Secure: b.Offer(pop3.Peer{Secure: true})}); err != nil {
		k.Fatal(err)
	}
}

// front is a client with a control connection.
type front struct {
	*Client
	settings chan string // of each state pushed
	keeper   chan error
}

func newFront(t testing.TB, k *keeper) *front {
	t.Helper()
	f := &front{&Client{Path: k.path}, make(chan string, 100), make(chan error, 100)}
	f.Pushed = func(s []byte) { f.settings <- string(s) }
	f.Keeper = func(err error) { f.keeper <- err }
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing came", what)
		panic("not reached")
	}
}
