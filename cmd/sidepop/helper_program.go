package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sidepop/cmd/sidepop/internal/config"
)

// helperName is the program that PAM's modules run in.
const helperName = "sidepop-pam"

// helperFolder is where packages put programs that other programs run (FHS 3.0,
// section 4.7).
const helperFolder = "/usr/libexec/sidepop"

// helperProgram finds the PAM helper, which gets passwords and may run as root. So it
// has to be a program that nobody else can have put there or can change.
func helperProgram(c *config.Config) (string, error) {
	own, err := os.Executable()
	if err != nil {
		return "", err
	}
	candidates := []string{c.Auth.PAMHelper}
	if c.Auth.PAMHelper == "" {
		candidates = []string{filepath.Join(filepath.Dir(own), helperName), filepath.Join(helperFolder, helperName)}
	}
	var refused error
	for _, path := range candidates {
		err := trusted(path, own)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && refused == nil {
			refused = err
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", fmt.Errorf("the PAM helper is missing, which is looked for as %s: install %s there", strings.Join(candidates, " and "), helperName)
}

// trusted says why a program is not one to run, if it is not. Own is this program:
// who could have changed that one may change the other.
func trusted(path, own string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	switch {
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%s is not a program", path)
	case fi.Mode()&0o111 == 0:
		return fmt.Errorf("the PAM helper %s is not executable: chmod 755 %s", path, path)
	}
	owners := []int{0, os.Geteuid()}
	if fi, err := os.Stat(own); err == nil {
		uid, _ := ownerOf(fi)
		owners = append(owners, int(uid))
	}
	if uid, _ := ownerOf(fi); !slices.Contains(owners, int(uid)) {
		return fmt.Errorf("%s belongs to user id %d, who could put any program there: if it is the right one, chown root %s", path, uid, path)
	}
	const others = 0o002
	if fi.Mode()&others != 0 {
		return fmt.Errorf("%s can be changed by everybody: chmod o-w %s", path, path)
	}
	folder := filepath.Dir(path)
	if fi, err = os.Stat(folder); err != nil {
		return err
	}
	if fi.Mode()&others != 0 && fi.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%s can be replaced by everybody: chmod o-w %s", path, folder)
	}
	return nil
}
