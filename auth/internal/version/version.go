// Package version tells whether files are as they were, by what stat(2) says of
// them, so that what was read or asked need not be read or asked again.
package version

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// SettleTime is how long ago a file must have changed for its times to tell it from
// a later version: two writes within the resolution of a file system's clock (FAT
// has 2 s) can leave the same times and size.
const SettleTime = 2 * time.Second

// Version is that of one file or of several: whether each is there, and its device,
// inode, size and times. "" is that of no file at all.
type Version string

// Of is the version of a file that was looked at. Settled says that another version
// of it would differ.
func Of(info fs.FileInfo) (v Version, settled bool) {
	b, settled := appendFile(nil, time.Now(), info)
	return Version(b), settled
}

// Look looks at files. Settled says that other versions of them would differ; it is
// false for a moment after a change, and where a fault hides a file. One that is
// not there, or that this process may not see, is a version too.
func Look(paths ...string) (v Version, settled bool) {
	var b []byte
	now := time.Now()
	settled = true
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			var errno syscall.Errno
			_ = errors.As(err, &errno)
			b = append(b, 0, byte(errno))
			settled = settled && (errno == syscall.ENOENT || errno == syscall.ENOTDIR || errno == syscall.EACCES)
			continue
		}
		var quiet bool
		b, quiet = appendFile(append(b, 1), now, info)
		settled = settled && quiet
	}
	return Version(b), settled
}

func appendFile(b []byte, now time.Time, info fs.FileInfo) (_ []byte, settled bool) {
	s := info.Sys().(*syscall.Stat_t)
	b = binary.NativeEndian.AppendUint64(b, uint64(s.Dev))
	b = binary.NativeEndian.AppendUint64(b, s.Ino)
	b = binary.NativeEndian.AppendUint64(b, uint64(s.Size))
	b = binary.NativeEndian.AppendUint64(b, uint64(s.Mtim.Nano()))
	b = binary.NativeEndian.AppendUint64(b, uint64(s.Ctim.Nano()))
	return b, longAgo(now, s.Mtim) && longAgo(now, s.Ctim)
}

// longAgo says whether a change is far enough from now. One in the future, from
// another machine's clock, is as good as one in the past.
func longAgo(now time.Time, change syscall.Timespec) bool {
	return now.Sub(time.Unix(change.Unix())).Abs() >= SettleTime
}
