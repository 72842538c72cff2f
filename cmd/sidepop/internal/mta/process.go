package mta

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// process is one of this machine's, or of this container's.
type process struct {
	name string // its program's file name, cut to 15 octets (proc(5), /proc/PID/comm)
	args []string
}

// isMaster says whether a process is a Postfix's master(8).
func isMaster(p process) bool {
	return p.name == "master" && len(p.args) > 0 && strings.Contains(p.args[0], "postfix")
}

// isExim says whether a process is an exim that waits for mail: others of its kind
// deliver one message and end.
func isExim(p process) bool {
	return (p.name == "exim4" || p.name == "exim") &&
		slices.ContainsFunc(p.args, func(arg string) bool { return strings.HasPrefix(arg, "-bd") })
}

// runs says whether a daemon runs: the process whose id is in a file, if that is
// one of the right kind. Where the file cannot be read (Postfix's is root's), or
// there is no name for it, any process of that kind counts.
func (m machine) runs(pidFile string, is func(process) bool) bool {
	if pidFile != "" {
		content, err := os.ReadFile(m.path(pidFile))
		if err == nil {
			pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
			p, ok := m.process(strconv.Itoa(pid))
			return err == nil && ok && is(p)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	entries, _ := os.ReadDir(m.path("/proc"))
	for _, e := range entries {
		if p, ok := m.process(e.Name()); ok && is(p) {
			return true
		}
	}
	return false
}

// process looks at one by its id. It is not seen if it has just ended, or where
// /proc shows nobody others' processes (hidepid).
func (m machine) process(pid string) (p process, ok bool) {
	if strings.Trim(pid, "0123456789") != "" {
		return p, false
	}
	name, err := os.ReadFile(filepath.Join(m.path("/proc"), pid, "comm"))
	if err != nil {
		return p, false
	}
	args, err := os.ReadFile(filepath.Join(m.path("/proc"), pid, "cmdline"))
	p.name = strings.TrimSpace(string(name))
	p.args = strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")
	return p, err == nil
}
