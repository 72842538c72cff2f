package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/cmd/sidepop/internal/check"
	"sidepop/index"
)

// maildir looks at a mailbox with the rights of its owner.
func (c *checkup) maildir(s *check.Section, path string, owner *index.Owner) {
	m := &maildirState{path: path}
	var err error
	if act := actAs(); act != nil {
		err = act(*owner, m.look)
	} else {
		err = m.look()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Fact("state", "there is none yet")
		c.Warn("Send the user a message, and see in the mail server's log where it goes.", "There is no Maildir %s yet: the user has no messages.", path)
		return
	case errors.Is(err, errNoFolder):
		s.Fact("state", "can't be used")
		c.Error("Make it a folder, and move the messages there.", "The Maildir %s can't be used: %v", path, err)
		return
	case err != nil:
		o := m.obstacle(owner)
		s.Fact("state", "can't be read by its owner")
		c.Error(accessRemedy(o, owner), "User id %d can't read the Maildir %s: %v", owner.UID, path, firstError(o, err))
		return
	case m.file:
		s.Fact("state", "a file")
		c.Error("Have the mail server deliver to a Maildir, convert the file, and move it away.", "%s is a file, such as an mbox, and no Maildir: the user can't log in.", path)
		return
	case m.missing == len(maildirFolders):
		s.Fact("state", "no Maildir: neither new nor cur is in it")
		c.Warn("See whether that is the right folder.", "%s is no Maildir: it has neither new nor cur, so that the user has no messages.", path)
		return
	}
	s.Fact("messages", "%d in new, %d in cur", m.messages[0], m.messages[1])
	for _, list := range m.lists {
		s.Fact("unique-ids", "from %s of a previous server, changed %s, for the messages in it", list.Name(), list.ModTime().Local().Format(time.DateTime))
	}
	if m.readOnly != nil {
		o := m.obstacle(owner)
		c.Warn(accessRemedy(o, owner), "User id %d can't change the Maildir %s, so that no message can be removed: %v", owner.UID, path, firstError(o, m.readOnly))
	}
}

// maildirFolders have the messages (maildir(5)).
var maildirFolders = [...]string{"new", "cur"}

// errNoFolder is what the index says of such a Maildir too: links in it could lead
// to somebody else's mail.
var errNoFolder = errors.New("it must be a folder itself, no symbolic link and no file")

// uidLists are those that index takes unique-ids from.
var uidLists = [...]string{"dovecot-uidlist", "courierpop3dsizelist"}

// maildirState is what a Maildir's owner sees of it.
type maildirState struct {
	path     string
	file     bool // it is none
	missing  int  // folders
	messages [len(maildirFolders)]int
	readOnly error // why a folder can't be changed
	lists    []fs.FileInfo
}

// look is called with the rights of the owner.
func (m *maildirState) look() error {
	fi, err := os.Stat(m.path)
	if err != nil {
		return err
	}
	if m.file = !fi.IsDir(); m.file {
		return nil
	}
	for i, name := range maildirFolders {
		folder := filepath.Join(m.path, name)
		if fi, err := os.Lstat(folder); err == nil && !fi.IsDir() {
			return &fs.PathError{Op: "open", Path: folder, Err: errNoFolder}
		}
		entries, err := os.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			m.missing++
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				m.messages[i]++
			}
		}
		if err := unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			m.readOnly = &fs.PathError{Op: "change", Path: folder, Err: err}
		}
	}
	for _, name := range uidLists {
		if fi, err := os.Stat(filepath.Join(m.path, name)); err == nil {
			m.lists = append(m.lists, fi)
		}
	}
	return nil
}

// obstacle is what modes keep an owner from; nil if it is something else.
func (m *maildirState) obstacle(owner *index.Owner) *check.Obstacle {
	who := check.Who{UID: owner.UID, GID: owner.GID, Groups: owner.Groups}
	for _, name := range maildirFolders {
		o := check.Reach(filepath.Join(m.path, name), who, check.Read|check.Write|check.Enter)
		if o != nil && o.Err == nil {
			return o
		}
	}
	return nil
}

// firstError is the obstacle, if there is one.
func firstError(o *check.Obstacle, err error) error {
	if o != nil {
		return o
	}
	return err
}

// accessRemedy gives an owner what he lacks, unless he may have chosen by a link of
// what he lacks it.
func accessRemedy(o *check.Obstacle, owner *index.Owner) string {
	switch {
	case o == nil:
		return "See what its file system and its access control lists (getfacl) say."
	case o.Link != "":
		return fmt.Sprintf("See whether %s is where the symbolic link %s should lead. What is there is not made for this user: its rights are better left alone.", o.Path, o.Link)
	case o.Want == check.Enter && o.Owner != owner.UID:
		return "chmod o+x " + o.Path
	case o.Owner != owner.UID:
		return fmt.Sprintf("chown -R %d:%d %s, if nothing else needs it as it is", owner.UID, owner.GID, o.Path)
	}
	return "chmod u+rwx " + o.Path
}
