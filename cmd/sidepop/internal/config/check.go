package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// Check finds what in the configuration does not fit this machine, for a
// process that runs as the user with the id euid: users that do not exist,
// files that can't be read, a key that is not the certificate's. The error is
// [Problems].
func (c *Config) Check(euid int) error {
	var ps Problems
	for key, err := range map[string]error{
		"user":             c.checkUser(euid),
		"tls.certificate":  c.checkCertificate(),
		"tls.key":          c.checkKey(),
		"auth.passwd_file": c.checkPasswd(),
	} {
		if err != nil {
			ps = append(ps, c.Problem(key, err.Error()))
		}
	}
	return ps.asError()
}

// CheckUser is the part of [Config.Check] for commands that become the user.
func (c *Config) CheckUser(euid int) error {
	if err := c.checkUser(euid); err != nil {
		return Problems{c.Problem("user", err.Error())}
	}
	return nil
}

// CheckPasswd is the part of [Config.Check] that has to hold for the user that
// sidepop becomes too: passwd files are read at logins.
func (c *Config) CheckPasswd() error {
	if err := c.checkPasswd(); err != nil {
		return Problems{c.Problem("auth.passwd_file", err.Error())}
	}
	return nil
}

func (c *Config) checkUser(euid int) error {
	if c.User == "" {
		if euid == 0 {
			return fmt.Errorf(`missing, expected the user to become, since sidepop is started as root: user = "vmail", or whoever may read and remove the mail`)
		}
		return nil
	}
	u, err := user.Lookup(c.User)
	switch {
	case err != nil:
		return fmt.Errorf("%q, expected a user of this machine (getent passwd lists them)", c.User)
	case u.Uid == "0":
		return fmt.Errorf("%q has the user id 0, expected a user without root's rights", c.User)
	case euid != 0 && u.Uid != fmt.Sprint(euid):
		return fmt.Errorf("%q, expected sidepop to be started as that user or as root; it runs as user id %d", c.User, euid)
	}
	return nil
}

func (c *Config) checkCertificate() error {
	if c.TLS.Certificate == "" {
		return nil
	}
	data, err := os.ReadFile(c.TLS.Certificate)
	if err != nil {
		return unreadable(c.TLS.Certificate, err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return fmt.Errorf("%s is damaged: %w", c.TLS.Certificate, err)
			}
			return nil
		}
	}
	return fmt.Errorf("%s has no certificate, expected PEM with -----BEGIN CERTIFICATE-----", c.TLS.Certificate)
}

// checkKey says nothing about a key whose certificate is at fault.
func (c *Config) checkKey() error {
	if c.TLS.Key == "" {
		return nil
	}
	key, err := os.ReadFile(c.TLS.Key)
	if err != nil {
		return unreadable(c.TLS.Key, err)
	}
	if c.checkCertificate() != nil {
		return nil
	}
	certificate, err := os.ReadFile(c.TLS.Certificate)
	if err != nil {
		return nil
	}
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		return fmt.Errorf("%s is not the key of %s, expected its private key without passphrase in PEM (%s)",
			c.TLS.Key, c.TLS.Certificate, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return nil
}

// checkPasswd opens the passwd file, or the folder that holds the folders or
// files of the domains.
func (c *Config) checkPasswd() error {
	file := c.Auth.PasswdFile
	before, _, perDomain := strings.Cut(file, "%d")
	if perDomain {
		file = filepath.Dir(before + "x")
	}
	f, err := os.Open(file)
	if err != nil {
		return unreadable(file, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return unreadable(file, err)
	case perDomain && !fi.IsDir():
		return fmt.Errorf("%s is not a folder, expected the folder with the domains' files", file)
	case !perDomain && !fi.Mode().IsRegular():
		return fmt.Errorf("%s is not a file, expected the file with the users and their password hashes", file)
	}
	return nil
}

func unreadable(file string, err error) error {
	return fmt.Errorf("%s can't be read by user id %d (%s), expected a file that it may read", file, os.Geteuid(), reason(err))
}
