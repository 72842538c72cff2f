package index

import (
	"time"

	"golang.org/x/sys/unix"
)

// stamp tells whether a file or directory has changed. The change time is the
// one that counts: nobody can set it back, as the modification time can be.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // nanoseconds since 1970
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{
		dev: st.Dev, ino: st.Ino, size: st.Size,
		mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}
}

// same file, whatever has happened to it.
func (s stamp) is(t stamp) bool { return s.dev == t.dev && s.ino == t.ino }

// proof is what must not have changed for a list of entries to be right: the
// directories, and the lists of previous servers. What is missing is zero.
type proof struct {
	dirs  [folders]stamp
	lists [lists]stamp
}

// clockGrain is the age below which a change time proves nothing: another
// change may have got the same one. Linux stamps files by a clock that ticks at
// least every 10 ms.
const clockGrain = 20 * time.Millisecond

// settled says that at the time now the directories' change times are old
// enough for any later change to get another one. One in the future means that
// a clock has been set, or that the file server has another one; it proves
// nothing until it has passed.
func (p *proof) settled(now time.Time) bool {
	for _, s := range p.dirs {
		if s != (stamp{}) && now.UnixNano()-s.ctime < int64(clockGrain) {
			return false
		}
	}
	return true
}

// proofAt takes the proof of the Maildir at a path, as it is now. It fails only
// where the directories can't be looked at.
func proofAt(dir string, asOwner bool) (p proof, err error) {
	at, err := openMaildir(dir, asOwner, unix.O_PATH)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == errDangling {
		return p, nil
	} else if err != nil {
		return p, err
	}
	defer unix.Close(at)
	var st unix.Stat_t
	for i, name := range folderNames {
		if err := statAt(at, name, &st); err == nil {
			p.dirs[i] = stampOf(&st)
		} else if err != unix.ENOENT {
			return p, err
		}
	}
	p.addLists(at)
	return p, nil
}

// addLists adds the stamps of the lists in a Maildir's directory.
func (p *proof) addLists(at int) {
	var st unix.Stat_t
	for i, format := range listFormats {
		if err := statAt(at, format.file, &st); err == nil {
			p.lists[i] = stampOf(&st)
		}
	}
}

// proof takes the proof of opened directories.
func (d *dirs) proof() (p proof, err error) {
	var st unix.Stat_t
	for i, f := range d.folders {
		if f == nil {
			continue
		}
		if err := retry(func() error { return unix.Fstat(int(f.Fd()), &st) }); err != nil {
			return p, err
		}
		p.dirs[i] = stampOf(&st)
	}
	p.addLists(int(d.root.Fd()))
	return p, nil
}

func statAt(at int, name string, st *unix.Stat_t) error {
	return retry(func() error { return unix.Fstatat(at, name, st, unix.AT_SYMLINK_NOFOLLOW) })
}
