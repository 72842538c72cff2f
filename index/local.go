package index

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// slowOpen is more than it takes to open what is in memory, many times over. Where
	// it takes as long others have a say: a virus scanner, or integrity checks.
	slowOpen = time.Millisecond

	// verySlow is what nobody else explains. Less may be the work of the system, which
	// had something else to do.
	verySlow = 100 * slowOpen

	// slowOpens is how many that are slow count like one that is very slow. Each that
	// is quick takes back a part of one, so that a few among many never come to that.
	slowOpens = 3
	slowParts = 16

	// After that messages are opened by calls that may wait: for slowTimes as long as
	// the last one took, and at least and at most for these times. So a scanner keeps
	// a processor from others for a thirtieth of the time.
	slowTimes    = 30
	leastCareful = time.Second
	mostCareful  = time.Minute
)

// haste tells when to use openCached.
type haste struct {
	slow  atomic.Int32 // in slowParts
	until atomic.Int64 // since beginning: not before then
}

// beginning is what haste's times count from, whatever becomes of the clock.
var beginning = time.Now()

// allows says whether to try openCached.
func (h *haste) allows(now time.Time) bool {
	return now.Sub(beginning) >= time.Duration(h.until.Load())
}

// took notes how long openCached took to open a file, or not to.
func (h *haste) took(d time.Duration, err error) {
	switch {
	case d > verySlow:
		h.slow.Store(slowOpens * slowParts)
	case d > slowOpen:
		h.slow.Add(slowParts)
	case err == nil: // or perhaps nobody was asked
		if slow := h.slow.Load(); slow > 0 {
			h.slow.CompareAndSwap(slow, slow-1)
		}
	}
	if h.slow.Load() < slowOpens*slowParts {
		return
	}
	h.slow.Store((slowOpens - 1) * slowParts) // so that the next time takes only one
	careful := min(max(slowTimes*d, leastCareful), mostCareful)
	h.until.Store(int64(time.Since(beginning) + careful))
}

// isLocal says whether a directory is on a file system that waits for nobody but the
// disks of this machine. On others, such as those of a network, to open a file may take
// for ever, even if its name is in memory.
func isLocal(fd int) bool {
	var st unix.Statfs_t
	if retry(func() error { return unix.Fstatfs(fd, &st) }) != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}
