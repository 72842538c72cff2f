package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// MaxAuthorityOctets limits a file of authorities for client certificates: some ten
// of them. Those that a machine trusts for servers are another file.
const MaxAuthorityOctets = 16 << 10

// Certificates says who the owners of client certificates are.
type Certificates struct {
	authorities []byte // in PEM; none: nobody signs certificates
	roots       *x509.CertPool
	users       map[string]string // by fingerprint, address or common name; nil: there is no file
}

// OpenCertificates reads the authorities that sign client certificates, in PEM, if not
// "", and a file that names users, if not "". Each line of that has what a certificate is
// known by and, after a space, the user: the SHA-256 fingerprint in hexadecimal,
// with or without colons, an e-mail address or a common name. Empty lines and those
// that begin with # are comments.
func OpenCertificates(authorities, users string) (*Certificates, error) {
	c := &Certificates{roots: x509.NewCertPool()}
	if authorities != "" {
		if err := c.readAuthorities(authorities); err != nil {
			return nil, err
		}
	}
	if users != "" {
		return c, c.readUsers(users)
	}
	return c, nil
}

func (c *Certificates) readAuthorities(file string) (err error) {
	if c.authorities, err = os.ReadFile(file); err != nil {
		return err
	}
	if n := len(c.authorities); n > MaxAuthorityOctets {
		return fmt.Errorf("%s has %d octets, expected the authorities of clients alone, %d octets at most", file, n, MaxAuthorityOctets)
	}
	if !c.roots.AppendCertsFromPEM(c.authorities) {
		return fmt.Errorf("%s has no certificate, expected PEM with -----BEGIN CERTIFICATE-----", file)
	}
	return nil
}

func (c *Certificates) readUsers(file string) error {
	content, _, _, err := readFile(file)
	if err != nil {
		return err
	}
	c.users = make(map[string]string)
	number := 0
	for line := range strings.Lines(content) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		last := len(fields) - 1
		key := knownBy(strings.Join(fields[:last], " "))
		if _, twice := c.users[key]; key == "" || twice {
			return fmt.Errorf("%s:%d: expected a fingerprint, an address or a name that was not there before, and then a user", file, number)
		}
		c.users[key] = fields[last]
	}
	return nil
}

// knownBy is the one form of what a certificate is known by.
func knownBy(key string) string {
	key = strings.ToLower(key)
	if digits := strings.ReplaceAll(key, ":", ""); isFingerprint(digits) {
		return digits
	}
	return key
}

func isFingerprint(key string) bool {
	return len(key) == hex.EncodedLen(sha256.Size) && strings.Trim(key, "0123456789abcdef") == ""
}

// named is the user in the file for an address or a common name. Somebody whose
// certificate has the fingerprint of another's as its name is not that other.
func (c *Certificates) named(name string) (user string, ok bool) {
	key := knownBy(name)
	user, ok = c.users[key]
	return user, ok && !isFingerprint(key)
}

// Authorities are the certificates of those who sign, in PEM.
func (c *Certificates) Authorities() []byte { return c.authorities }

// Users are the names that the owner of a certificate may log in as, the preferred
// first: those of the file if there is one, else the e-mail addresses of the
// certificate, else its common name. The chain begins with the certificate, and has
// what leads to an authority. The error is [ErrCredentials]. Whether a certificate
// was revoked is not looked up.
func (c *Certificates) Users(chain []*x509.Certificate) ([]string, error) {
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: the client has no certificate", ErrCredentials)
	}
	leaf, between := chain[0], x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: c.roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return nil, fmt.Errorf("%w: the client's certificate: %w", ErrCredentials, err)
	}
	names := leaf.EmailAddresses
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = []string{leaf.Subject.CommonName}
	}
	if c.users != nil {
		names = nil
		fingerprint := sha256.Sum256(leaf.Raw)
		if user, ok := c.users[hex.EncodeToString(fingerprint[:])]; ok {
			names = append(names, user)
		}
		for _, name := range append(slices.Clone(leaf.EmailAddresses), leaf.Subject.CommonName) {
			if user, ok := c.named(name); ok {
				names = append(names, user)
			}
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: the client's certificate with the serial number %x names no user", ErrCredentials, leaf.SerialNumber)
	}
	return names, nil
}

// Named is [Certificates.Users] of a certificate that somebody else has verified, such
// as a proxy, and of which the common name alone is known.
func (c *Certificates) Named(commonName string) ([]string, error) {
	if c.users == nil {
		return []string{commonName}, nil
	}
	if user, ok := c.named(commonName); ok {
		return []string{user}, nil
	}
	return nil, fmt.Errorf("%w: the client's certificate for %q names no user", ErrCredentials, commonName)
}

// NewExternal begins an exchange with EXTERNAL (RFC 4422, appendix A) for somebody
// who is proved to have some names, such as by a certificate. What comes to verify
// has the name among them that the client asks for, or the first, and what it asks
// for as its identity: [Chain.AdmitAs] heeds both.
func NewExternal(names []string, verify VerifyFunc) *Exchange {
	e := &Exchange{verify: verify}
	e.server = externalServer{e, names}
	return e
}

// externalServer is the server's side of EXTERNAL.
type externalServer struct {
	exchange *Exchange
	names    []string
}

// Next implements [sasl.Server].
func (x externalServer) Next(response []byte) (challenge []byte, done bool, err error) {
	identity := string(response)
	switch {
	case response == nil:
		return []byte{}, false, nil
	case strings.IndexByte(identity, 0) >= 0:
		return nil, false, errors.New("the authorization identity holds NUL")
	}
	l := Login{User: x.names[0], Identity: identity}
	for _, name := range x.names {
		if foldUser(name) == foldUser(identity) {
			l.User, l.Identity = name, ""
		}
	}
	err = x.exchange.askLogin(l)
	return nil, err == nil, err
}

// AdmitAs is [Chain.Admit] for a login with an authorization identity, which must be
// another name of the same account.
func (c Chain) AdmitAs(ctx context.Context, l Login) (*Account, error) {
	account, err := c.Admit(ctx, l.User, l.Remote)
	if err != nil || !l.AsOther() {
		return account, err
	}
	other, err := c.Account(ctx, l.Identity)
	switch {
	case errors.Is(err, ErrTemporary), errors.Is(err, ErrPermanent):
		return nil, err
	case err != nil || other.Name != account.Name:
		return nil, fmt.Errorf("%w: the authorization identity is not another name of %q", ErrDenied, account.Name)
	}
	return account, nil
}
