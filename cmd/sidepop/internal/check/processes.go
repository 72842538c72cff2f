package check

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Process is a running program.
type Process struct {
	PID  int
	Name string // as ps(1) shows it; the program chooses it
	Unit string // of systemd; "" if it is of none
}

// Processes is what the programs of this machine have open.
type Processes struct {
	// Instances is how many of inotify(7) each user has.
	Instances map[uint32]int

	sockets map[string][]int // process ids by the inode in decimal
}

// OpenFiles looks through /proc (proc(5)). Processes that begin and end meanwhile
// may be missing.
func OpenFiles() (*Processes, error) {
	ps := &Processes{Instances: make(map[uint32]int), sockets: make(map[string][]int)}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			ps.add(pid)
		}
	}
	return ps, nil
}

// add looks at one process.
func (ps *Processes) add(pid int) {
	dir := processPath(pid, "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it has ended, or this user may not see it
	}
	fi, err := os.Stat(processPath(pid, ""))
	if err != nil {
		return // it has ended
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		if target == "anon_inode:inotify" {
			ps.Instances[fi.Sys().(*syscall.Stat_t).Uid]++
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inode = strings.TrimSuffix(inode, "]")
			ps.sockets[inode] = append(ps.sockets[inode], pid)
		}
	}
}

// holders are the programs that have a socket, each once.
func (ps *Processes) holders(inode string) (all []Process) {
	seen := make(map[int]bool)
	for _, pid := range ps.sockets[inode] {
		if seen[pid] {
			continue
		}
		seen[pid] = true
		if p, ok := process(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

// process says what runs as a process; ok is false if it has ended.
func process(pid int) (p Process, ok bool) {
	name, err := os.ReadFile(processPath(pid, "comm"))
	if err != nil {
		return p, false
	}
	groups, _ := os.ReadFile(processPath(pid, "cgroup")) // without it there is no unit
	return Process{pid, strings.TrimSpace(string(name)), unitOf(string(groups))}, true
}

// unitOf finds the service in the control groups of a process (cgroups(7)).
func unitOf(groups string) string {
	for line := range strings.Lines(groups) {
		for dir := strings.TrimSpace(line); strings.Contains(dir, "/"); dir = path.Dir(dir) {
			if unit := path.Base(dir); strings.HasSuffix(unit, ".service") {
				return unit
			}
			if dir == "/" {
				break
			}
		}
	}
	return ""
}

// FileLimit is how many files a process may have open; ok is false where that
// can't be seen.
func FileLimit(pid int) (limit uint64, ok bool) {
	text, err := os.ReadFile(processPath(pid, "limits"))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		rest, found := strings.CutPrefix(line, "Max open files")
		if fields := strings.Fields(rest); found && len(fields) > 0 {
			limit, err = strconv.ParseUint(fields[0], 10, 64)
			return limit, err == nil
		}
	}
	return 0, false
}

func processPath(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}
