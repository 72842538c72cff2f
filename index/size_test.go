package index

import (
	"testing"
	"unsafe"
)

// TestEntrySize: a hundred bytes beside the name, with a pointer in a list of
// its own order.
func TestEntrySize(t *testing.T) {
	if size := unsafe.Sizeof(entry{}); size > 80 {
		t.Errorf("an entry takes %d bytes, which the allocator rounds up to more than 80", size)
	}
}
