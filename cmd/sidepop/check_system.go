package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/check"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/control"
	"sidepop/cmd/sidepop/internal/privilege"
	"sidepop/index"
	inotify "sidepop/index/watch"
)

// limits is about what the kernel allows.
func (c *checkup) limits(ctx context.Context) {
	s := c.Section("Limits")
	c.watches(ctx, s)
	want := wantedDescriptors(c.config)
	have, whose, ok := c.descriptors()
	if !ok {
		return
	}
	s.Fact("open files", "%d %s, %d may be needed", have, whose, want)
	if have < want {
		c.Warn(fmt.Sprintf("Set LimitNOFILE=%d in the units of sidepop (systemctl edit), or a lower limits.connections in %s.", want, c.file),
			"%d files may be open %s, and %s can need %d.", have, whose, plural(int64(c.config.Limits.Connections), "connection"), want)
	}
}

// descriptors is the limit of open files: that of a keeper that runs, or else of
// this process.
func (c *checkup) descriptors() (limit uint64, whose string, ok bool) {
	if limit, ok = check.FileLimit(c.keeper); ok {
		return limit, "in the keeper that runs", true
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		return 0, "", false
	}
	return own.Cur, "in this shell (a service can have another limit)", true
}

// watches compares the kernel's limits with the mailboxes that there are.
func (c *checkup) watches(ctx context.Context, s *check.Section) {
	if c.config.Index.Watch != index.WatchAll {
		return
	}
	n := c.countMailboxes(ctx)
	if name, limit := inotify.Limit("watches"); name != "" {
		s.Fact("watches", "%d (%s), %d wanted for %s", limit, name, check.PerMailbox*n, mailboxes(n))
		c.Add(check.Watches(n, name, limit)...)
	}
	name, limit := inotify.Limit("instances")
	if name == "" || c.files == nil {
		return
	}
	used := c.files.Instances[uint32(os.Geteuid())]
	s.Fact("watchers", "%d (%s), %d in use by user id %d", limit, name, used, os.Geteuid())
	if c.keeper == 0 { // one that runs has its own
		c.Add(check.Instances(used, name, limit)...)
	}
}

// countMailboxes is how many Maildirs are there, or known to a server.
func (c *checkup) countMailboxes(ctx context.Context) int {
	paths := make(map[string]bool)
	if client, err := control.Dial(c.config.Index.StateDir); err == nil {
		defer client.Close()
		all, _ := client.List(ctx) // those of the accounts are there without
		for _, info := range all {
			paths[info.Path] = true
		}
	}
	if c.accounts != nil {
		c.each(func(a *auth.Account) {
			path, _, err := c.places.of(a)
			if err == nil && isFolder(filepath.Join(path, "cur")) {
				paths[path] = true
			}
		})
	}
	return len(paths)
}

func isFolder(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// folders is about the folders and files of sidepop itself.
func (c *checkup) folders() {
	s := c.Section("Files")
	for _, f := range []struct{ name, path string }{{"state", c.config.Index.StateDir}, {"runtime", c.config.Runtime}} {
		s.Fact(f.name, "%s, %s", f.path, c.condition(f.path))
	}
	c.fit()
	c.room()
	c.readable()
	if p := check.Reach(c.file, check.Nobody, check.Write); p == nil {
		c.Warn("chmod o-w "+c.file, "Everybody can change the configuration %s.", c.file)
	}
}

// leastRoom is what an index of some thousand mailboxes takes as it is made anew, in
// octets.
const leastRoom = 16 << 20

// room finds out whether the index can grow.
func (c *checkup) room() {
	dir := c.config.Index.StateDir
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return // it is not there yet
	}
	if left := st.Bavail * uint64(st.Bsize); left < leastRoom {
		c.Warn(fmt.Sprintf("Make room, or set state_dir in the table [index] in %s to a folder of another disk.", c.file),
			"The disk of %s has %d KiB left: without room for its index the keeper can't start.", dir, left>>10)
	}
}

// units are where a service of the front can be.
var units = []string{"/etc/systemd/system/sidepop.service", "/lib/systemd/system/sidepop.service"}

// readable finds out whether a front that systemd starts can read the configuration:
// it is no root before, as that of "sidepop serve" is.
func (c *checkup) readable() {
	if !c.root || c.file != config.DefaultFile || !slices.ContainsFunc(units, exists) {
		return
	}
	front, err := privilege.Lookup(c.config.User)
	if err != nil {
		return // told already
	}
	o := check.At(c.file, check.Who{UID: uint32(front.UID), GID: uint32(front.GID)}, check.Read)
	if o != nil && !errors.Is(o, fs.ErrNotExist) {
		c.Error(fmt.Sprintf("chgrp %d %s && chmod 640 %s", front.GID, c.file, c.file), "The front, which sidepop.service starts as %s, can't read its configuration: %v", c.config.User, o)
	}
}

// condition is what a folder is.
func (c *checkup) condition(path string) string {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "which the server makes at its start"
	case err != nil:
		return err.Error()
	}
	uid, _ := ownerOf(fi)
	return fmt.Sprintf("of user id %d, mode %04o", uid, fi.Mode().Perm())
}

// fit finds out whether the configuration fits the machine. Files are read with
// the rights that the keeper has.
func (c *checkup) fit() {
	var err error
	privilege.WithoutOverride(func() { err = c.config.Check(os.Geteuid()) })
	files := map[string][]string{
		"tls.certificate": {c.config.TLS.Certificate}, "tls.key": {c.config.TLS.Key}, "auth.passwd_file": {c.config.Auth.PasswdFile},
	}
	for _, f := range c.config.TLS.Certificates {
		files["tls.certificates"] = append(files["tls.certificates"], f.Certificate, f.Key)
	}
	for _, p := range problemsOf(err) {
		if slices.ContainsFunc(files[p.Key], c.hidden) {
			continue
		}
		c.problems(check.Error, config.Problems{p})
	}
	for _, p := range problemsOf(c.config.CheckFolders()) {
		dir := map[string]string{"index.state_dir": c.config.Index.StateDir, "runtime_dir": c.config.Runtime}[p.Key]
		if fi, err := os.Stat(dir); !c.root && err == nil {
			if uid, _ := ownerOf(fi); int(uid) != os.Geteuid() {
				continue // it is another user's server
			}
		}
		c.problems(check.Error, config.Problems{p})
	}
}

// problemsOf are the problems in an error, if it has any.
func problemsOf(err error) (ps config.Problems) {
	_ = errors.As(err, &ps)
	return ps
}

// forbidden says whether this user may not read a file.
func forbidden(path string) bool {
	f, err := os.Open(path)
	if err == nil {
		_ = f.Close()
	}
	return errors.Is(err, fs.ErrPermission)
}

func ownerOf(fi fs.FileInfo) (uid, gid uint32) {
	st := fi.Sys().(*syscall.Stat_t)
	return st.Uid, st.Gid
}

// sameFolder says whether two paths lead to the same.
func sameFolder(a, b string) bool {
	x, xErr := os.Stat(a)
	y, yErr := os.Stat(b)
	return xErr == nil && yErr == nil && os.SameFile(x, y)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
