package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sidepop/test/ports"
)

const (
	startTime = 20 * time.Second // for a server to greet
	stopTime  = 20 * time.Second // for a server to end after SIGTERM
)

// server is a POP3 server with mail of its own, in a folder of its own.
type server struct {
	name    string
	version string
	dir     string
	argv    []string

	pop3, pop3s string // HOST:PORT

	// forget removes what the server has learned about the Maildirs.
	forget func() error

	// uidlsDerived says that the UIDLs are the same after forget.
	uidlsDerived bool

	boxes  map[string]*mailbox // by user
	cmd    *exec.Cmd
	exited chan struct{} // closed at its end
}

// site is what the servers have in common.
type site struct {
	dir       string // the temporary folder
	owner     owner
	cert, key string // files, PEM
	users     []string
}

// newServer makes the folders, and picks ports that nothing listens on.
func (s *site) newServer(name, version string) (*server, error) {
	srv := &server{name: name, version: version, dir: filepath.Join(s.dir, name), boxes: make(map[string]*mailbox)}
	if err := os.MkdirAll(srv.path("mail"), 0o755); err != nil {
		return nil, err
	}
	for _, user := range s.users {
		m, err := newMailbox(srv.path("mail/"+user), user, s.owner)
		if err != nil {
			return nil, err
		}
		srv.boxes[user] = m
	}
	free, err := ports.Free(2)
	if err != nil {
		return nil, err
	}
	srv.pop3, srv.pop3s = free[0], free[1]
	return srv, s.writeUsers(srv)
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

// port is an address's port.
func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// usersFile is the passwd file that sidepop and Dovecot read alike.
const usersFile = "users"

func (s *site) writeUsers(srv *server) error {
	var users strings.Builder
	for _, user := range s.users {
		fmt.Fprintf(&users, "%s:{PLAIN}%s:%d:%d::%s\n", user, password, s.owner.uid, s.owner.gid, srv.path("mail/"+user))
	}
	// The password is no secret, and the servers read it as different users.
	return os.WriteFile(srv.path(usersFile), []byte(users.String()), 0o644)
}

// start starts the server and logs in once, so that it has done what it does
// only once.
func (s *server) start(ctx context.Context) error {
	log, err := os.OpenFile(s.path("log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.argv[0], s.argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	// Ctrl-C is for this program, which then stops the servers.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited

	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := s.hello()
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			s.cmd = nil
			return s.failed("ended at its start: %v", cmd.ProcessState)
		case <-ctx.Done():
			return s.failed("does not serve: %v", err)
		case <-time.After(lookEvery):
		}
	}
}

// hello is a session of the first user.
func (s *server) hello() error {
	c, err := dial(s.pop3, 0, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.login(s.boxes[manyUser(0)]); err != nil {
		return err
	}
	return c.quit()
}

// failed is an error with the end of the server's log.
func (s *server) failed(format string, args ...any) error {
	const most = 2000
	log, _ := os.ReadFile(s.path("log"))
	return fmt.Errorf("%s %s\n%s", s.name, fmt.Sprintf(format, args...), log[max(0, len(log)-most):])
}

// pid is the id of the server's first process.
func (s *server) pid() int { return s.cmd.Process.Pid }

// running says whether the server was started and has not ended since.
func (s *server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// stop ends the server, and what is left of it.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.exited:
		return nil
	case <-time.After(stopTime):
	}
	tree, _ := processTree(cmd.Process.Pid)
	for _, p := range tree {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	<-s.exited
	return s.failed("runs %v after SIGTERM", stopTime)
}

// restart stops the server, removes what it knows of the Maildirs if asked to,
// and starts it.
func (s *server) restart(ctx context.Context, forget bool) error {
	if err := s.stop(); err != nil {
		return err
	}
	if forget {
		if err := s.forget(); err != nil {
			return err
		}
		if !s.uidlsDerived {
			for _, m := range s.boxes {
				m.listedMessages = 0
			}
		}
	}
	return s.start(ctx)
}
