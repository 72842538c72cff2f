package version

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestLongAgo(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for since, want := range map[time.Duration]bool{
		-time.Hour: true, -SettleTime: true, -SettleTime + 1: false, 0: false, time.Second: false, time.Hour: true,
	} {
		if got := longAgo(now, syscall.NsecToTimespec(now.Add(since).UnixNano())); got != want {
			t.Errorf("%v: %v", since, got)
		}
	}
}

// TestLook has every change of a file give another version.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	seen := make(map[Version]string)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"none", func() error { return nil }},
		{"one", func() error { return os.WriteFile(file, []byte("a"), 0o600) }},
		{"larger", func() error { return os.WriteFile(file, []byte("ab"), 0o600) }},
		{"older", func() error { return os.Chtimes(file, time.Time{}, time.Unix(1, 0)) }},
		{"another mode", func() error { time.Sleep(20 * time.Millisecond); return os.Chmod(file, 0o640) }},
		{"two", func() error { return os.WriteFile(other, nil, 0o600) }},
		{"replaced", func() error { return os.Rename(other, file) }},
		{"a folder", func() error { return os.Mkdir(other, 0o700) }},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		v, settled := Look(file, other)
		if before, twice := seen[v]; twice {
			t.Errorf("%s: the version is that of %q", step.name, before)
		}
		seen[v] = step.name
		if settled != (step.name == "none") {
			t.Errorf("%s: settled is %v", step.name, settled)
		}
	}
}

// TestUnseen: what can't be seen is settled, unless a fault hides it.
func TestUnseen(t *testing.T) {
	dir := t.TempDir()
	file, loop := filepath.Join(dir, "file"), filepath.Join(dir, "loop")
	for _, err := range []error{os.WriteFile(file, nil, 0o600), os.Symlink("loop", loop)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{filepath.Join(dir, "none"): true, filepath.Join(file, "below"): true, loop: false} {
		if _, settled := Look(path); settled != want {
			t.Errorf("%s: settled is %v", path, settled)
		}
	}
	if v, settled := Look(); v != "" || !settled {
		t.Errorf("no file: %q, %v", v, settled)
	}
}
