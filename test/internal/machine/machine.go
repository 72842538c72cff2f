// Package machine has what tests in a machine of their own share, those beside MTAs
// (test/mta) and those with systemd (test/systemd): they run programs to their end, and
// wait until something is so. Every wait has a limit.
package machine

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	// awaitTime is how long something may take that usually takes a moment, such
	// as a delivery.
	awaitTime = 30 * time.Second

	// PollTime is how long those who wait do nothing before they look again.
	PollTime = 20 * time.Millisecond
)

// Must ends the test at an error that is not what it is about.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Await waits until something is so.
func Await(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(awaitTime); !so(); time.Sleep(PollTime) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", awaitTime, what)
		}
	}
}

// Try runs a program to its end, whatever that is: the status is that of its exit, -1
// after a signal. What it says goes to files: a daemon that it starts may keep them
// open. A program that is not done after limit fails the test.
func Try(t testing.TB, limit time.Duration, stdin, program string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive") // for apt-get
	out, errs := temporary(t), temporary(t)
	defer out.Close()
	defer errs.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), out, errs
	err := cmd.Run()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%s %q: %v", program, args, errors.Join(err, ctx.Err()))
	}
	return content(t, out), content(t, errs), cmd.ProcessState.ExitCode()
}

// temporary makes a file that is gone when it is closed.
func temporary(t testing.TB) *os.File {
	t.Helper()
	f, err := os.CreateTemp("", "")
	Must(t, err)
	Must(t, os.Remove(f.Name()))
	return f
}

func content(t testing.TB, f *os.File) string {
	t.Helper()
	_, err := f.Seek(0, io.SeekStart)
	Must(t, err)
	all, err := io.ReadAll(f)
	Must(t, err)
	return string(all)
}
