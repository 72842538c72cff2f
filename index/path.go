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

// openAsOwner opens the directory at an absolute path with the rights of the
// thread, which are the mail owner's: whatever links he can follow lead to
// nothing that he may not read. What is not there behind a link is an error,
// as in openPath.
func openAsOwner(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != unix.ENOENT {
		return fd, err
	}
	for i := range len(path) + 1 {
		if i == 0 || i < len(path) && path[i] != '/' {
			continue
		}
		var st unix.Stat_t
		if statAt(unix.AT_FDCWD, path[:i], &st) != nil {
			break
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return -1, errDangling
		}
	}
	return -1, unix.ENOENT
}

// maxLinks bounds the symbolic links of a path, as the kernel's own limit does.
const maxLinks = 40

// openPath opens the directory at an absolute path. Of symbolic links on the way
// it follows only those of root and of the user that this process acts as: a
// mail owner could lead it to mail that only the process may read.
func openPath(path string) (int, error) {
	how := &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, how)
	if err == nil || err == unix.ENOENT || err == unix.ENOTDIR {
		return fd, err
	}
	// There is a link; or the system call can't be had, as under systemd's
	// RestrictSUIDSGID=; or it is a real error, which comes again.
	return walk(path)
}

// walk is openPath, one component after the other.
func walk(path string) (int, error) {
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
		target, err := followable(next)
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
			return -1, unix.ELOOP
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
	return unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// ErrFile says that there is a file where a Maildir should be.
var ErrFile = errors.New("it is a file, perhaps an mbox, where a Maildir is needed; convert it")

// errDangling says that a symbolic link leads nowhere.
var errDangling = errors.New("the symbolic link leads nowhere; is a file system not mounted?")

// followable gives the target of a symbolic link that may be followed; "" for
// anything that is none.
func followable(fd int) (target string, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", err
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return "", fmt.Errorf("a symbolic link of user id %d, which could lead to mail that is not that user's: "+
			"only those of root and of user id %d are followed", st.Uid, os.Geteuid())
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err == nil && n == 0 {
		err = fs.ErrInvalid
	}
	return string(buf[:max(n, 0)]), err
}
