package program

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func shell(t *testing.T, o Options, script string, args ...string) (Result, error) {
	t.Helper()
	return Run(context.Background(), o, "/bin/sh", append([]string{"-c", script, "tool"}, args...)...)
}

func TestRun(t *testing.T) {
	t.Setenv("MAIL_CONFIG", "/elsewhere")
	for _, tc := range []struct {
		name, script string
		o            Options
		args         []string
		want         Result
	}{
		{"output", "echo a; echo b >&2", Options{}, nil, Result{[]byte("a\n"), []byte("b\n"), 0}},
		{"status", "exit 7", Options{}, nil, Result{nil, nil, 7}},
		{"arguments are not expanded", `printf '%s|' "$@"`, Options{}, []string{"$HOME", "", "a b", "*"}, Result{[]byte("$HOME||a b|*|"), nil, 0}},
		{"input", "cat", Options{Stdin: []byte("in")}, nil, Result{[]byte("in"), nil, 0}},
		{"no input", "cat", Options{}, nil, Result{}},
		{"input that nobody reads", "exit 0", Options{Stdin: make([]byte, 1<<20)}, nil, Result{}},
		{"folder", "pwd", Options{}, nil, Result{[]byte("/\n"), nil, 0}},
		{"folder given", "pwd", Options{Dir: "/usr"}, nil, Result{[]byte("/usr\n"), nil, 0}},
		{"environment", `echo "$LANG $LC_ALL $MAIL_CONFIG $HOME $PATH"`, Options{}, nil, Result{[]byte("C C   " + Path + "\n"), nil, 0}},
		{"as much as is allowed", "head -c 262144 /dev/zero | tr '\\0' x", Options{}, nil, Result{[]byte(strings.Repeat("x", MaxOutput)), nil, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := shell(t, tc.o, tc.script, tc.args...)
			if err != nil || string(got.Stdout) != string(tc.want.Stdout) || string(got.Stderr) != string(tc.want.Stderr) || got.Status != tc.want.Status {
				t.Errorf("%.200q, %.200q, %d, %v", got.Stdout, got.Stderr, got.Status, err)
			}
		})
	}
}

func TestRunFails(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		o            Options
		is           error
		text         string
	}{
		{"too long", "sleep 100", Options{Timeout: 50 * time.Millisecond}, ErrTimeout, "/bin/sh: it took too long"},
		{"too long, and deaf", "trap '' TERM INT HUP; sleep 100; sleep 100", Options{Timeout: 50 * time.Millisecond}, ErrTimeout, ""},
		{"too much", "yes", Options{}, ErrOutput, "/bin/sh: it printed too much"},
		{"too much on standard error", "yes >&2", Options{}, ErrOutput, ""},
		{"one byte too much", "head -c 262145 /dev/zero", Options{}, ErrOutput, ""},
		{"signal", "kill -SEGV $$", Options{}, nil, "it died: signal: segmentation fault"},
		{"no such folder", "", Options{Dir: "/nonexistent"}, os.ErrNotExist, ""},
		{"a process left behind", "sleep 100 & exit 0", Options{}, nil, "a process that it started did not"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, err := shell(t, tc.o, tc.script)
			if err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%v", err)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

func TestRunCannotStart(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(data, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"sh", "./sh", "", "/nonexistent/tool", "/", data} {
		if r, err := Run(context.Background(), Options{}, path); err == nil {
			t.Errorf("%q ran: %+v", path, r)
		}
	}
}

func TestRunCancelled(t *testing.T) {
	cause := errors.New("the client left")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	if _, err := Run(ctx, Options{}, "/bin/sleep", "100"); !errors.Is(err, cause) {
		t.Errorf("while it ran: %v", err)
	}
	if _, err := Run(ctx, Options{}, "/bin/sleep", "100"); !errors.Is(err, cause) {
		t.Errorf("before it ran: %v", err)
	}
}

// What a tool started dies with it.
func TestRunKillsGroup(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	_, err := shell(t, Options{Timeout: 300 * time.Millisecond}, `sleep 100 & echo $! >"$1"; wait`, pid)
	if !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		// A zombie that nobody reaps yet has no command line.
		line, err := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/cmdline")
		if err != nil || len(line) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the tool's child outlived it")
}

func TestComplaint(t *testing.T) {
	long := strings.Repeat("é", 400)
	for in, want := range map[string]string{
		"":              "",
		" \n":           "",
		"a: b\n":        "a: b",
		"a\nb\n":        "a; b",
		"a\x00\x1b[1mb": "a  [1mb",
		"\xff":          " ",
		long:            strings.Repeat("é", 148) + "...",
	} {
		if got := (Result{Stderr: []byte(in)}).Complaint(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	folder := t.TempDir()
	tool := filepath.Join(folder, "tool")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "data"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder)
	for _, tc := range []struct{ name, folder, want string }{
		{"tool", folder, tool},
		{"tool", "", tool},
		{"tool", "/nonexistent", ""},
		{"data", folder, ""},
		{"data", "", ""},
		{"sh", folder, ""},
	} {
		if path, ok := Find(tc.name, tc.folder); path != tc.want || ok != (tc.want != "") {
			t.Errorf("%q in %q: %q %v", tc.name, tc.folder, path, ok)
		}
	}
	if path, ok := Find("sh", ""); !ok || !strings.HasSuffix(path, "/sh") {
		t.Errorf("sh outside PATH: %q %v", path, ok)
	}
	// A PATH that is relative would make whoever owns the folder root.
	t.Chdir(folder)
	t.Setenv("PATH", ".")
	if path, ok := Find("tool", ""); ok {
		t.Errorf("found %q in the working folder", path)
	}
}

// TestAs runs a tool as somebody else, in none of root's groups.
func TestAs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may run a tool as somebody else")
	}
	r, err := shell(t, Options{As: &syscall.Credential{Uid: 65534, Gid: 65533}}, "id -u; id -g; id -G")
	if err != nil || string(r.Stdout) != "65534\n65533\n65533\n" {
		t.Errorf("got %q, %v", r.Stdout, err)
	}
}
