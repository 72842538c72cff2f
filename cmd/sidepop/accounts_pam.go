package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sidepop/auth"
	"sidepop/auth/helper"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/metrics"
)

// pamFolders are where PAM looks for a service's file (pam.conf(5)).
var pamFolders = []string{"/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d"}

// pamFiles are the system's users and what PAM and NSS read. Those that are not
// there count too, since they may come.
func pamFiles() []string {
	files := []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/nsswitch.conf", "/etc/nologin", "/run/nologin"}
	for _, folder := range append([]string{"/etc/security"}, pamFolders...) {
		found, _ := filepath.Glob(folder + "/*") // the pattern is good
		files = append(append(files, folder), found...)
	}
	return files
}

// pamAbsent says why PAM can't be asked; "" if it can.
func pamAbsent(c *config.Config) string {
	if _, err := helperProgram(c); err != nil {
		return err.Error()
	}
	if pamFile(c) == "" {
		return fmt.Sprintf("the PAM service %s/%s is missing: copy contrib/pam.d/sidepop of sidepop's source there", pamFolders[0], c.Auth.PAMService)
	}
	return ""
}

// pamFile is the file of the PAM service; "" if it is missing.
func pamFile(c *config.Config) string {
	for _, folder := range pamFolders {
		path := filepath.Join(folder, c.Auth.PAMService)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// asksPAM says whether PAM is one of the sources of a configuration.
func asksPAM(c *config.Config) bool {
	return (c.Auth.Sources == nil || slices.Contains(c.Auth.Sources, config.SourcePAM)) && pamAbsent(c) == ""
}

// helpers runs the PAM helper. It goes on while configurations change. The zero
// value, with events, is ready for use.
type helpers struct {
	events  pamEvents
	figures *metrics.Keeper // nil: nothing is counted
	ambient []uintptr       // capabilities that it is given
	pools   map[string]*helper.Pool
}

// pamEvents is told of the helper, and what modules say to users.
type pamEvents interface {
	helper.Events
	Said(user string, messages []string)
}

// counted gives a pool whose requests are counted, where somebody counts.
func (h *helpers) counted(pool *helper.Pool) auth.PAMPool {
	if h.figures == nil {
		return pool
	}
	return askedPAM{pool, h.figures}
}

// pool is what asks the helper of a configuration.
func (h *helpers) pool(c *config.Config) (*helper.Pool, error) {
	path, err := helperProgram(c)
	if err != nil {
		return nil, err
	}
	if pool := h.pools[path]; pool != nil {
		return pool, nil
	}
	pool, err := helper.New(helper.Options{Command: []string{path}, Events: h.events, AmbientCaps: h.ambient})
	if err != nil {
		return nil, err
	}
	if h.pools == nil {
		h.pools = make(map[string]*helper.Pool)
	}
	h.pools[path] = pool
	return pool, nil
}

// retain ends all helpers but that of a configuration.
func (h *helpers) retain(c *config.Config) {
	own, _ := helperProgram(c) // without one there is nothing to be retained
	for path, pool := range h.pools {
		if path != own {
			pool.Close()
			delete(h.pools, path)
		}
	}
}

func (h *helpers) close() {
	for path, pool := range h.pools {
		pool.Close()
		delete(h.pools, path)
	}
}
