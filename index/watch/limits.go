package watch

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLimit says that the kernel grants no more watches or instances. The text
// around it says which limit that is and how to raise it.
var ErrLimit = errors.New("the kernel's inotify limit is reached")

// ErrNoNotification says that a directory is on a file system where inotify
// does not tell what other machines, or the program behind it, change.
var ErrNoNotification = errors.New("inotify does not tell all changes on this file system")

// remoteFileSystems has, by statfs(2)'s magic number, the file systems whose
// content changes without passing through this kernel. Those without a name in
// <linux/magic.h> have the number of their own sources.
var remoteFileSystems = map[uint32]string{
	unix.AFS_FS_MAGIC:      "AFS",
	unix.AFS_SUPER_MAGIC:   "AFS",
	unix.CEPH_SUPER_MAGIC:  "Ceph",
	unix.CIFS_SUPER_MAGIC:  "CIFS",
	unix.CODA_SUPER_MAGIC:  "Coda",
	unix.FUSE_SUPER_MAGIC:  "FUSE",
	unix.NCP_SUPER_MAGIC:   "NCP",
	unix.NFS_SUPER_MAGIC:   "NFS",
	unix.OCFS2_SUPER_MAGIC: "OCFS2",
	unix.SMB2_SUPER_MAGIC:  "SMB",
	unix.SMB_SUPER_MAGIC:   "SMB",
	unix.V9FS_MAGIC:        "9p",
	0x01161970:             "GFS2",
	0x0bd00bd0:             "Lustre",
	0x19830326:             "BeeGFS",
	0x20030528:             "OrangeFS",
	0x47504653:             "GPFS",
	0x786f4256:             "vboxsf",
}

// checkFileSystem refuses the directory fd if it is on a remote file system.
func checkFileSystem(fd int) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return err
	}
	if name, ok := remoteFileSystems[uint32(st.Type)]; ok {
		return fmt.Errorf("%w: %s", ErrNoNotification, name)
	}
	return nil
}

// Limit gives the kernel's limit on what, "watches" or "instances", of a user, and
// its name as sysctl(8) has it. There are two, one of the host and one of the user
// namespace; the lower one counts. The name is "" where neither can be read.
func Limit(what string) (name string, value uint64) {
	value = math.MaxUint64
	for _, s := range []string{"fs.inotify.max_user_" + what, "user.max_inotify_" + what} {
		b, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(s, ".", "/"))
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 63); err == nil && n < value {
			name, value = s, n
		}
	}
	return name, value
}

// limitError names the limit on what, and a better value.
func limitError(what string, cause error) error {
	name, value := Limit(what)
	if name == "" {
		return fmt.Errorf("%w: %w", ErrLimit, cause)
	}
	set := fmt.Sprintf("%s=%d", name, 2*max(value, 1))
	return fmt.Errorf("%w: %s is %d (%w); raise it with \"sysctl %s\" and the line %q in /etc/sysctl.d/60-sidepop.conf",
		ErrLimit, name, value, cause, set, set)
}
