//go:build cgo && linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// operatorFolder has the PAM services of the operator, whose files come first.
	operatorFolder = "/etc/pam.d"

	// maxServiceOctets limits a service's file: libpam reads what root wrote,
	// but a mistaken name may lead to anything.
	maxServiceOctets = 64 << 10
)

// vendorFolders are where some builds of libpam look for services besides.
var vendorFolders = []string{"/usr/lib/pam.d", "/usr/etc/pam.d", "/usr/share/pam.d"}

// services are the folders where the libpam of this process looks for services.
type services []string

// findServices asks the libpam of this process, which has their names in it. One
// folder too many would be one whose file is checked and not used.
func findServices() (services, error) {
	library, err := libraryFile("libpam.so")
	if err != nil {
		return nil, err
	}
	code, err := os.ReadFile(library)
	if err != nil {
		return nil, fmt.Errorf("libpam: %w", err)
	}
	s := services{operatorFolder}
	for _, folder := range vendorFolders {
		if bytes.Contains(code, []byte(folder)) {
			s = append(s, folder)
		}
	}
	return s, nil
}

// libraryFile gives the path of a shared library that this process has loaded.
func libraryFile(name string) (string, error) {
	const maps = "/proc/self/maps"
	text, err := os.ReadFile(maps)
	if err != nil {
		return "", fmt.Errorf("which libpam this is: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		// Address, rights, offset, device, inode, path (proc_pid_maps(5)).
		if at := strings.IndexByte(line, '/'); at >= 0 {
			path := strings.TrimSuffix(line[at:], "\n")
			if strings.HasPrefix(filepath.Base(path), name) {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("which libpam this is: %s has no %s", maps, name)
}

// check says what is wrong with a service. PAM would use the service "other" in
// place of one that has no file, cannot be read, or says nothing about one of
// both questions; and that may accept anybody.
func (s services) check(service string) error {
	// As pam_start(3) does, to ASCII letters.
	service = strings.ToLower(service)
	for _, folder := range s {
		name := filepath.Join(folder, service)
		switch types, err := lineTypes(name); {
		case os.IsNotExist(err):
			continue
		case err != nil:
			return fmt.Errorf("PAM service %s cannot be used: %w", service, err)
		case types["@include"] || types["auth"] && types["account"]:
			return nil
		default:
			return fmt.Errorf("PAM service %s: %s has not got both auth and account lines: "+
				"PAM would use the service \"other\" for what is missing", service, name)
		}
	}
	return fmt.Errorf("there is no PAM service %s: make the file %s (sidepop has an example, contrib/pam.d/sidepop), "+
		"or name another service in the configuration", service, filepath.Join(operatorFolder, service))
}

// lineTypes gives the first words of a service's lines.
func lineTypes(name string) (map[string]bool, error) {
	// A FIFO would make opening wait.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file (%v)", name, err)
	}
	types := make(map[string]bool)
	lines := bufio.NewScanner(io.LimitReader(f, maxServiceOctets))
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 1 {
			// A leading "-" says that a missing module is no error.
			types[strings.ToLower(strings.TrimPrefix(words[0], "-"))] = true
		}
	}
	return types, lines.Err()
}
