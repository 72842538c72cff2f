package check

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Who is somebody who wants to use a file.
type Who struct {
	UID, GID uint32
	Groups   []uint32
}

// Nobody has no more rights than everybody: the kernel has -1 for no id, so that
// it owns nothing.
var Nobody = Who{UID: math.MaxUint32, GID: math.MaxUint32}

// Rights to a file: those of one of the three groups of a mode.
const (
	Read  = 0o4
	Write = 0o2
	Enter = 0o1
)

// Obstacle is where somebody comes no further on a path.
type Obstacle struct {
	Path string
	Want fs.FileMode // the rights that are missing; 0: see Err
	Err  error       // nothing can be told of Path: it is not there, or not for this process

	Owner, Group uint32
	Mode         fs.FileMode

	// Link is the last symbolic link on the way that is not root's: whose it is may
	// have chosen the place. Empty: there is none.
	Link string
}

// Error says what is in the way.
func (o *Obstacle) Error() string {
	var pathErr *fs.PathError
	switch {
	case errors.As(o.Err, &pathErr):
		return fmt.Sprintf("%s: %s", o.Path, pathErr.Err)
	case o.Err != nil:
		return fmt.Sprintf("%s: %s", o.Path, o.Err)
	}
	kind := "file"
	if o.Mode.IsDir() {
		kind = "folder"
	}
	return fmt.Sprintf("the %s %s belongs to user id %d and group id %d and has the mode %04o, which does not let %s",
		kind, o.Path, o.Owner, o.Group, o.Mode.Perm(), rights(o.Want, o.Mode.IsDir()))
}

func (o *Obstacle) Unwrap() error { return o.Err }

// rights are names of rights.
func rights(want fs.FileMode, dir bool) string {
	names := []string{"read it", "change it", "run it"}
	if dir {
		names = []string{"list it", "change it", "enter it"}
	}
	var all []string
	for i, right := range []fs.FileMode{Read, Write, Enter} {
		if want&right != 0 {
			all = append(all, names[i])
		}
	}
	return strings.Join(all, " and ")
}

// maxLinks is how many symbolic links a path may have for the kernel
// (path_resolution(7)).
const maxLinks = 40

// Reach goes along an absolute path as somebody with no more rights than modes
// give him: each folder has to let him enter, and the last has to give him the
// rights in want. It gives nil, or what is in the way. Rights that something else
// than modes gives or takes (acl(5), mounts) it does not see.
func Reach(path string, who Who, want fs.FileMode) *Obstacle {
	rest := strings.Split(filepath.Clean(path), "/")[1:]
	at, link, links := "/", "", 0
	for {
		fi, err := os.Lstat(at)
		if err != nil {
			return &Obstacle{Path: at, Err: err}
		}
		switch {
		case fi.Mode()&fs.ModeSymlink != 0:
			if fi.Sys().(*syscall.Stat_t).Uid != 0 {
				link = at
			}
			if links++; links > maxLinks {
				return &Obstacle{Path: path, Err: syscall.ELOOP}
			}
			target, err := os.Readlink(at)
			if err != nil {
				return &Obstacle{Path: at, Err: err}
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(at), target)
			}
			rest = append(strings.Split(filepath.Clean(target), "/")[1:], rest...)
			at = "/"
			continue
		case len(rest) == 0 || rest[0] == "":
			return who.may(at, fi, want).by(link)
		case !fi.IsDir():
			return &Obstacle{Path: at, Err: syscall.ENOTDIR}
		}
		if o := who.may(at, fi, Enter); o != nil {
			return o.by(link)
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

// by says which link has led to an obstacle, if there is one.
func (o *Obstacle) by(link string) *Obstacle {
	if o != nil {
		o.Link = link
	}
	return o
}

// At gives what of rights to a file somebody lacks, whatever folders it is in.
func At(path string, who Who, want fs.FileMode) *Obstacle {
	fi, err := os.Stat(path)
	if err != nil {
		return &Obstacle{Path: path, Err: err}
	}
	return who.may(path, fi, want)
}

// may gives what of rights to a file somebody lacks.
func (w Who) may(path string, fi fs.FileInfo, want fs.FileMode) *Obstacle {
	st := fi.Sys().(*syscall.Stat_t)
	mode := fi.Mode().Perm()
	switch {
	case st.Uid == w.UID:
		mode >>= 6
	case st.Gid == w.GID || slices.Contains(w.Groups, st.Gid):
		mode >>= 3
	}
	if missing := want &^ mode; missing != 0 {
		return &Obstacle{Path: path, Want: missing, Owner: st.Uid, Group: st.Gid, Mode: fi.Mode()}
	}
	return nil
}
