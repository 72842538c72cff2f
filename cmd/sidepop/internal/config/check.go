package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"sidepop/cmd/sidepop/internal/certs"
)

// Check finds what in the configuration does not fit this machine, for a
// process that runs as the user with the id euid: users that do not exist,
// files that can't be read, a key that is not the certificate's. The error is
// [Problems].
func (c *Config) Check(euid int) error {
	var ps Problems
	if p := c.checkUser(euid); p != nil {
		ps = append(ps, p)
	}
	first := certs.Files{Certificate: c.TLS.Certificate, Key: c.TLS.Key}
	for key, err := range map[string]error{
		"mail_user":         c.checkMailUser(euid),
		"tls.certificate":   checkCertificate(first),
		"tls.key":           checkKey(first),
		"tls.certificates":  c.checkCertificates(),
		"auth.passwd_file":  checkPasswd(c.Auth.PasswdFile),
		"auth.master_users": checkPasswd(c.Auth.MasterUsers),

		"auth.oauth_jwks":               c.checkJWKS(),
		"auth.oauth_introspection":      c.checkIntrospection(),
		"auth.oauth_client_secret_file": c.checkClientSecret(),
	} {
		if err != nil {
			ps = append(ps, c.Problem(key, err.Error()))
		}
	}
	return ps.asError()
}

// checkUser is about the user that the front becomes, which only root can make
// it.
func (c *Config) checkUser(euid int) *Problem {
	if euid != 0 {
		return nil
	}
	u, err := user.Lookup(c.User)
	switch {
	case err != nil:
		return c.Problem("user", fmt.Sprintf("this machine has no user %q", c.User)).
			WithRemedy("useradd --system --user-group --no-create-home --shell /usr/sbin/nologin " + c.User)
	case u.Uid == "0":
		return c.Problem("user", fmt.Sprintf("%q has the user id 0, expected a user without root's rights, and one that owns nothing", c.User))
	}
	return nil
}

func (c *Config) checkMailUser(euid int) error {
	if c.MailUser == "" {
		return nil
	}
	u, err := user.Lookup(c.MailUser)
	if err != nil {
		return fmt.Errorf("%q, expected a user of this machine (getent passwd lists them)", c.MailUser)
	}
	uid, err := strconv.Atoi(u.Uid)
	switch {
	case err != nil:
		return fmt.Errorf("%q has the user id %s, expected a number", c.MailUser, u.Uid)
	case euid != 0 && uid != euid:
		return fmt.Errorf("%q, expected sidepop to be started as that user or as root; it runs as user id %d", c.MailUser, euid)
	case euid == 0 && c.isFront(u.Uid):
		return fmt.Errorf("%q is user too, expected another one: what speaks to the network must not own mail", c.MailUser)
	case euid == 0 && uid < c.MinUID:
		return fmt.Errorf("%q has the user id %d, expected one from minimum_uid = %d on", c.MailUser, uid, c.MinUID)
	}
	return nil
}

// isFront says whether an id is that of the front's user.
func (c *Config) isFront(uid string) bool {
	u, err := user.Lookup(c.User)
	return err == nil && u.Uid == uid
}

// checkCertificates finds what is wrong with the further certificates.
func (c *Config) checkCertificates() error {
	var all []error
	for _, f := range c.TLS.Certificates {
		all = append(all, checkCertificate(f), checkKey(f))
	}
	return errors.Join(all...)
}

func checkCertificate(f certs.Files) error {
	if f.Certificate == "" {
		return nil
	}
	data, err := os.ReadFile(f.Certificate)
	if err != nil {
		return unreadable(f.Certificate, err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return fmt.Errorf("%s is damaged: %w", f.Certificate, err)
			}
			return nil
		}
	}
	return fmt.Errorf("%s has no certificate, expected PEM with -----BEGIN CERTIFICATE-----", f.Certificate)
}

// checkKey says nothing about a key whose certificate is at fault.
func checkKey(f certs.Files) error {
	if f.Key == "" {
		return nil
	}
	key, err := os.ReadFile(f.Key)
	if err != nil {
		return unreadable(f.Key, err)
	}
	if checkCertificate(f) != nil {
		return nil
	}
	certificate, err := os.ReadFile(f.Certificate)
	if err != nil {
		return nil
	}
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		return fmt.Errorf("%s is not the key of %s, expected its private key without passphrase in PEM (%s)",
			f.Key, f.Certificate, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return nil
}

// checkPasswd opens a passwd file, or the folder that holds the folders or
// files of the domains.
func checkPasswd(file string) error {
	if file == "" {
		return nil
	}
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
	if os.Geteuid() == 0 && errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s can't be read by root without its right to pass over permissions (%s), which the keeper gives up; "+
			"expected a file of root's own, or one that anybody may read, in folders that are so too", file, reason(err))
	}
	return fmt.Errorf("%s can't be read by user id %d (%s), expected a file that it may read", file, os.Geteuid(), reason(err))
}
