package privilege

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestWithoutOverride can't read there what root may not by its mode, nor can what
// it starts; afterwards the process can.
func TestWithoutOverride(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who has the rights that are given up")
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
