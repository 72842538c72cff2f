package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/privilege"
)

// listen takes the socket that was passed on, or makes it.
func (k *keeper) listen() (*net.UnixListener, error) {
	passed := k.sockets[keeperSocket]
	if len(passed) == 0 {
		if err := k.config.PrepareRuntime(); err != nil {
			return nil, err
		}
		return listenKeeper(k.config)
	}
	l, err := net.FileListener(passed[0])
	if err != nil {
		return nil, fmt.Errorf("the passed socket %s can't be used: %w", keeperSocket, err)
	}
	_ = passed[0].Close()
	ul, ok := l.(*net.UnixListener)
	if !ok {
		return nil, fmt.Errorf("the passed socket %s is %s, expected a unix socket of the kind SOCK_SEQPACKET", keeperSocket, l.Addr().Network())
	}
	return ul, nil
}

// listenKeeper makes the keeper's socket, in place of one that was left behind.
// The front's group may connect; whose process it is is looked at then.
func listenKeeper(c *config.Config) (*net.UnixListener, error) {
	path := filepath.Join(c.Runtime, config.KeeperSocket)
	if conn, err := net.Dial("unixpacket", path); err == nil {
		_ = conn.Close()
		return nil, config.Problems{c.Problem("runtime_dir", c.Runtime+" is in use by another sidepop, expected a folder of its own: stop that one, or set another folder")}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("the keeper's socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // another process may serve it
	err = os.Chmod(path, 0o600)
	if os.Geteuid() == 0 {
		id, lookupErr := privilege.Lookup(c.User)
		if lookupErr != nil {
			return nil, errors.Join(lookupErr, l.Close())
		}
		err = errors.Join(err, os.Chown(path, 0, id.GID), os.Chmod(path, 0o660))
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// frontUser is whose processes may connect.
func (k *keeper) frontUser() (uid uint32, err error) {
	if !k.root {
		return uint32(os.Geteuid()), nil
	}
	id, err := privilege.Lookup(k.config.User)
	if err != nil {
		return 0, err
	}
	return uint32(id.UID), nil
}
