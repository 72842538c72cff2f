package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// MaxAuthorityOctets limits a file of authorities for client certificates: some ten
// of them. Those that a machine trusts for servers are another file.
const MaxAuthorityOctets = 16 << 10

// Certificates says who the owners of client certificates are.
type Certificates struct {
	authorities []byte // in PEM
	roots       *x509.CertPool
	users       map[string]string // by fingerprint, address or common name; nil: there is no file
}

// OpenCertificates reads the authorities that sign client certificates, in PEM, and
// a file that names users, if not "". Each line of that has what a certificate is
// known by and, after a space, the user: the SHA-256 fingerprint in hexadecimal,
// with or without colons, an e-mail address or a common name. A common name with an @
// counts only for certificates without addresses. Empty lines and those that begin
// with # are comments.
func OpenCertificates(authorities, users string) (*Certificates, error) {
	pem, err := os.ReadFile(authorities)
	if err != nil {
		return nil, err
	}
	c := &Certificates{authorities: pem, roots: x509.NewCertPool()}
	switch {
	case len(pem) > MaxAuthorityOctets:
		return nil, fmt.Errorf("%s has %d octets, expected the authorities of clients alone, %d octets at most", authorities, len(pem), MaxAuthorityOctets)
	case !c.roots.AppendCertsFromPEM(pem):
		return nil, fmt.Errorf("%s has no certificate, expected PEM with -----BEGIN CERTIFICATE-----", authorities)
	case users == "":
		return c, nil
	}
	content, _, _, err := readFile(users)
	if err != nil {
		return nil, err
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
			return nil, fmt.Errorf("%s:%d: expected a fingerprint, an address or a name that was not there before, and then a user", users, number)
		}
		c.users[key] = fields[last]
	}
	return c, nil
}

// knownBy is the one form of what a certificate is known by.
func knownBy(key string) string {
	key = strings.ToLower(key)
	if digits := strings.ReplaceAll(key, ":", ""); isFingerprint(digits) {
		return digits
	}
	return key
}

func isFingerprint(digits string) bool {
	return len(digits) == hex.EncodedLen(sha256.Size) && strings.Trim(digits, "0123456789abcdef") == ""
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
		names = c.named(leaf)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: the client's certificate with the serial number %x names no user", ErrCredentials, leaf.SerialNumber)
	}
	return names, nil
}

// named are the users that the file has for a certificate. Who signs it may let its
// owner choose the common name, which must not pass for another certificate's
// fingerprint or address.
func (c *Certificates) named(leaf *x509.Certificate) (names []string) {
	fingerprint := sha256.Sum256(leaf.Raw)
	keys := []string{hex.EncodeToString(fingerprint[:])}
	add := func(key string) {
		if key = knownBy(key); !isFingerprint(key) {
			keys = append(keys, key)
		}
	}
	for _, address := range leaf.EmailAddresses {
		add(address)
	}
	if name := leaf.Subject.CommonName; len(leaf.EmailAddresses) == 0 || !strings.Contains(name, "@") {
		add(name)
	}
	for _, key := range keys {
		if user, ok := c.users[key]; ok {
			names = append(names, user)
		}
	}
	return names
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
