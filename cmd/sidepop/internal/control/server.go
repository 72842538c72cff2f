package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/index"
)

// Server answers [Client]s.
type Server struct {
	http     http.Server
	x        Inspector
	sessions Sessions
	works    chan struct{} // maxWorks of them
	cancel   context.CancelFunc
}

// Serve begins to answer on a socket in the state folder. Whoever calls
// it holds the index's lock: a socket that is there belongs to nobody. fault is
// told of defects.
func Serve(dir string, x Inspector, sessions Sessions, fault func(error)) (*Server, error) {
	l, err := listen(filepath.Join(dir, socketName))
	if err != nil {
		return nil, fmt.Errorf("control socket in %s: %w: the folder must be writable for user id %d", dir, err, os.Geteuid())
	}
	base, cancel := context.WithCancel(context.Background())
	s := &Server{x: x, sessions: sessions, works: make(chan struct{}, maxWorks), cancel: cancel}
	s.http = http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       time.Minute, // between the mailboxes of one command
		MaxHeaderBytes:    maxRequest,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withPeer,
		ErrorLog:          log.New(faultWriter(fault), "", 0),
	}
	go func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fault(err)
		}
	}()
	return s, nil
}

// listen makes the socket, in place of one that a crash has left behind.
func listen(path string) (net.Listener, error) {
	if fi, err := os.Lstat(path); err == nil && fi.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close ends all work and removes the socket.
func (s *Server) Close() error {
	s.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("control socket: %w", err), s.http.Close())
	}
	return nil
}

// faultWriter takes the lines of an error log.
type faultWriter func(error)

func (f faultWriter) Write(p []byte) (int, error) {
	f(errors.New(strings.TrimSuffix(string(p), "\n")))
	return len(p), nil
}

// peerKey is the context key of a connection's user id.
type peerKey struct{}

// withPeer notes whose process has connected (unix(7), SO_PEERCRED).
func withPeer(ctx context.Context, c net.Conn) context.Context {
	uid := -1
	if raw, err := c.(*net.UnixConn).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				uid = int(cred.Uid)
			}
		})
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

func mayAsk(ctx context.Context) bool {
	uid, ok := ctx.Value(peerKey{}).(int)
	return ok && (uid == 0 || uid == os.Geteuid())
}

// withoutPath are the verbs that are about no mailbox.
var withoutPath = []string{"list", "sessions", "metrics"}

// handler has the verbs.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for verb, work := range map[string]func(context.Context, Maildir, *stream) (end, error){
		"list":     s.list,
		"sessions": s.listSessions,
		"metrics":  s.metrics,
		"messages": s.messages,
		"verify":   s.verify,
		"rebuild":  s.rebuild,
	} {
		mux.HandleFunc("POST /"+verb, func(w http.ResponseWriter, r *http.Request) {
			s.serve(w, r, !slices.Contains(withoutPath, verb), work)
		})
	}
	return mux
}

// serve decodes a request, does the work and ends the answer.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, needsPath bool, work func(context.Context, Maildir, *stream) (end, error)) {
	if !mayAsk(r.Context()) {
		http.Error(w, "only root and the server's own user are answered", http.StatusForbidden)
		return
	}
	select {
	case s.works <- struct{}{}:
		defer func() { <-s.works }()
	default:
		http.Error(w, "too many requests at once: try again later", http.StatusServiceUnavailable)
		return
	}
	m, err := readRequest(w, r, needsPath)
	if err != nil {
		http.Error(w, "request: "+err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := &stream{w: w, to: http.NewResponseController(w), cancel: cancel}
	out.begin()
	result, err := work(ctx, m, out)
	switch {
	case ctx.Err() != nil:
		return // an answer without its end, if anybody is left to read it
	case err != nil:
		result = end{Error: err.Error()}
	}
	_ = out.send(answer{End: &result})
}

// readRequest reads the body of a request, and lifts the limit on the time of
// that: from now on reading waits for the client to go away.
func readRequest(w http.ResponseWriter, r *http.Request, needsPath bool) (m Maildir, err error) {
	from := http.NewResponseController(w)
	if err := from.SetReadDeadline(time.Now().Add(headerTime)); err != nil {
		return m, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return m, err
	}
	if err := from.SetReadDeadline(time.Time{}); err != nil {
		return m, err
	}
	var q request
	if err := decode(body, &q); err != nil {
		return m, err
	}
	m = Maildir{string(q.Path), (*index.Owner)(q.Owner)}
	path := m.Path
	switch {
	case !needsPath && (path != "" || m.Owner != nil):
		return m, errors.New("there must be no path")
	case needsPath && (!filepath.IsAbs(path) || filepath.Clean(path) != path || strings.ContainsRune(path, 0)):
		return m, errors.New("there must be a path that begins with / and has no needless elements")
	}
	return m, nil
}

func (s *Server) list(ctx context.Context, _ Maildir, out *stream) (end, error) {
	all, err := s.x.List(ctx)
	if err != nil {
		return end{}, err
	}
	for _, i := range all {
		err := out.send(answer{Mailbox: &mailbox{
			raw(i.Path), raw(i.User), i.Messages, i.Octets, i.Current, i.InUse, i.Watched, i.Done, i.Total,
		}})
		if err != nil {
			return end{}, err
		}
	}
	return end{}, nil
}

func (s *Server) messages(ctx context.Context, m Maildir, out *stream) (end, error) {
	return end{}, s.x.Messages(ctx, m, func(one Message) error {
		return out.send(answer{Message: &message{raw(one.File), one.UIDL, one.Bytes, one.Octets}})
	})
}

func (s *Server) verify(ctx context.Context, m Maildir, out *stream) (end, error) {
	all, err := s.x.Verify(ctx, m, out.progress)
	for _, d := range all {
		if err := out.send(answer{Difference: &difference{raw(d.Name), raw(d.What)}}); err != nil {
			return end{}, err
		}
	}
	return end{}, err
}

func (s *Server) rebuild(ctx context.Context, m Maildir, out *stream) (end, error) {
	n, err := s.x.Rebuild(ctx, m, out.progress)
	return end{Messages: n}, err
}

// stream writes an answer. Its methods may be called from many goroutines.
type stream struct {
	mu     sync.Mutex
	w      http.ResponseWriter
	to     *http.ResponseController
	cancel context.CancelFunc // of the work
	err    error              // of the first line that could not be written
}

// begin tells the client that its request was taken.
func (s *stream) begin() {
	s.w.Header().Set("Content-Type", "application/jsonl")
	s.flush()
}

// progress sends how far the work is.
func (s *stream) progress(done, total int) {
	if s.send(answer{Progress: &progress{done, total}}) == nil {
		s.flush()
	}
}

func (s *stream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.to.SetWriteDeadline(time.Now().Add(lineTime))
	s.fail(s.to.Flush())
}

// send writes a line. When that fails, so do all that follow, and the work ends.
func (s *stream) send(a answer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	_ = s.to.SetWriteDeadline(time.Now().Add(lineTime))
	return s.fail(json.NewEncoder(s.w).Encode(a))
}

// fail is called with mu held.
func (s *stream) fail(err error) error {
	if err != nil && s.err == nil {
		s.err = err
		s.cancel()
	}
	return err
}
