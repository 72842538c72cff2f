package index

import (
	"time"

	"golang.org/x/sys/unix"
)

// slowOpen is more than it takes to open what is in memory, many times over. Where it
// takes as long others have a say: a virus scanner, or integrity checks.
const slowOpen = time.Millisecond

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
