package test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat on every Linux that Go runs
// on (sysconf(_SC_CLK_TCK)).
const tick = 10 * time.Millisecond

// memory is the server's resident memory in bytes, proc_pid_status(5).
func (s *server) memory() int64 {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Pid))
	must(s.t, err)
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			must(s.t, err)
			return kib << 10
		}
	}
	s.t.Fatal("no VmRSS: the server has ended")
	return 0
}

// cpu is the CPU time that the server has used, proc_pid_stat(5): fields 14 and
// 15, counted after the name in parentheses, which is the second.
func (s *server) cpu() time.Duration {
	s.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Pid))
	must(s.t, err)
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int64
	for _, field := range []string{f[14-3], f[15-3]} {
		n, err := strconv.ParseInt(field, 10, 64)
		must(s.t, err)
		ticks += n
	}
	return time.Duration(ticks) * tick
}
