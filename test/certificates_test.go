package test

import (
	"crypto"
	"testing"

	"sidepop/test/internal/pki"
)

// Files of certificates writes.
const (
	caFile   = pki.CAFile // what clients are told to trust
	certFile = pki.CertFile
	keyFile  = pki.KeyFile
)

// certificates makes an authority and a certificate for localhost in dir.
func certificates(t testing.TB, dir string) {
	t.Helper()
	certificatesFor(t, dir, nil)
}

// certificatesFor is certificates with the server's private key.
func certificatesFor(t testing.TB, dir string, key crypto.Signer) {
	t.Helper()
	must(t, pki.Write(dir, key, "localhost"))
}
