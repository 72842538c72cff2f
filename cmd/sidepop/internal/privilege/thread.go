package privilege

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The main goroutine stays on the main thread, so that no other one can come to
// run there: a thread whose identity could not be restored is ended by [As], and
// the main thread can't be. It has to be done in an init function, where main is
// still on that thread.
func init() { runtime.LockOSThread() }

// As runs f with the file system rights of a user and his groups, on this thread
// alone, and takes back what the process is, whatever becomes of f. Everything
// that f does with files it has to do in its own goroutine. Until f returns, a
// thread is bound to it: it should not wait for others.
//
// It is not reentrant: within f it fails, as it does for uid 0. The process needs
// CAP_SETUID and CAP_SETGID, and should have no other capability. Its own ids and
// groups must not change any more after the first call.
//
// The kernel takes each change of identity as a reason to allow no core dumps of
// the process any more, and to forget the thread's signal at its parent's death
// (prctl(2), PR_SET_DUMPABLE, PR_SET_PDEATHSIG). That signal is the main thread's,
// so the main goroutine should leave the work to others.
//
// If the thread's identity can't be restored, As panics, and the goroutine stays
// bound to the thread, which ends with it. Whoever recovers may close what is open
// and say so, and has to end the goroutine.
//
// The order of the calls is such that never anybody acts as the user with the
// process's groups: what is between the two identities has root's user id, and
// groups of the process or of the user.
func As(uid, gid uint32, groups []uint32, f func() error) error {
	return kernel.as(&credentials{uid: uid, gid: gid, groups: groups}, own(), f)
}

// credentials are what decides what a thread may do with files (credentials(7)).
type credentials struct {
	uid, gid uint32
	groups   []uint32
	unsure   bool // there may be other groups
}

// own is what the process is.
var own = sync.OnceValue(func() *credentials {
	c := &credentials{uid: kernel.setfsuid(unchanged), gid: kernel.setfsgid(unchanged)}
	groups, err := unix.Getgroups()
	c.unsure = err != nil
	for _, g := range groups {
		c.groups = append(c.groups, uint32(g))
	}
	return c
})

// calls are the system calls that change the calling thread alone; libc's change
// all threads. setfsuid and setfsgid have no errors: they give what was before.
type calls struct {
	setgroups func(groups []uint32) error
	setfsgid  func(gid uint32) (before uint32)
	setfsuid  func(uid uint32) (before uint32)
}

var kernel = calls{
	setgroups: func(groups []uint32) error {
		_, _, errno := unix.RawSyscall(sysSetgroups, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
		if errno != 0 {
			return errno
		}
		return nil
	},
	setfsgid: func(gid uint32) uint32 {
		before, _, _ := unix.RawSyscall(sysSetfsgid, uintptr(gid), 0, 0)
		return uint32(before)
	},
	setfsuid: func(uid uint32) uint32 {
		before, _, _ := unix.RawSyscall(sysSetfsuid, uintptr(uid), 0, 0)
		return uint32(before)
	},
}

// unchanged is no id: setfsuid(2) and setfsgid(2) change nothing then.
const unchanged = ^uint32(0)

func (c *calls) as(user, own *credentials, f func() error) error {
	switch {
	case user.uid == 0:
		return errors.New("act as user id 0: that is root, who gets no mail")
	case user.uid == unchanged || user.gid == unchanged:
		return fmt.Errorf("act as user id %d, group id %d: %d is no id", user.uid, user.gid, unchanged)
	}
	runtime.LockOSThread()
	if is := c.setfsuid(unchanged); is != own.uid {
		runtime.UnlockOSThread()
		return fmt.Errorf("act as user id %d: this thread acts as user id %d already", user.uid, is)
	}
	regroup := user.needsGroups(own)
	if regroup {
		if err := c.setgroups(user.groups); err != nil {
			runtime.UnlockOSThread()
			return fmt.Errorf("act as user id %d: setgroups: %w; are CAP_SETUID and CAP_SETGID there?", user.uid, err)
		}
	}
	defer func() {
		if err := c.restore(own, regroup); err != nil {
			panic(fmt.Sprintf("after acting as user id %d: %v; this thread ends", user.uid, err))
		}
		runtime.UnlockOSThread()
	}()
	c.setfsgid(user.gid)
	if is := c.setfsgid(unchanged); is != user.gid {
		return fmt.Errorf("act as group id %d: setfsgid: the thread has %d; is CAP_SETGID there?", user.gid, is)
	}
	c.setfsuid(user.uid)
	if is := c.setfsuid(unchanged); is != user.uid {
		return fmt.Errorf("act as user id %d: setfsuid: the thread has %d; is CAP_SETUID there?", user.uid, is)
	}
	return f()
}

// needsGroups says whether a process that has own lacks rights of the user's groups, or
// has more, once it has his group id. Most users are in no other group, and a keeper in
// none at all, which saves a third of the calls.
func (user *credentials) needsGroups(own *credentials) bool {
	return own.unsure || len(own.groups) > 0 || slices.ContainsFunc(user.groups, func(g uint32) bool { return g != user.gid })
}

// restore takes an identity back, and the groups if they were changed.
func (c *calls) restore(own *credentials, regroup bool) error {
	c.setfsuid(own.uid)
	if is := c.setfsuid(unchanged); is != own.uid {
		return fmt.Errorf("setfsuid: user id %d can't be restored, the thread has %d", own.uid, is)
	}
	c.setfsgid(own.gid)
	if is := c.setfsgid(unchanged); is != own.gid {
		return fmt.Errorf("setfsgid: group id %d can't be restored, the thread has %d", own.gid, is)
	}
	if !regroup {
		return nil
	}
	if err := c.setgroups(own.groups); err != nil {
		return fmt.Errorf("setgroups: the process's groups can't be restored: %w", err)
	}
	return nil
}
