package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sidepop/cmd/sidepop/internal/check"
	"sidepop/cmd/sidepop/internal/config"
)

// certificate is about the certificate that clients see.
func (c *checkup) certificate() {
	s := c.Section("Certificate")
	certificate, key := certificateFiles(c.config, c.found)
	if certificate == "" {
		s.Fact("file", "none")
		c.noCertificate()
		return
	}
	whose := "in " + c.file
	if c.config.TLS.Certificate == "" {
		whose = "that of " + c.found.Name
	}
	s.Fact("file", "%s (%s)", certificate, whose)
	s.Fact("key", "%s", c.keyFile(key))
	if c.hidden(certificate) {
		return
	}
	leaf, err := check.ReadCertificate(certificate)
	if err != nil {
		return // fit says so
	}
	s.Fact("names", "%s", strings.Join(check.Names(leaf), ", "))
	s.Fact("valid", "from %s to %s", leaf.NotBefore.Local().Format(time.DateTime), leaf.NotAfter.Local().Format(time.DateTime))
	issuer := leaf.Issuer.String()
	if check.SelfSigned(leaf) {
		issuer = "itself: clients take it only if they are told to"
	}
	s.Fact("issued by", "%s", issuer)
	c.Add(check.Dates(certificate, leaf, time.Now())...)
	if name := c.machineName(); name != "" {
		c.Add(check.ForName(certificate, leaf, name, c.file)...)
	}
}

// machineName is the name that clients know the machine by, as far as can be told:
// one with a dot, as others mean nothing outside.
func (c *checkup) machineName() string {
	names := []string{c.config.Hostname, machineName()}
	if c.found != nil && c.found.Postfix != nil {
		names = append(names, c.found.Postfix.Parameter("myhostname"))
	}
	if c.config.Hostname != "" {
		names = names[:1]
	}
	for _, name := range names {
		if strings.Contains(name, ".") {
			return name
		}
	}
	return ""
}

// noCertificate is about a server without one.
func (c *checkup) noCertificate() {
	if len(c.config.Listen.POP3S) > 0 {
		c.problems(check.Error, config.Problems{noCertificate(c.config, c.found)})
		return
	}
	c.Warn("Set certificate and key in the table [tls] in "+c.file+".",
		"There is no certificate: users can log in from this machine alone, unless auth.plaintext lets others read their passwords.")
}

// keyFile says whose a key is.
func (c *checkup) keyFile(key string) string {
	c.Add(check.Exposed(key, "The private key")...)
	if c.hidden(key) {
		return key
	}
	fi, err := os.Stat(key)
	if err != nil {
		return key
	}
	uid, gid := ownerOf(fi)
	return fmt.Sprintf("%s, of user id %d and group id %d, mode %04o", key, uid, gid, fi.Mode().Perm())
}

// secrets is about files with passwords that everybody can read.
func (c *checkup) secrets() {
	if f := c.config.Auth.PasswdFile; f != "" && !strings.Contains(f, "%d") {
		c.Add(check.Exposed(f, "The passwd file")...)
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
