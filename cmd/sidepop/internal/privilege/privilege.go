// Package privilege changes whose rights are used: of the whole process for good
// ([Drop]), or of one thread for the time of a call ([As]).
package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Identity is a user with the groups of the user database.
type Identity struct {
	Name     string
	UID, GID int
	Groups   []int
}

// Lookup finds a user by name.
func Lookup(name string) (*Identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of %s: %w", name, err)
	}
	id := &Identity{Name: name}
	if id.UID, err = strconv.Atoi(u.Uid); err != nil {
		return nil, err
	}
	if id.GID, err = strconv.Atoi(u.Gid); err != nil {
		return nil, err
	}
	for _, g := range groups {
		gid, err := strconv.Atoi(g)
		if err != nil {
			return nil, err
		}
		id.Groups = append(id.Groups, gid)
	}
	return id, nil
}

// Drop makes the process, all its threads, the identity for good, and proves
// that there is no way back. After an error the process must end: what it is
// then is unknown.
func Drop(id *Identity) error {
	if id.UID == 0 {
		return errors.New("give up root: the user to become is root")
	}
	// In this order: without root's rights groups can't be changed any more.
	if err := syscall.Setgroups(id.Groups); err != nil {
		return fmt.Errorf("give up root: setgroups: %w", err)
	}
	if err := syscall.Setresgid(id.GID, id.GID, id.GID); err != nil {
		return fmt.Errorf("give up root: setresgid: %w", err)
	}
	if err := syscall.Setresuid(id.UID, id.UID, id.UID); err != nil {
		return fmt.Errorf("give up root: setresuid: %w", err)
	}
	return prove(id)
}

// prove tries to become root again.
func prove(id *Identity) error {
	if os.Getuid() != id.UID || os.Geteuid() != id.UID || os.Getgid() != id.GID || os.Getegid() != id.GID {
		return errors.New("give up root: the ids are not those that were set")
	}
	if syscall.Setuid(0) == nil || syscall.Setreuid(-1, 0) == nil {
		return errors.New("give up root: the process could become root again")
	}
	if id.GID != 0 && (syscall.Setgid(0) == nil || syscall.Setregid(-1, 0) == nil) {
		return errors.New("give up root: the process could get root's group again")
	}
	if syscall.Setgroups([]int{0}) == nil {
		return errors.New("give up root: the process could change its groups again")
	}
	return nil
}
