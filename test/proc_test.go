package test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tick is the unit of the times in /proc/PID/stat on every Linux that Go runs
// on (sysconf(_SC_CLK_TCK)).
const tick = 10 * time.Millisecond

// memory is the resident memory of the server with its roles, in bytes,
// proc_pid_status(5).
func (s *server) memory() (sum int64) {
	s.t.Helper()
	for _, pid := range s.processes() {
		kib, err := strconv.ParseInt(strings.Fields(status(s.t, fmt.Sprint(pid))["VmRSS"])[0], 10, 64)
		must(s.t, err)
		sum += kib << 10
	}
	return sum
}

// cpu is the CPU time that they have used, proc_pid_stat(5): fields 14 and 15.
func (s *server) cpu() time.Duration {
	s.t.Helper()
	var ticks int64
	for _, pid := range s.processes() {
		f := stat(pid)
		if f == nil {
			s.t.Fatalf("process %d has ended", pid)
		}
		for _, field := range []string{f[14-3], f[15-3]} {
			n, err := strconv.ParseInt(field, 10, 64)
			must(s.t, err)
			ticks += n
		}
	}
	return time.Duration(ticks) * tick
}

// stat is /proc/PID/stat from field 3 on: what comes after the name in
// parentheses. Nil: there is no such process.
func stat(pid int) []string {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(line[bytes.LastIndexByte(line, ')')+1:]))
}

// status is /proc/PID/status; of a thread: pid is PID/task/TID.
func status(t testing.TB, pid string) map[string]string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + pid + "/status")
	must(t, err)
	fields := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

// processes are the server and its roles.
func (s *server) processes() []int {
	s.t.Helper()
	pids := []int{s.process.Pid}
	for _, role := range []string{roleKeeper, roleFront} {
		pids = append(pids, s.role(role, 0))
	}
	return pids
}

// child finds a process of a role among the children of another one; 0: there is
// none.
func child(t testing.TB, parent int, role string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	must(t, err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f := stat(pid); len(f) < 2 || f[0] == "Z" || f[4-3] != strconv.Itoa(parent) {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if args := strings.Split(string(line), "\x00"); err == nil && len(args) > 1 && args[1] == role {
			return pid
		}
	}
	return 0
}

// descriptors is what the open descriptors of a process are, proc_pid_fd(5).
func descriptors(t testing.TB, pid int) map[string]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	must(t, err)
	open := make(map[string]string)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed meanwhile
		}
		must(t, err)
		open[e.Name()] = target
	}
	return open
}
