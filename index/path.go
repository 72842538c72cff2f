package index

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// openBelow opens name in the directory at. It follows no symbolic link, and does
// not leave the directory: name is a single component, so that O_NOFOLLOW alone
// says the same where openat2(2) can't be had. openat2 gives EXDEV, too, when the
// file was found and is in another directory by the end of the call, as when a
// program moves it from new to cur: it is gone then.
func openBelow(at int, name string, flags int) (fd int, err error) {
	flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	err = retry(func() (err error) {
		if haveOpenat2() {
			how := &unix.OpenHow{Flags: uint64(flags | unix.O_LARGEFILE), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
			fd, err = unix.Openat2(at, name, how)
		} else {
			fd, err = unix.Openat(at, name, flags, 0)
		}
		return err
	})
	if err == unix.EXDEV {
		err = unix.ENOENT
	}
	return fd, err
}

// haveOpenat2 says whether the kernel has openat2 (Linux 5.6), and no filter of
// system calls refuses it, as systemd's RestrictSUIDSGID= does.
var haveOpenat2 = sync.OnceValue(func() bool {
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
})

// openMaildir opens the directory at an absolute path, with flags of open(2). The
// rights of a mail owner, which the thread has then, decide which symbolic links on
// the way are followed, and whether they lead to anything. Otherwise those of root
// and of the user that this process acts as are followed: a mail owner could lead
// it to mail that only the process may read.
//
// Links of proc(5) that do not lead along a path are never followed. They lead
// into what this process has open, such as another's Maildir, past all folders
// that keep the owner away from it.
func openMaildir(path string, asOwner bool, flags int) (fd int, err error) {
	flags |= unix.O_DIRECTORY | unix.O_CLOEXEC
	rule := followTrusted
	how := &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_NO_SYMLINKS}
	if asOwner {
		rule = followAll
		how.Resolve = unix.RESOLVE_NO_MAGICLINKS
	}
	err = retry(func() (err error) {
		err = unix.ELOOP
		if haveOpenat2() {
			fd, err = unix.Openat2(unix.AT_FDCWD, path, how)
		}
		if err == unix.ELOOP && asOwner && haveOpenat2() {
			err = errLinks
		} else if err == unix.ELOOP {
			fd, err = walk(path, rule, flags)
		}
		return err
	})
	return fd, err
}

// dangling says whether there is a symbolic link on the way of a path where
// nothing is. It is called with the rights of its owner.
func dangling(path string) bool {
	for i := range len(path) + 1 {
		if i == 0 || i < len(path) && path[i] != '/' {
			continue
		}
		var st unix.Stat_t
		if statAt(unix.AT_FDCWD, path[:i], &st) != nil {
			break
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return true
		}
	}
	return false
}

// maxLinks bounds the symbolic links of a path, as the kernel's own limit does.
const maxLinks = 40

// walk opens the directory at an absolute path, one component after the other. It
// reads symbolic links instead of having the kernel follow them. rule says which
// may be followed.
func walk(path string, rule func(link int, st *unix.Stat_t) error, opened int) (int, error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at, err := unix.Open("/", flags, 0)
	if err != nil {
		return -1, err
	}
	defer func() { unix.Close(at) }()
	rest := strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		next, err := unix.Openat(at, name, flags, 0)
		if err != nil {
			if links > 0 && err == unix.ENOENT {
				return -1, errDangling
			}
			return -1, err
		}
		target, err := readLink(next, rule)
		if err != nil || target != "" {
			unix.Close(next)
		}
		if err != nil {
			return -1, fmt.Errorf("%s: %w", name, err)
		}
		if target == "" {
			unix.Close(at)
			at = next
			continue
		}
		if links++; links > maxLinks {
			return -1, errLinks
		}
		rest = append(strings.Split(target, "/"), rest...)
		if strings.HasPrefix(target, "/") {
			root, err := unix.Open("/", flags, 0)
			if err != nil {
				return -1, err
			}
			unix.Close(at)
			at = root
		}
	}
	return unix.Openat(at, ".", opened, 0)
}

// ErrFile says that there is a file where a Maildir should be.
var ErrFile = errors.New("it is a file, perhaps an mbox, where a Maildir is needed; convert it")

// errDangling says that a symbolic link leads nowhere.
var errDangling = errors.New("the symbolic link leads nowhere; is a file system not mounted?")

// errLinks says that symbolic links are not followed.
var errLinks = fmt.Errorf("%w, or one of them is of /proc, which is not followed", unix.ELOOP)

// readLink gives the target of a symbolic link that may be followed; "" for
// anything that is none.
func readLink(fd int, rule func(link int, st *unix.Stat_t) error) (target string, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", err
	}
	if err := rule(fd, &st); err != nil {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err == nil && n == 0 {
		err = fs.ErrInvalid
	}
	return string(buf[:max(n, 0)]), err
}

// followTrusted is the rule of a process that acts as itself.
func followTrusted(_ int, st *unix.Stat_t) error {
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("a symbolic link of user id %d, which could lead to mail that is not that user's: "+
			"only those of root and of user id %d are followed", st.Uid, os.Geteuid())
	}
	return nil
}

// followAll is the rule of a mail owner, whom his own rights stop.
func followAll(link int, _ *unix.Stat_t) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(link, &st); err != nil {
		return err
	}
	if st.Type == unix.PROC_SUPER_MAGIC {
		return errLinks
	}
	return nil
}
