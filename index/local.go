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

	// slowRow is how many in a row have to take as long: one may be the work of the
	// system, which had something else to do.
	slowRow = 3

	// slowTime is for how long messages are then opened by calls that may wait. So a
	// scanner keeps the processors from others for so many messages in that time.
	slowTime = time.Second
)

// haste is whether messages are at hand as quickly as they should be.
type haste struct {
	row   atomic.Int32 // that took long, one after the other
	until atomic.Int64 // in nanoseconds since 1970: they are not, until then
}

// at says whether they are.
func (h *haste) at(now time.Time) bool { return now.UnixNano() >= h.until.Load() }

// took notes how long one took.
func (h *haste) took(d time.Duration) {
	switch {
	case d <= slowOpen:
		if h.row.Load() > 0 {
			h.row.Store(0)
		}
	case h.row.Add(1) >= slowRow:
		h.until.Store(time.Now().Add(slowTime).UnixNano())
		h.row.Store(0)
	}
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
