package privilege

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWithoutOverride can't read there what root may not by its mode, nor can what
// it starts; afterwards the process can.
func TestWithoutOverride(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who has the rights that are given up")
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); errno == unix.ENOTSUP {
		// Threads of C libraries, such as the race detector's, keep their rights.
		again := exec.Command("go", "test", "-count=1", "-run", "^TestWithoutOverride$", ".")
		again.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	file := filepath.Join(t.TempDir(), "foreign")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	WithoutOverride(func() {
		if _, err := os.ReadFile(file); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("root without its right reads another's file: %v", err)
		}
		if err := exec.Command("cat", file).Run(); err == nil {
			t.Error("a program that it starts reads it")
		}
	})
	if _, err := os.ReadFile(file); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if err := exec.Command("cat", file).Run(); err != nil {
		t.Errorf("afterwards, a program: %v", err)
	}
}
