package pop3

import (
	"context"
	"crypto"
	_ "crypto/sha256" // the hashes of end points
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
)

// ChannelBinding is what both ends of a TLS connection know, and nobody in the
// middle of two has (RFC 5056). SASL mechanisms with -PLUS bind to it.
type ChannelBinding struct {
	Type string // as registered with IANA: one of the constants here
	Data []byte
}

// The types of channel bindings.
const (
	BindingExporter = "tls-exporter"         // RFC 9266
	BindingEndPoint = "tls-server-end-point" // RFC 5929, section 4
	BindingUnique   = "tls-unique"           // RFC 5929, section 3: up to TLS 1.2
)

// NoteCertificate is called by [tls.Config].GetCertificate, to say which
// certificate it gives: crypto/tls does not tell the server, and the channel
// binding tls-server-end-point needs it. A handshake of somebody else's is nothing
// to it.
func NoteCertificate(hello *tls.ClientHelloInfo, given *tls.Certificate) {
	if given == nil || len(given.Certificate) == 0 || hello.Context() == nil {
		return
	}
	if noted, ok := hello.Context().Value(notedKey{}).(*[]byte); ok {
		*noted = given.Certificate[0]
	}
}

// notedKey is the key of the place for a handshake's certificate, in DER.
type notedKey struct{}

func noting(ctx context.Context, noted *[]byte) context.Context {
	return context.WithValue(ctx, notedKey{}, noted)
}

// channelBindings are those of a connection, for which a certificate was noted, if
// any.
func channelBindings(state *tls.ConnectionState, certificate []byte) (all []ChannelBinding) {
	// The label and the length are those of RFC 9266, section 2. It fails without
	// the extended master secret, without which tls-unique is not safe either
	// (RFC 7627, section 1).
	const label, octets = "EXPORTER-Channel-Binding", 32
	if exported, err := state.ExportKeyingMaterial(label, nil, octets); err == nil {
		all = append(all, ChannelBinding{BindingExporter, exported})
		if len(state.TLSUnique) > 0 {
			all = append(all, ChannelBinding{BindingUnique, state.TLSUnique})
		}
	}
	// In a session that was resumed the client may hold on to an older certificate.
	if hashed := endPoint(certificate); hashed != nil && !state.DidResume {
		all = append(all, ChannelBinding{BindingEndPoint, hashed})
	}
	return all
}

// endPoint hashes a certificate as it was signed, but not with MD5 or SHA-1
// (RFC 5929, section 4.1). Where the signature has no hash function of its own, as
// with Ed25519, there is no such binding.
func endPoint(certificate []byte) []byte {
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil
	}
	hash := crypto.SHA256
	switch parsed.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	default:
		return nil
	}
	h := hash.New()
	h.Write(certificate)
	return h.Sum(nil)
}

// trusted is a client's chain of certificates if it leads to one of ClientCAs.
func (s *Settings) trusted(chain []*x509.Certificate) []*x509.Certificate {
	if s.ClientCAs == nil || len(chain) == 0 || len(chain) > maxClientChain {
		return nil
	}
	octets, between := 0, x509.NewCertPool()
	for i, certificate := range chain {
		if octets += len(certificate.Raw); i > 0 {
			between.AddCert(certificate)
		}
	}
	o := x509.VerifyOptions{Roots: s.ClientCAs, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := chain[0].Verify(o); err != nil || octets > maxClientOctets {
		return nil
	}
	return chain
}

// Bounds of a client's chain of certificates. People's have one or two.
const maxClientChain, maxClientOctets = 5, 16 << 10

// mechanisms are those of an offer that the connection can do: without a channel
// binding none with -PLUS (RFC 5802, section 6), without a certificate not EXTERNAL
// (RFC 4422, appendix A).
func (c *session) mechanisms(o Offer) []string {
	certified := len(c.peer.Certificates) > 0 || c.peer.ClientName != ""
	return slices.DeleteFunc(slices.Clone(o.SASL), func(m string) bool {
		return strings.HasSuffix(m, "-PLUS") && len(c.peer.Bindings) == 0 || m == "EXTERNAL" && !certified
	})
}
