package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
)

// schemes are the ways of signing that TLS 1.2 and 1.3 have (RFC 8446, section
// 4.2.3), without those of SHA-1, and from oldSchemes on those of TLS 1.0 and 1.1. A
// packet has the index.
var schemes = [...]crypto.SignerOpts{
	crypto.Hash(0), // Ed25519, which signs the message itself
	crypto.SHA256,  // ECDSA, or RSA with PKCS #1 v1.5
	crypto.SHA384,
	crypto.SHA512,
	&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256},
	&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384},
	&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA512},
	crypto.MD5SHA1, // RSA (RFC 4346, section 7.4.3)
	crypto.SHA1,    // ECDSA (RFC 4492, section 5.4)
}

const oldSchemes = 7

var errScheme = errors.New("a way of signing that TLS does not have with this key")

// schemeOf is the index of what crypto/tls asks for.
func schemeOf(opts crypto.SignerOpts) (int, error) {
	pss, isPSS := opts.(*rsa.PSSOptions)
	if isPSS && pss.SaltLength != rsa.PSSSaltLengthEqualsHash {
		return 0, errScheme
	}
	for i, s := range schemes {
		if _, ok := s.(*rsa.PSSOptions); ok == isPSS && s.HashFunc() == opts.HashFunc() {
			return i, nil
		}
	}
	return 0, errScheme
}

// checkScheme says whether a key signs so, and whether the digest is one: with
// anything else a key could be made to sign what no TLS client asks for.
func checkScheme(public crypto.PublicKey, opts crypto.SignerOpts, digest []byte) error {
	_, pss := opts.(*rsa.PSSOptions)
	hashed := opts.HashFunc() != 0
	right := false
	switch public.(type) {
	case ed25519.PublicKey:
		right = !hashed
	case *ecdsa.PublicKey:
		right = hashed && !pss && opts.HashFunc() != crypto.MD5SHA1
	case *rsa.PublicKey:
		right = hashed && opts.HashFunc() != crypto.SHA1
	}
	if !right {
		return errScheme
	}
	if hashed && len(digest) != opts.HashFunc().Size() {
		return fmt.Errorf("a digest of %d octets for %v", len(digest), opts.HashFunc())
	}
	return nil
}
