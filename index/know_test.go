package index

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// TestKnow: what is known is taken up in the background, which ends with the index.
func TestKnow(t *testing.T) {
	const mailboxes = 50
	root := t.TempDir()
	var closed atomic.Bool
	var sections, late atomic.Int32
	o := Options{State: t.TempDir(), Measure: drain, As: func(_ Owner, f func() error) error {
		sections.Add(1)
		time.Sleep(10 * time.Millisecond) // a slow disk
		if closed.Load() {
			late.Add(1)
		}
		return f()
	}}
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	know := func() {
		for i := range mailboxes {
			x.Know(filepath.Join(root, fmt.Sprint(i)), self)
		}
	}
	begun := time.Now()
	know()
	know()
	if took := time.Since(begun); took > mailboxes*10*time.Millisecond/2 {
		t.Errorf("Know took %v", took)
	}
	eventually(t, "the first one is looked at", func() bool { return sections.Load() > 0 })
	if err := x.Close(); err != nil {
		t.Error(err)
	}
	closed.Store(true)
	before := sections.Load()
	know()
	time.Sleep(50 * time.Millisecond)
	if n := sections.Load() - before; n > 0 || late.Load() > 0 || before >= mailboxes {
		t.Errorf("%d sections before Close, %d after it, %d of them not waited for", before, n, late.Load())
	}
}
