package wire

import (
	"path/filepath"
	"strings"
	"testing"

	"sidepop/pop3"
	"sidepop/pop3/internal/dialog"
)

// TestDialogs runs every dialog of package pop3 through the wire. That the
// keeper's side closes everything is checked when it is stopped, that the front's
// does by dialog.Run.
func TestDialogs(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogs: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			dialog.Run(t, file, func(b pop3.Backend) pop3.Backend {
				k := newKeeper(t, b)
				k.offers(b)
				f := newFront(t, k)
				within(t, "offers", f.settings)
				return f
			})
		})
	}
}
