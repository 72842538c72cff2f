package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"time"
)

// localLife is how long a certificate for trying things is valid.
const localLife = 30 * 24 * time.Hour

// clockSkew is how far behind a client's clock may be.
const clockSkew = time.Hour

// WriteLocal makes a certificate for this machine's loopback names, signed by
// itself, and writes it and its key to files that only the owner can read.
func WriteLocal(certificate, key string) error {
	certificatePEM, keyPEM, err := signItself(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost", Organization: []string{"sidepop try"}},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}, localLife)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certificate, certificatePEM, ownMode); err != nil {
		return err
	}
	return os.WriteFile(key, keyPEM, ownMode)
}

// signItself completes a certificate for a server, signed by itself, and gives it
// and its new key in PEM.
func signItself(template *x509.Certificate, life time.Duration) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-clockSkew), now.Add(life)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	inPEM := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return inPEM("CERTIFICATE", der), inPEM("PRIVATE KEY", keyDER), nil
}
