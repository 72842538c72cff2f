package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of the times in /proc/PID/stat on every Linux that Go runs
// on (sysconf(_SC_CLK_TCK)).
const tick = 10 * time.Millisecond

// process is a line of /proc/PID/stat, proc_pid_stat(5).
type process struct {
	pid, parent int
	own         time.Duration // user and system time of all its threads
	reaped      time.Duration // that of the children it has waited for, and of theirs
}

// parseStat reads the line. The name, in parentheses, may hold any byte.
func parseStat(line string) (process, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return process{}, fmt.Errorf("stat line %q", line)
	}
	// Fields are numbered from 1 there; the name is field 2.
	f := strings.Fields(line[end+1:])
	numbers := [...]string{strings.TrimSpace(line[:open]), 1: "", 2: "", 3: "", 4: "", 5: ""}
	for i, field := range []int{4, 14, 15, 16, 17} {
		if field-3 >= len(f) {
			return process{}, fmt.Errorf("stat line %q is short", line)
		}
		numbers[i+1] = f[field-3]
	}
	var v [len(numbers)]int
	for i, number := range numbers {
		var err error
		if v[i], err = strconv.Atoi(number); err != nil {
			return process{}, fmt.Errorf("stat line %q: %w", line, err)
		}
	}
	return process{
		pid:    v[0],
		parent: v[1],
		own:    time.Duration(v[2]+v[3]) * tick,
		reaped: time.Duration(v[4]+v[5]) * tick,
	}, nil
}

// processTree gives a process and all that descend from it, in no order. Those
// that end meanwhile may be missing.
func processTree(root int) ([]process, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]process)
	var tree []process
	for _, name := range stats {
		line, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		} else if err != nil {
			return nil, err
		}
		p, err := parseStat(string(line))
		if err != nil {
			return nil, err
		}
		if p.pid == root {
			tree = append(tree, p)
		} else {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	if len(tree) == 0 {
		return nil, fmt.Errorf("process %d has ended", root)
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree, nil
}

// treeCPU is the CPU time of a process tree, those that have ended included as
// far as they were waited for.
func treeCPU(tree []process) time.Duration {
	var sum time.Duration
	for _, p := range tree {
		sum += p.own + p.reaped
	}
	return sum
}

// pids are the ids of a process tree, in order.
func pids(tree []process) []int {
	ids := make([]int, 0, len(tree))
	for _, p := range tree {
		ids = append(ids, p.pid)
	}
	slices.Sort(ids)
	return ids
}

const (
	lookEvery  = 20 * time.Millisecond // how often settledCPU looks
	settleTime = 20 * time.Second      // after which a server counts as busy for good
)

// settledCPU waits until a process tree has neither used CPU time nor changed for
// a while, and gives its CPU time. So what a server does after its answer
// counts, and no process is missed between its end and its parent's notice. A
// server that does not come to rest is an error: the figure would be of no use.
func settledCPU(root int, quiet time.Duration) (time.Duration, error) {
	var last []process
	begin := time.Now()
	since := begin
	for {
		tree, err := processTree(root)
		if err != nil {
			return 0, err
		}
		now := time.Now()
		if treeCPU(tree) != treeCPU(last) || !slices.Equal(pids(tree), pids(last)) {
			last, since = tree, now
		}
		if now.Sub(since) >= quiet {
			return treeCPU(tree), nil
		}
		if now.Sub(begin) > settleTime {
			return 0, fmt.Errorf("process %d is still busy after %v", root, settleTime)
		}
		time.Sleep(lookEvery)
	}
}

// treeMemory is the memory of a process tree in bytes, memory that processes
// share being divided among them (proc_pid_smaps(5): Pss).
func treeMemory(root int) (int64, error) {
	tree, err := processTree(root)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, p := range tree {
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended, or is about to
		} else if err != nil {
			return 0, err
		}
		share, err := parsePss(string(rollup))
		if err != nil {
			return 0, fmt.Errorf("process %d: %w", p.pid, err)
		}
		sum += share
	}
	return sum, nil
}

func parsePss(rollup string) (int64, error) {
	for line := range strings.Lines(rollup) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" && f[2] == "kB" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no Pss in smaps_rollup")
}
