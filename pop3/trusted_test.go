package pop3

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"testing"
	"time"
)

// TestTrusted: a client's certificate counts if its authority is known, and the
// keeper takes what comes with it.
func TestTrusted(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(octets int, usage x509.ExtKeyUsage) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{usage}, EmailAddresses: []string{string(make([]byte, octets))},
			IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	good, large, server := issue(1, x509.ExtKeyUsageClientAuth), issue(maxClientOctets, x509.ExtKeyUsageClientAuth), issue(1, x509.ExtKeyUsageServerAuth)
	pool := x509.NewCertPool()
	for _, c := range []*x509.Certificate{good, large, server} {
		pool.AddCert(c)
	}
	many := make([]*x509.Certificate, maxClientChain+1)
	for i := range many {
		many[i] = good
	}
	for _, c := range []struct {
		name  string
		roots *x509.CertPool
		chain []*x509.Certificate
		want  bool
	}{
		{"good", pool, []*x509.Certificate{good}, true},
		{"as long as can be", pool, many[1:], true},
		{"too long", pool, many, false},
		{"too large", pool, []*x509.Certificate{large}, false},
		{"too large behind it", pool, []*x509.Certificate{good, large}, false},
		{"a server's", pool, []*x509.Certificate{server}, false},
		{"none", pool, nil, false},
		{"nobody is trusted", x509.NewCertPool(), []*x509.Certificate{good}, false},
		{"nobody is asked", nil, []*x509.Certificate{good}, false},
	} {
		if got := (&Settings{ClientCAs: c.roots}).trusted(c.chain); (got != nil) != c.want {
			t.Errorf("%s: %v, want %v", c.name, got != nil, c.want)
		}
	}
}
