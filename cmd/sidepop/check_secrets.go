package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sidepop/cmd/sidepop/internal/check"
)

// secrets is about files with passwords that everybody can read.
func (c *checkup) secrets() {
	if f := c.config.Auth.PasswdFile; f != "" && !strings.Contains(f, "%d") {
		c.Add(check.Exposed(f, "The passwd file")...)
	}
	if f := c.config.Auth.MasterUsers; f != "" {
		c.Add(check.Exposed(f, "The file of master users")...)
	}
	if f := c.config.Auth.OAuth.ClientSecretFile; f != "" {
		c.Add(check.Exposed(f, "The client secret for tokens")...)
	}
	maps := c.config.Auth.PasswordMaps
	if hasPasswords(maps) {
		c.Add(check.Exposed(c.file, "auth.password_maps holds passwords itself, and the configuration")...)
	}
	for _, file := range tableFiles(maps) {
		c.Add(check.Exposed(file, "The password table")...)
	}
}

// hasPasswords says whether tables are written out where they are named
// (DATABASE_README: inline, static).
func hasPasswords(maps string) bool {
	return strings.Contains(maps, "inline:") || strings.Contains(maps, "static:")
}

// passwordTables names the tables of passwords without showing any of these.
func (c *checkup) passwordTables() string {
	if maps := c.config.Auth.PasswordMaps; !hasPasswords(maps) {
		return maps
	}
	return "auth.password_maps"
}

// tableFiles are the files of tables as main.cf names them (postconf(5)): a type, a
// colon and a path; the file has the path's name, or that with the type's ending.
func tableFiles(maps string) (files []string) {
	for _, item := range strings.FieldsFunc(maps, func(r rune) bool { return strings.ContainsRune(" ,\t\n{}", r) }) {
		_, path, _ := strings.Cut(strings.TrimPrefix(item, "proxy:"), ":")
		if !filepath.IsAbs(path) {
			continue
		}
		for _, ending := range []string{"", ".db", ".lmdb", ".cdb", ".dbm", ".pag", ".dir"} {
			if fi, err := os.Stat(path + ending); err == nil && fi.Mode().IsRegular() {
				files = append(files, path+ending)
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}
