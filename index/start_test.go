package index

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// TestStart logs in right after the start, while the index begins to watch all
// mailboxes that it knows, and delivers mail at that moment.
func TestStart(t *testing.T) {
	const mailboxes = 40
	o := Options{State: memory(t)}
	root := memory(t)
	dir := func(i int) string { return filepath.Join(root, fmt.Sprint(i)) }
	x := newIndex(t, o)
	for i := range mailboxes {
		makeNumbered(t, dir(i), 2)
		listing(t, x, dir(i))
	}
	for i := range 150 {
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = newIndex(t, o)
		w := &writer{TB: t, dir: dir(rand.IntN(mailboxes))}
		for k := range 4 {
			name := fmt.Sprintf("1800000000.M%dP%d.start", i, k)
			w.deliverAs(name)
			if got := listing(t, x, w.dir); !slices.Contains(got, name+" 2 3") {
				t.Fatalf("start %d: %s was delivered before the login and is not seen", i, name)
			}
		}
	}
}
