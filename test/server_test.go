package test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sidepop/test/ports"
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
	uid, gid       int // whose the mail is
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

// account adds an account with a maildrop of the unprivileged user.
func (s *site) account(name string, mails []mail) account {
	s.t.Helper()
	uid, gid := os.Getuid(), os.Getgid()
	if to, err := unprivileged(); err != nil {
		s.t.Fatal(err)
	} else if to != nil {
		uid, gid = int(to.Uid), int(to.Gid)
	}
	return s.user(name, uid, gid, mails)
}

// user adds an account whose home and maildrop are a user's alone. Ids other than
// this process's need root.
func (s *site) user(name string, uid, gid int, mails []mail) account {
	s.t.Helper()
	a := account{name: name, password: "secret-" + rand.Text(), uid: uid, gid: gid, home: s.path("home-" + name)}
	a.maildir = filepath.Join(a.home, "Maildir")
	store(s.t, a.maildir, mails)
	must(s.t, os.Chmod(a.home, 0o700))
	chown(s.t, a.home, uid, gid)
	s.accounts = append(s.accounts, a)
	return a
}

// server is a sidepop that runs, with its roles, or is about to.
type server struct {
	*site
	*program           // what was started; the roles may be processes of its own
	pop3, pop3s string // HOST:PORT
	config      string // file
	log         string // file
}

// program is a process of sidepop.
type program struct {
	process *os.Process
	exited  chan struct{} // closed at its end
	exit    error         // how it ended
}

// serve starts a server for the site's accounts. Tables, in TOML, are added to
// its configuration. When the test ends the server is stopped and its log is
// checked; tolerated are the messages of warnings and errors that the test
// provokes.
func (s *site) serve(tables string, tolerated ...string) *server {
	s.t.Helper()
	srv := s.prepare(tables, tolerated...)
	srv.program = srv.start(exec.Command(sidepop(s.t), "serve", "--config", srv.config))
	s.t.Cleanup(srv.stop)
	srv.awaitReady()
	return srv
}

// prepare is serve without the start. The log is checked when what was started
// afterwards has been stopped.
func (s *site) prepare(tables string, tolerated ...string) *server {
	s.t.Helper()
	srv := &server{site: s, log: s.path("log")}
	srv.pop3, srv.pop3s = freePorts(s.t)
	srv.config = s.configure(srv.pop3, srv.pop3s, tables)
	must(s.t, os.WriteFile(srv.log, nil, 0o600))
	s.t.Cleanup(func() { srv.checkLog(tolerated) })
	return srv
}

// start starts a process that writes to the log, or to what its standard output, and
// error, are instead.
func (s *server) start(cmd *exec.Cmd, files ...*os.File) *program {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_WRONLY|os.O_APPEND, 0)
	must(s.t, err)
	defer log.Close()
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	for i, to := range []*io.Writer{&cmd.Stdout, &cmd.Stderr} {
		if i < len(files) {
			*to = files[i]
		}
	}
	must(s.t, cmd.Start())
	p := &program{process: cmd.Process, exited: make(chan struct{})}
	go func() {
		p.exit = cmd.Wait()
		close(p.exited)
	}()
	return p
}

// writeUsers writes a passwd file.
func (s *site) writeUsers(name string, accounts []account) (path string) {
	s.t.Helper()
	var users strings.Builder
	for _, a := range accounts {
		fmt.Fprintf(&users, "%s:{PLAIN}%s:%d:%d::%s\n", a.name, a.password, a.uid, a.gid, a.home)
	}
	path = s.path(name)
	must(s.t, os.WriteFile(path, []byte(users.String()), 0o600))
	return path
}

// configure writes the configuration and the passwd file.
func (s *site) configure(pop3, pop3s, tables string) (path string) {
	s.t.Helper()
	user := ""
	if os.Getuid() == 0 {
		user = fmt.Sprintf("user = %q\n", frontUser)
	}
	passwd := s.writeUsers("users", s.accounts)
	path = s.path("sidepop.toml")
	must(s.t, os.WriteFile(path, fmt.Appendf(nil, `hostname = "mx1.example.org"
runtime_dir = %q
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
failure_delay = "20ms" # tests have no time

[index]
state_dir = %q
mark_seen = false # tests look at the files that a session leaves

[log]
level  = "debug"
format = "json"

%s`, s.path("run"), user, pop3, pop3s, s.path(certFile), s.path(keyFile), passwd, s.path("state"), tables), 0o600))
	return path
}

// freePorts picks two ports that nothing listens on.
func freePorts(t testing.TB) (a, b string) {
	t.Helper()
	free, err := ports.Free(2)
	must(t, err)
	return free[0], free[1]
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

// ended waits for the process's end.
func (p *program) ended(within time.Duration) bool {
	select {
	case <-p.exited:
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
