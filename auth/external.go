package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// MaxAuthorityOctets limits a file of authorities for client certificates: some ten
// of them. Those that a machine trusts for servers are another file.
const MaxAuthorityOctets = 16 << 10

// Certificates says who the owners of client certificates are. Its files count as they
// are at each login. Its methods may be called from many goroutines at once.
type Certificates struct {
	authorities *kept[authorities] // nil: nobody signs certificates
	users       *kept[owners]      // nil: there is no file
}

// authorities are those who sign.
type authorities struct {
	pem   []byte
	roots *x509.CertPool
}

// owners are users by fingerprint, address or common name.
type owners map[string]string

// OpenCertificates has the authorities that sign client certificates, in PEM, in a file
// if not "", and users named by another, if not "". Each line of that has what a
// certificate is known by and, after a space, the user: the SHA-256 fingerprint in
// hexadecimal, with or without colons, an e-mail address or a common name. A common name
// with an @ counts only for certificates without addresses. Empty lines and those that
// begin with # are comments. It fails where a file can't be used now.
func OpenCertificates(authorities, users string) (*Certificates, error) {
	c := new(Certificates)
	if authorities != "" {
		c.authorities = keep(authorities, parseAuthorities)
		if err := usable(c.authorities); err != nil {
			return nil, err
		}
	}
	if users != "" {
		c.users = keep(users, parseOwners)
		if err := usable(c.users); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// usable says what is wrong with a file, before anybody logs in by it.
func usable[T any](k *kept[T]) error {
	_, err := k.current()
	var file *fs.PathError
	if errors.As(err, &file) {
		return file
	}
	return err
}

func parseAuthorities(file, content string) (*authorities, error) {
	a := &authorities{[]byte(content), x509.NewCertPool()}
	if n := len(content); n > MaxAuthorityOctets {
		return nil, fmt.Errorf("%s has %d octets, expected the authorities of clients alone, %d octets at most", file, n, MaxAuthorityOctets)
	}
	if !a.roots.AppendCertsFromPEM(a.pem) {
		return nil, fmt.Errorf("%s has no certificate, expected PEM with -----BEGIN CERTIFICATE-----", file)
	}
	return a, nil
}

func parseOwners(file, content string) (*owners, error) {
	users := make(owners)
	number := 0
	for line := range strings.Lines(content) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		last := len(fields) - 1
		key := knownBy(strings.Join(fields[:last], " "))
		if _, twice := users[key]; key == "" || twice {
			return nil, fmt.Errorf("%s:%d: expected a fingerprint, an address or a name that was not there before, and then a user", file, number)
		}
		users[key] = fields[last]
	}
	return &users, nil
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

// named is the user for an address or a common name. Somebody whose certificate has the
// fingerprint of another's as its name is not that other.
func (o owners) named(name string) (user string, ok bool) {
	key := knownBy(name)
	user, ok = o[key]
	return user, ok && !isFingerprint(key)
}

// Authorities are the certificates of those who sign, in PEM; nil: there are none. An
// error is that of the file.
func (c *Certificates) Authorities() ([]byte, error) {
	if c.authorities == nil {
		return nil, nil
	}
	a, err := c.authorities.current()
	if err != nil {
		return nil, err
	}
	return a.pem, nil
}

// Users are the names that the owner of a certificate may log in as, the preferred
// first: those of the file if there is one, else the e-mail addresses of the
// certificate, else its common name. The chain begins with the certificate, and has
// what leads to an authority. The error is [ErrCredentials], or that of a file. Whether
// a certificate was revoked is not looked up.
func (c *Certificates) Users(chain []*x509.Certificate) ([]string, error) {
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w: the client has no certificate", ErrCredentials)
	}
	leaf := chain[0]
	if err := c.signed(chain); err != nil {
		return nil, err
	}
	names := leaf.EmailAddresses
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = []string{leaf.Subject.CommonName}
	}
	if c.users != nil {
		users, err := c.users.current()
		if err != nil {
			return nil, err
		}
		names = users.of(leaf)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: the client's certificate with the serial number %x names no user", ErrCredentials, leaf.SerialNumber)
	}
	return names, nil
}

// signed says whether one of the authorities has signed a client's certificate.
func (c *Certificates) signed(chain []*x509.Certificate) error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if c.authorities != nil {
		a, err := c.authorities.current()
		if err != nil {
			return err
		}
		o.Roots = a.roots
	}
	for _, certificate := range chain[1:] {
		o.Intermediates.AddCert(certificate)
	}
	if _, err := chain[0].Verify(o); err != nil {
		return fmt.Errorf("%w: the client's certificate: %w", ErrCredentials, err)
	}
	return nil
}

// of are the users of a certificate. Who signs it may let its owner choose the common
// name, which must not pass for another's address.
func (o owners) of(leaf *x509.Certificate) (names []string) {
	fingerprint := sha256.Sum256(leaf.Raw)
	if user, ok := o[hex.EncodeToString(fingerprint[:])]; ok {
		names = append(names, user)
	}
	claimed := slices.Clone(leaf.EmailAddresses)
	if name := leaf.Subject.CommonName; len(claimed) == 0 || !strings.Contains(name, "@") {
		claimed = append(claimed, name)
	}
	for _, name := range claimed {
		if user, ok := o.named(name); ok {
			names = append(names, user)
		}
	}
	return names
}

// Named is [Certificates.Users] of a certificate that somebody else has verified, such
// as a proxy, and of which the common name alone is known.
func (c *Certificates) Named(commonName string) ([]string, error) {
	if c.users == nil {
		return []string{commonName}, nil
	}
	users, err := c.users.current()
	if err != nil {
		return nil, err
	}
	if user, ok := users.named(commonName); ok {
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
