package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The roles of a server, as the program and its log call them.
const (
	roleFront  = "front"
	roleKeeper = "keeper"
)

// settleTime is for what a server does without being asked: start a role again,
// read its configuration, give up what a session has held.
const settleTime = 10 * time.Second

// await waits until something holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(settleTime); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, settleTime)
		}
	}
}

// role is the process of a role, another one than before.
func (s *server) role(name string, before int) (pid int) {
	s.t.Helper()
	await(s.t, "a process of the "+name, func() bool {
		pid = child(s.t, s.process.Pid, name)
		return pid != 0 && pid != before
	})
	return pid
}

// kill ends the process of a role at once, as SIGKILL does, and gives its id.
func (s *server) kill(name string) (pid int) {
	s.t.Helper()
	pid = s.role(name, 0)
	kill(s.t, pid)
	return pid
}

func kill(t testing.TB, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	must(t, err)
	must(t, p.Signal(syscall.SIGKILL))
}

// lockHolder is the process that has the index, which its lock file names.
func (s *server) lockHolder() int {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.path("state"), "index.lock"))
	must(s.t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	must(s.t, err)
	return pid
}

// logged waits for lines of the log with a message, n of them at least.
func (s *server) logged(message string, n int) (found []entry) {
	s.t.Helper()
	await(s.t, message+" in the log", func() bool {
		found = nil
		for _, e := range s.entries() {
			if e.Message == message {
				found = append(found, e)
			}
		}
		return len(found) >= n
	})
	return found
}

// mustBeThere tells which files of a maildrop have vanished.
func mustBeThere(t testing.TB, maildir string, mails []mail) {
	t.Helper()
	for _, m := range mails {
		if data, err := os.ReadFile(m.path(maildir)); err != nil {
			t.Error(err)
		} else if string(data) != string(m.data) {
			t.Errorf("%s has other content now", m.path(maildir))
		}
	}
}

// forgetSessions writes into the log that the front was ended, where nobody else
// does: its sessions have no closing line.
func (s *server) forgetSessions() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_WRONLY|os.O_APPEND, 0)
	must(s.t, err)
	defer log.Close()
	_, err = fmt.Fprintf(log, "{\"level\":\"info\",\"message\":%q,\"ended\":%q}\n", msgEnded, roleFront)
	must(s.t, err)
}

// again starts the same server once more after its end.
func (s *server) again() *server {
	s.t.Helper()
	next := *s
	next.program = s.start(exec.Command(sidepop(s.t), "serve", "--config", s.config))
	s.t.Cleanup(next.stop)
	next.awaitReady()
	return &next
}
