// Package program runs the tools of other software, such as those that say how
// a mail server is configured, and reads what they print.
//
// Invariants:
//   - A tool is bound in time and output, together with what it starts: when a
//     bound is reached its process group is killed. (A grandchild that makes a
//     session of its own escapes that, but holds nobody up.)
//   - A tool gets no environment but [Path] and the C locale, no standard input
//     unless one is given, no open descriptor, and no shell between.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// DefaultTimeout is far above what a tool that reads files needs, and below
	// what a client waits for the answer to a login.
	DefaultTimeout = 10 * time.Second

	// MaxOutput limits each of standard output and standard error, in bytes. All
	// parameters of a Postfix are 50 KiB.
	MaxOutput = 256 << 10

	// Path is where a tool finds the tools that it uses.
	Path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

	// release is how long descendants may hold the output open after the tool
	// itself has ended.
	release = time.Second
)

// Errors that [Run] wraps. When the caller's context ends, the error wraps that
// context's cause instead.
var (
	ErrTimeout = errors.New("it took too long and was killed")
	ErrOutput  = errors.New("it printed too much and was killed")
)

// Options bound one run.
type Options struct {
	Timeout time.Duration // 0: DefaultTimeout
	Stdin   []byte        // nil: the null device
	Dir     string        // working folder; "": "/"

	// As is whom the tool runs as; nil: whom this process does. It takes the
	// rights to change user and groups, and works where the tool has none.
	As *syscall.Credential
}

// Result is what a tool that ended by itself left behind.
type Result struct {
	Stdout, Stderr []byte // at most MaxOutput each
	Status         int    // exit status
}

// Run runs the tool at path, which has to be absolute, and waits for its end. An
// exit status other than 0 is no error: there is one when the tool could not be
// started, did not end by itself, reached a bound, or left a process behind that
// kept its output open. The error names the tool, but not its arguments.
func Run(ctx context.Context, o Options, path string, args ...string) (Result, error) {
	if !filepath.IsAbs(path) {
		return Result{}, fmt.Errorf("%s: not an absolute path", path)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Dir == "" {
		o.Dir = "/"
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, ErrTimeout)
	defer cancel()

	stdout, stderr := &output{full: stop}, &output{full: stop}
	c := exec.CommandContext(ctx, path, args...)
	c.Env = []string{"PATH=" + Path, "LANG=C", "LC_ALL=C"}
	c.Dir = o.Dir
	c.Stdout, c.Stderr = stdout, stderr
	if o.Stdin != nil {
		c.Stdin = bytes.NewReader(o.Stdin)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: o.As}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = release
	err := c.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		// The group still is what holds the output open, so its number is not
		// anybody else's.
		_ = c.Cancel()
	}

	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && err != nil:
		return Result{}, fmt.Errorf("%s: %w", path, context.Cause(ctx))
	case err == nil, errors.As(err, &exit) && exit.Exited():
		return Result{stdout.data, stderr.data, c.ProcessState.ExitCode()}, nil
	case errors.Is(err, exec.ErrWaitDelay):
		return Result{}, fmt.Errorf("%s: it ended, but a process that it started did not", path)
	}
	var failed *exec.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	if errors.As(err, &exit) {
		return Result{}, fmt.Errorf("%s: it died: %w", path, err)
	}
	return Result{}, fmt.Errorf("%s: %w", path, err)
}

// output keeps what a tool prints, and has it killed when that is too much.
type output struct {
	data []byte
	full context.CancelCauseFunc
}

func (o *output) Write(b []byte) (int, error) {
	if len(o.data)+len(b) > MaxOutput {
		o.full(ErrOutput)
		return 0, io.ErrShortWrite
	}
	o.data = append(o.data, b...)
	return len(b), nil
}

// MaxComplaint limits a complaint in bytes: it becomes part of a line of a log.
const MaxComplaint = 300

// Complaint is what the tool printed on standard error, made fit for an error's
// text: one line, printable, at most MaxComplaint bytes; "" if it was silent.
func (r Result) Complaint() string {
	text := strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7F || c == '\uFFFD' {
			return ' '
		}
		return c
	}, strings.ReplaceAll(strings.TrimSpace(string(r.Stderr)), "\n", "; "))
	if len(text) <= MaxComplaint {
		return text
	}
	return strings.ToValidUTF8(text[:MaxComplaint-3], "") + "..."
}

// Find gives the absolute path of a tool: the one in folder, or with folder ""
// the first in this process's PATH and then in [Path].
func Find(name, folder string) (path string, ok bool) {
	folders := filepath.SplitList(Path)
	if folder != "" {
		folders = []string{folder}
	} else if path, err := exec.LookPath(name); err == nil && filepath.IsAbs(path) {
		return path, true
	}
	for _, folder := range folders {
		// A path with a slash is looked at and not searched for.
		path, err := filepath.Abs(filepath.Join(folder, name))
		if err != nil {
			continue
		}
		if path, err := exec.LookPath(path); err == nil {
			return path, true
		}
	}
	return "", false
}
