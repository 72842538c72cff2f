package watch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// syncTimeout bounds the wait for a cookie. inotify's whole queue, 16384 events by
// default, takes a fraction of it, so a cookie that takes longer has been lost.
const syncTimeout = time.Second

// cookiePrefix begins the names of all cookies.
const cookiePrefix = "sync-"

// ErrOverflow says that events were lost while [Watcher.Sync] waited.
var ErrOverflow = errors.New("inotify's queue overflowed")

var errTimeout = errors.New("the cookie was not notified in time")

// Sync returns nil when every event whose cause was complete before the call
// has been given to the Handler. With an error that is not known.
//
// inotify queues an event before the system call returns that caused it, and
// keeps their order. So Sync makes an event of its own, a cookie, and waits until
// the Handler's goroutine comes upon it. One cookie is under way at a time.
// Whoever comes meanwhile cannot use it, as it may be older than what they ask
// for; they share the next one. So any number of callers costs no more than two
// cookies in the time of one.
func (w *Watcher) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return fmt.Errorf("sync: %w", errClosed)
	}
	if w.next == nil {
		w.next = &round{done: make(chan struct{})}
	}
	r := w.next
	if !w.rounds {
		w.rounds = true
		w.running.Go(w.run)
	}
	w.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// round is one cookie and those who wait for it.
type round struct {
	done chan struct{}
	err  error // valid once done is closed
}

// run goes through the rounds until nobody waits.
func (w *Watcher) run() {
	for {
		w.mu.Lock()
		r := w.next
		w.next = nil // from here on it is too late to join r
		w.rounds = r != nil
		w.mu.Unlock()
		if r == nil {
			return
		}
		if err := w.flush(); err != nil {
			r.err = fmt.Errorf("sync: %w", err)
		}
		close(r.done)
	}
}

// flush is one exchange of a cookie, and, after file systems were mounted or
// unmounted, the search for watches that ended with them and another exchange
// for what that has to tell.
func (w *Watcher) flush() error {
	w.mounts.poll()
	if err := w.exchange(); err != nil || !w.mounts.changed {
		return err
	}
	w.mounts.changed = false
	w.tell(w.unmounted())
	return w.exchange()
}

// exchange makes a cookie and waits for its event.
func (w *Watcher) exchange() error {
	if !w.cookies.ready {
		if err := w.prepare(); err != nil {
			return err
		}
	}
	name := w.cookies.nextName()
	arrived := make(chan error, 1)
	w.mu.Lock()
	w.awaited, w.arrived = name, arrived
	ended := w.ended
	w.mu.Unlock()
	err := w.cookies.move(name)
	if err == nil {
		timeout := time.NewTimer(syncTimeout)
		defer timeout.Stop()
		select {
		case err = <-arrived:
		case <-timeout.C:
			err = errTimeout
		case <-w.done:
			err = errClosed
		}
	}
	if err == nil {
		w.mu.Lock()
		w.settled = ended
		w.mu.Unlock()
	} else if !errors.Is(err, ErrOverflow) {
		w.cookies.ready = false
	}
	return err
}

// finish ends the exchange under way, if any. mu is held.
func (w *Watcher) finish(err error) {
	if w.arrived != nil {
		w.arrived <- err
		w.awaited, w.arrived = "", nil
	}
}

// cookies is a directory with one file. To rename it is a cookie. Each name is
// used once, so that nothing else can be taken for that event: neither an earlier
// cookie's, late, nor what a stranger does to the file, nor two merged into one.
// Only one goroutine at a time uses it.
type cookies struct {
	dir    string
	prefix string // of this Watcher alone
	n      uint64
	fd     int // of dir; -1: none
	file   string
	ready  bool
}

func newCookies(dir string) cookies {
	return cookies{dir: dir, prefix: fmt.Sprintf("%s%016x-", cookiePrefix, rand.Uint64()), fd: -1}
}

// prepare makes and watches the directory of cookies, at first and whenever a
// cookie went wrong.
func (w *Watcher) prepare() error {
	c := &w.cookies
	c.close()
	if err := unix.Mkdir(c.dir, 0o700); err != nil && err != unix.EEXIST {
		return fmt.Errorf("make the directory of cookies %s: %w", c.dir, err)
	}
	fd, err := unix.Open(c.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the directory of cookies %s: %w", c.dir, err)
	}
	c.fd = fd
	if err := c.clean(); err != nil {
		return fmt.Errorf("clean the directory of cookies %s: %w", c.dir, err)
	}
	w.adding.Lock()
	defer w.adding.Unlock()
	w.stop(c.dir)
	if err := w.start(c.dir); err != nil {
		return fmt.Errorf("watch the directory of cookies %s: %w", c.dir, err)
	}
	c.ready = true
	return nil
}

// clean removes what earlier processes have left. If one of them still runs, it
// makes its file again.
func (c *cookies) clean() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), cookiePrefix) {
			if err := unix.Unlinkat(c.fd, e.Name(), 0); err != nil && err != unix.ENOENT {
				return err
			}
		}
	}
	return nil
}

func (c *cookies) nextName() string {
	c.n++
	return c.prefix + strconv.FormatUint(c.n, 10)
}

// move renames the file to name, or makes it where it is missing.
func (c *cookies) move(name string) error {
	err := unix.Renameat(c.fd, c.file, c.fd, name)
	if err == unix.ENOENT {
		var fd int
		fd, err = unix.Openat(c.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
		if err == nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return fmt.Errorf("make a cookie in %s: %w", c.dir, err)
	}
	c.file = name
	return nil
}

func (c *cookies) close() {
	c.ready = false
	if c.fd < 0 {
		return
	}
	if c.file != "" {
		_ = unix.Unlinkat(c.fd, c.file, 0)
	}
	unix.Close(c.fd)
	c.fd, c.file = -1, ""
}
