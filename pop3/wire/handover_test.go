package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sidepop/pop3"
)

// relay is a socket that one keeper after another is given, as by a service manager.
type relay struct {
	path string
	file *os.File
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	folder, err := os.MkdirTemp("", "wire") // see keeper.folder
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	r := &relay{path: filepath.Join(folder, "keeper.sock")}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: r.path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	if r.file, err = l.File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.file.Close() })
	return r
}

// keeper serves with the socket until it is told to end.
func (r *relay) keeper(t *testing.T, b pop3.Backend) *Server {
	t.Helper()
	l, err := net.FileListener(r.file)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{}
	s.SetBackend(b)
	go s.Serve(l.(*net.UnixListener))
	t.Cleanup(func() { end(t, s) })
	return s
}

func end(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestLoginsHandedOver: a login that is under way when its keeper ends is decided by
// the next keeper, unless the first one has decided that it is wrong.
func TestLoginsHandedOver(t *testing.T) {
	for name, test := range map[string]struct {
		result error // of the login at the keeper that ends
		want   error
	}{
		"right":       {nil, nil},
		"interrupted": {context.Canceled, nil},
		"an outage":   {errors.New("the helper was ended"), nil},
		"too early":   {pop3.ErrTemporary, nil},
		"wrong":       {pop3.ErrCredentials, pop3.ErrCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelay(t)
			begun := make(chan struct{})
			var closed noted[bool]
			first := r.keeper(t, &scripted{password: func(ctx context.Context, _ pop3.Peer, _, _ string) (pop3.Maildrop, error) {
				close(begun)
				<-ctx.Done()
				if test.result != nil {
					return nil, test.result
				}
				return &scriptedDrop{messages: 1, close: func() error { closed.set(true); return nil }}, nil
			}})
			type answer struct {
				m   pop3.Maildrop
				err error
			}
			answers := make(chan answer, 1)
			go func() {
				m, err := (&Client{Path: r.path}).Password(background, peer, "alice", "secret")
				answers <- answer{m, err}
			}()
			<-begun
			end(t, first)
			if test.result == nil && !closed.get() {
				t.Error("the keeper has ended with the maildrop open")
			}
			r.keeper(t, dropFor(&scriptedDrop{messages: 2}))
			got := within(t, "answer", answers)
			if !errors.Is(got.err, test.want) {
				t.Fatalf("%v, want %v", got.err, test.want)
			}
			if got.err == nil {
				if n, _ := got.m.Stat(); n != 2 {
					t.Errorf("%d messages, want those of the second keeper", n)
				}
				_ = got.m.Close()
			}
		})
	}
}

// TestHandshakeWaits: a handshake that begins when the keeper has ended has its
// signature from the next one.
func TestHandshakeWaits(t *testing.T) {
	r := newRelay(t)
	c := issue(t, "mx.example.org", keys()["P-256"])
	state := State{Settings: []byte("s"), Certificates: []tls.Certificate{c}}
	first := r.keeper(t, alice())
	if err := first.Push(state); err != nil {
		t.Fatal(err)
	}
	f := newFront(t, &keeper{path: r.path})
	within(t, "state", f.settings)
	end(t, first)
	result := make(chan error, 1)
	go func() { result <- handshake(t, f, "mx.example.org", c, tls.VersionTLS13) }()
	select {
	case err := <-result:
		t.Fatalf("without a keeper: %v", err)
	case <-time.After(2 * minRedial):
	}
	if err := r.keeper(t, alice()).Push(state); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "handshake", result); err != nil {
		t.Error(err)
	}
}

// TestSignOnClosed: a control connection that the front itself has just given up is as
// gone as one that the keeper has closed, so that the next one is waited for.
func TestSignOnClosed(t *testing.T) {
	theirs, ours := pair(t)
	defer theirs.Close()
	f := &frontControl{conn: ours, asks: make(map[uint64]chan<- signature)}
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.sign(identity{}, 0, nil); !errors.Is(err, errGone) {
		t.Error(err)
	}
}
