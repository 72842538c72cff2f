package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 7 42 42 0 -1 4194560 1 2 3 4 50 25 100 300 20 0 1 0 1 2 3"
	want := process{pid: 42, parent: 7, own: 750 * time.Millisecond, reaped: 4 * time.Second}
	for _, name := range []string{"x", "", "a b", ") S 1 (", "((", "dovecot/log"} {
		got, err := parseStat("42 (" + name + ")" + rest)
		if err != nil || got != want {
			t.Errorf("name %q: %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, line := range []string{"", "42", "42 x S 7", "42 (x)", "42 (x) S 7 42", "x (x)" + rest, "42 (x) S y" + rest} {
		if p, err := parseStat(line); err == nil {
			t.Errorf("%q: %+v, expected an error", line, p)
		}
	}
}

func TestParsePss(t *testing.T) {
	got, err := parsePss("00400000-7ff [rollup]\nRss:   9 kB\nPss:   1234 kB\nPss_Dirty:  5 kB\n")
	if err != nil || got != 1234<<10 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := parsePss("Rss: 9 kB\n"); err == nil {
		t.Error("no error without Pss")
	}
}

// burnVariable makes the test binary use CPU time: in a child that it waits for,
// then itself, then it sleeps on until its standard input ends.
const burnVariable = "BENCH_TEST_BURN"

const burnTime = 200 * time.Millisecond

func TestMain(m *testing.M) {
	switch os.Getenv(burnVariable) {
	case "":
		os.Exit(m.Run())
	case "child":
		burn()
	case "parent":
		child := exec.Command("/proc/self/exe")
		child.Env = []string{burnVariable + "=child"}
		if err := child.Run(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		burn()
		sleeper := exec.Command("cat") // a live child, at rest
		sleeper.Stdin = os.Stdin
		if err := sleeper.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(sleeper.Process.Pid)
		_ = sleeper.Wait()
	}
}

// burn uses CPU time of this process.
func burn() {
	var used syscall.Rusage
	for time.Duration(used.Utime.Nano()+used.Stime.Nano()) < burnTime {
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	}
}

// TestTreeCPU has a process that uses as much as a child that has ended, and
// another child that lives.
func TestTreeCPU(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{burnVariable + "=parent", "PATH=" + os.Getenv("PATH")}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		if tree, err := processTree(cmd.Process.Pid); err == nil {
			t.Errorf("a process that has ended has the tree %+v", tree)
		}
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	sleeper, err := strconv.Atoi(line[:max(0, len(line)-1)])
	if err != nil {
		t.Fatal(line)
	}
	cpu, err := settledCPU(cmd.Process.Pid, quiet)
	if err != nil {
		t.Fatal(err)
	}
	// Each part is rounded down to a tick; starting the processes costs some.
	if least, most := 2*burnTime-4*tick, 3*burnTime; cpu < least || cpu > most {
		t.Errorf("CPU time %v, expected %v to %v", cpu, least, most)
	}
	tree, err := processTree(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(pids(tree)), fmt.Sprint([]int{min(cmd.Process.Pid, sleeper), max(cmd.Process.Pid, sleeper)}); got != want {
		t.Errorf("tree is %s, want %s", got, want)
	}
	memory, err := treeMemory(cmd.Process.Pid)
	if err != nil || memory < 1<<20 {
		t.Errorf("memory %d, %v, expected more than 1 MiB", memory, err)
	}
}
