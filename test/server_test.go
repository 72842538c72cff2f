package test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTime = 15 * time.Second // for the server to answer
	stopTime  = 15 * time.Second // for the server to end after SIGTERM
)

// binary is the program under test, built once as it is for a release.
var binary struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binary.dir != "" {
		_ = os.RemoveAll(binary.dir)
	}
	os.Exit(code)
}

// sidepop is the path of the built program.
func sidepop(t testing.TB) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.err = noteSources(); binary.err != nil {
			return
		}
		if binary.dir, binary.err = os.MkdirTemp("", "sidepop-bin-"); binary.err != nil {
			return
		}
		build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(binary.dir, "sidepop"), "sidepop/cmd/sidepop")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	must(t, binary.err)
	return filepath.Join(binary.dir, "sidepop")
}

// noteSources looks at every source file of the program. The go command takes
// down which files a test looks at, and reuses the test's last result only
// while they are the same; it does not see what the build inside the test reads.
func noteSources() error {
	return filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != ".." {
			return filepath.SkipDir
		}
		_, err = os.Stat(path)
		return err
	})
}

// site is a folder with a server's files: certificates, accounts, log.
type site struct {
	t        testing.TB
	dir      string
	accounts []account
}

// account is somebody with mail.
type account struct {
	name, password string
	home, maildir  string
}

// newSite makes a site. What needs one takes seconds: -short skips it.
func newSite(t testing.TB) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("-short")
	}
	s := &site{t: t, dir: folder(t)}
	certificates(t, s.dir)
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// account adds an account with a maildrop.
func (s *site) account(name string, mails []mail) account {
	s.t.Helper()
	a := account{name: name, password: "secret-" + rand.Text(), home: s.path("home-" + name)}
	a.maildir = filepath.Join(a.home, "Maildir")
	store(s.t, a.maildir, mails)
	own(s.t, a.home)
	s.accounts = append(s.accounts, a)
	return a
}

// server is a running sidepop.
type server struct {
	*site
	pop3, pop3s string // HOST:PORT
	process     *os.Process
	exited      chan struct{} // closed at its end
	exit        error         // how it ended
	log         string        // file
}

// serve starts a server for the site's accounts. Tables, in TOML, are added to
// its configuration. When the test ends the server is stopped and its log is
// checked; tolerated are the messages of warnings and errors that the test
// provokes.
func (s *site) serve(tables string, tolerated ...string) *server {
	s.t.Helper()
	srv := &server{site: s, exited: make(chan struct{}), log: s.path("log")}
	srv.pop3, srv.pop3s = freePorts(s.t)
	config := s.configure(srv.pop3, srv.pop3s, tables)
	log, err := os.Create(srv.log)
	must(s.t, err)
	defer log.Close()

	cmd := exec.Command(sidepop(s.t), "serve", "--config", config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	must(s.t, cmd.Start())
	srv.process = cmd.Process
	go func() {
		srv.exit = cmd.Wait()
		close(srv.exited)
	}()
	s.t.Cleanup(func() {
		srv.stop()
		srv.checkLog(tolerated)
	})
	srv.awaitReady()
	return srv
}

// configure writes the configuration and the passwd file.
func (s *site) configure(pop3, pop3s, tables string) (path string) {
	s.t.Helper()
	uid, gid, user := os.Getuid(), os.Getgid(), ""
	if to, err := unprivileged(); err != nil {
		s.t.Fatal(err)
	} else if to != nil {
		uid, gid, user = int(to.Uid), int(to.Gid), fmt.Sprintf("user = %q\n", nobody)
	}
	var users strings.Builder
	for _, a := range s.accounts {
		fmt.Fprintf(&users, "%s:{PLAIN}%s:%d:%d::%s\n", a.name, a.password, uid, gid, a.home)
	}
	passwd := s.path("users")
	must(s.t, os.WriteFile(passwd, []byte(users.String()), 0o640))
	must(s.t, os.Chown(passwd, os.Getuid(), gid))
	// The key too, so that nothing has to be said about its renewal.
	must(s.t, os.Chown(s.path(keyFile), os.Getuid(), gid))
	must(s.t, os.Chmod(s.path(keyFile), 0o640))

	path = s.path("sidepop.toml")
	must(s.t, os.WriteFile(path, fmt.Appendf(nil, `hostname = "mx1.example.org"
%s
[listen]
pop3  = [%q]
pop3s = [%q]

[tls]
certificate = %q
key         = %q

[auth]
passwd_file = %q
apop        = true

[index]
state_dir = %q
mark_seen = false # tests look at the files that a session leaves

[log]
level  = "debug"
format = "json"

%s`, user, pop3, pop3s, s.path(certFile), s.path(keyFile), passwd, s.path("state"), tables), 0o600))
	return path
}

// freePorts picks two ports that nothing listens on.
func freePorts(t testing.TB) (a, b string) {
	t.Helper()
	var address [2]string
	for i := range address {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close() // after both, so that they differ
		address[i] = l.Addr().String()
	}
	return address[0], address[1]
}

func (s *server) awaitReady() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), startTime)
	defer cancel()
	for {
		if c, err := dial(s.pop3); err == nil {
			_, err = c.answer()
			_ = c.Close()
			if err == nil {
				return
			}
		}
		select {
		case <-s.exited:
			s.t.Fatalf("the server ended at its start: %v\n%s", s.exit, s.readLog())
		case <-ctx.Done():
			s.t.Fatalf("the server does not answer\n%s", s.readLog())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop asks the server to end, and ends it if it doesn't.
func (s *server) stop() {
	s.t.Helper()
	if err := s.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
	if s.ended(stopTime) {
		return
	}
	s.t.Errorf("the server runs %v after SIGTERM", stopTime)
	_ = s.process.Kill()
	<-s.exited
}

// ended waits for the server's end.
func (s *server) ended(within time.Duration) bool {
	select {
	case <-s.exited:
		return true
	case <-time.After(within):
		return false
	}
}

func (s *server) readLog() string {
	s.t.Helper()
	log, err := os.ReadFile(s.log)
	must(s.t, err)
	return string(log)
}
