package pop3_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"sidepop/pop3"
	"sidepop/pop3/memory"
)

// binding is a backend that notes the channel bindings of who authenticates.
type binding struct {
	*memory.Backend
	mechanisms []string
	noted      chan []pop3.ChannelBinding
}

func (b *binding) Offer(p pop3.Peer) pop3.Offer {
	o := b.Backend.Offer(p)
	o.SASL = b.mechanisms
	return o
}

func (b *binding) SASL(_ context.Context, p pop3.Peer, _ string) (pop3.Exchange, error) {
	b.noted <- p.Bindings
	return nil, pop3.ErrCredentials
}

// certificateFor makes a certificate that a key signs itself.
func certificateFor(t *testing.T, key crypto.Signer, how x509.SignatureAlgorithm) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"pop.example.org"}, SignatureAlgorithm: how,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestChannelBindings compares what the server has with what the client computes.
func TestChannelBindings(t *testing.T) {
	p256, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, err2 := rsa.GenerateKey(rand.Reader, 2048)
	_, edKey, err3 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	sum256 := func(p []byte) []byte { s := sha256.Sum256(p); return s[:] }
	sum384 := func(p []byte) []byte { s := sha512.Sum384(p); return s[:] }
	sum512 := func(p []byte) []byte { s := sha512.Sum512(p); return s[:] }
	for _, c := range []struct {
		name        string
		certificate tls.Certificate
		version     uint16
		hash        func([]byte) []byte // nil: there is no end point
		silent      bool                // nobody says which certificate it is
		want        []string            // types of new sessions
		resumed     []string
	}{
		{"TLS 1.3", certificateFor(t, p256, x509.ECDSAWithSHA256), tls.VersionTLS13, sum256, false,
			[]string{pop3.BindingExporter, pop3.BindingEndPoint}, []string{pop3.BindingExporter}},
		{"TLS 1.2", certificateFor(t, p256, x509.ECDSAWithSHA384), tls.VersionTLS12, sum384, false,
			[]string{pop3.BindingExporter, pop3.BindingUnique, pop3.BindingEndPoint}, []string{pop3.BindingExporter, pop3.BindingUnique}},
		{"RSA", certificateFor(t, rsaKey, x509.SHA512WithRSA), tls.VersionTLS13, sum512, false,
			[]string{pop3.BindingExporter, pop3.BindingEndPoint}, []string{pop3.BindingExporter}},
		{"RSA-PSS", certificateFor(t, rsaKey, x509.SHA384WithRSAPSS), tls.VersionTLS13, sum384, false,
			[]string{pop3.BindingExporter, pop3.BindingEndPoint}, []string{pop3.BindingExporter}},
		{"Ed25519", certificateFor(t, edKey, x509.PureEd25519), tls.VersionTLS13, nil, false,
			[]string{pop3.BindingExporter}, []string{pop3.BindingExporter}},
		{"silent", certificateFor(t, p256, x509.ECDSAWithSHA256), tls.VersionTLS13, nil, true,
			[]string{pop3.BindingExporter}, []string{pop3.BindingExporter}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &binding{alice("a\n"), []string{"SCRAM-SHA-256-PLUS", "PLAIN"}, make(chan []pop3.ChannelBinding, 1)}
			config := &tls.Config{MaxVersion: c.version, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				if !c.silent {
					pop3.NoteCertificate(hello, &c.certificate)
				}
				return &c.certificate, nil
			}}
			address := serve(t, &pop3.Server{Backend: b, Settings: pop3.Settings{TLS: config}})
			own := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			for i, want := range [][]string{c.want, c.resumed} {
				client := dial(t, address)
				client.hear(`\+OK POP3 ready`)
				client.say("CAPA")
				if capa := client.multiline(); !strings.Contains(capa, "\r\nSASL PLAIN\r\n") {
					t.Errorf("without TLS: %q", capa)
				}
				client.say("AUTH SCRAM-SHA-256-PLUS", "STLS")
				client.hear(`-ERR .*`)
				client.hear(`\+OK begin TLS`)
				conn := tls.Client(client.Conn, own)
				if err := conn.Handshake(); err != nil {
					t.Fatal(err)
				}
				client.Conn = conn
				client.in.Reset(conn)
				client.say("CAPA", "AUTH SCRAM-SHA-256-PLUS")
				if capa := client.multiline(); !strings.Contains(capa, "\r\nSASL SCRAM-SHA-256-PLUS PLAIN\r\n") {
					t.Errorf("with TLS: %q", capa)
				}
				client.hear(`-ERR \[AUTH\] .*`)
				compare(t, conn.ConnectionState(), i == 1, <-b.noted, want, c.hash)
				client.say("QUIT")
				client.hear(`\+OK goodbye`)
				_ = conn.Close()
			}
		})
	}
}

func compare(t *testing.T, state tls.ConnectionState, resumed bool, got []pop3.ChannelBinding, want []string, hash func([]byte) []byte) {
	t.Helper()
	if state.DidResume != resumed {
		t.Errorf("resumed is %v", state.DidResume)
	}
	exported, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	own := map[string][]byte{pop3.BindingExporter: exported, pop3.BindingUnique: state.TLSUnique}
	if hash != nil {
		own[pop3.BindingEndPoint] = hash(state.PeerCertificates[0].Raw)
	}
	var types []string
	for _, b := range got {
		types = append(types, b.Type)
		if !reflect.DeepEqual(b.Data, own[b.Type]) || len(b.Data) == 0 {
			t.Errorf("%s: %x, the client has %x", b.Type, b.Data, own[b.Type])
		}
	}
	if !reflect.DeepEqual(types, want) {
		t.Errorf("%v, want %v", types, want)
	}
}
