package postfix

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowConf notes when it begins and when it ends.
const slowConf = `#!/bin/sh
dir=$(dirname "$0")/etc
echo + >>"$dir/conf.marks"
sleep 0.02
echo "config_directory = $dir"
cat "$dir/main.cf"
echo - >>"$dir/conf.marks"
`

// However many ask at once, a main.cf that has just changed does not start a process
// for each of them.
func TestFewToolsAtOnce(t *testing.T) {
	f := newFake(t, "virtual_mailbox_domains = virt.example\n")
	if err := os.WriteFile(f.postconf, []byte(slowConf), 0o755); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := os.Chtimes(filepath.Join(f.dir, "main.cf"), now, now); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if is, err := f.VirtualDomain(t.Context(), "virt.example"); err != nil || !is {
				t.Errorf("%v, %v", is, err)
			}
			if got := f.Bare("Joe+1@virt.example"); got != "joe@virt.example" {
				t.Errorf("bare: %q", got)
			}
		})
	}
	all.Wait()
	marks, err := os.ReadFile(filepath.Join(f.dir, "conf.marks"))
	if err != nil {
		t.Fatal(err)
	}
	running, most := 0, 0
	for mark := range strings.Lines(string(marks)) {
		if mark == "+\n" {
			running++
		} else {
			running--
		}
		most = max(most, running)
	}
	if most > lookups {
		t.Errorf("%d at once, of %d", most, strings.Count(string(marks), "+"))
	}
}
