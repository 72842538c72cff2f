package watch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mountTable can be polled for changes of the mount table (proc_pid_mountinfo(5)).
const mountTable = "/proc/self/mountinfo"

// mounts says whether the mount table has changed.
type mounts struct {
	fd      int
	changed bool // since whoever sets it to false has looked
}

// openMounts takes a descriptor that the runtime's poller does not know: its
// polling would take the changes away.
func openMounts() (mounts, error) {
	fd, err := unix.Open(mountTable, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return mounts{fd: -1}, fmt.Errorf("watch: open %s, which tells of unmounted directories: %w", mountTable, err)
	}
	return mounts{fd: fd}, nil
}

// poll sets changed if there was a change since the last poll, or if that cannot
// be known.
func (m *mounts) poll() {
	p := [1]unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLPRI}}
	if n, err := unix.Poll(p[:], 0); n != 0 || err != nil {
		m.changed = true
	}
}

func (m *mounts) close() {
	if m.fd >= 0 {
		unix.Close(m.fd)
		m.fd = -1
	}
}

// unmounted takes out the directories whose watches fsnotify has given up, and
// returns their paths. fsnotify does so without an event when a file system is
// unmounted. A file system that is unmounted only later, since it was in use, has
// to be mounted again before its directories can be taken for watched ones, and
// that changes the mount table once more.
func (w *Watcher) unmounted() []string {
	w.adding.Lock()
	defer w.adding.Unlock()
	alive := make(map[string]bool)
	for _, path := range w.fsnotify.WatchList() {
		alive[path] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var dirs []string
	for _, path := range w.table.first {
		if !alive[path] {
			dirs = append(dirs, w.table.drop(path)...)
			w.ended++
		}
	}
	return dirs
}
