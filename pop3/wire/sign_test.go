package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// issue makes a certificate of key for a name.
func issue(t testing.TB, name string, key crypto.Signer) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// keys are one of each kind that TLS has.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ec256, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec384, err3 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, err4 := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{"RSA": rsaKey, "P-256": ec256, "P-384": ec384, "Ed25519": ed}
})

// handshake does one as a client that trusts root, with the front's certificates.
func handshake(t testing.TB, f *front, name string, root tls.Certificate, version uint16) error {
	t.Helper()
	leaf, err := x509.ParseCertificate(root.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	result := make(chan error, 1)
	go func() {
		b, err := l.Accept()
		if err == nil {
			_ = b.SetDeadline(time.Now().Add(patience))
			err = tls.Server(b, &tls.Config{GetCertificate: f.Certificate, MinVersion: tls.VersionTLS10}).Handshake()
			_ = b.Close()
		}
		result <- err
	}()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	_ = a.SetDeadline(time.Now().Add(patience))
	client := tls.Client(a, &tls.Config{ServerName: name, RootCAs: roots, MinVersion: version, MaxVersion: version})
	return errors.Join(client.Handshake(), <-result)
}

// TestHandshakes: the keeper signs with each kind of key, and the front picks
// the certificate of the name.
func TestHandshakes(t *testing.T) {
	k := newKeeper(t, alice())
	f := newFront(t, k)
	state := State{Settings: []byte("s")}
	names := map[string]tls.Certificate{}
	for kind, key := range keys() {
		c := issue(t, strings.ToLower(kind)+".example.org", key)
		names[strings.ToLower(kind)+".example.org"] = c
		state.Certificates = append(state.Certificates, c)
	}
	if err := k.Push(state); err != nil {
		t.Fatal(err)
	}
	within(t, "state", f.settings)
	for name, c := range names {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			if err := handshake(t, f, name, c, version); err != nil {
				t.Errorf("%s, %s: %v", name, tls.VersionName(version), err)
			}
		}
	}
	// A name that none is for gets the first.
	err := handshake(t, f, "other.example.org", state.Certificates[0], tls.VersionTLS13)
	if wrong := new(x509.HostnameError); !errors.As(err, wrong) {
		t.Errorf("another name: %v", err)
	}
	if told := k.events.String(); told != "" {
		t.Error(told)
	}
}

// TestChoice: of RSA and ECDSA certificates for two names clients get the first that
// they can use, and one of a kind that they know where the name is another or none.
func TestChoice(t *testing.T) {
	var all []*tls.Certificate
	add := func(name, kind string) {
		c := issue(t, name, keys()[kind])
		all = append(all, &c)
	}
	add("a.example.org", "P-256")
	add("a.example.org", "RSA")
	add("b.example.org", "RSA")
	add("b.example.org", "P-256")
	ecdsaOnly := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
	rsaOnly := []tls.SignatureScheme{tls.PSSWithSHA256}
	for _, tt := range []struct {
		name    string
		schemes []tls.SignatureScheme
		want    int
	}{
		{"a.example.org", append(ecdsaOnly, rsaOnly...), 0},
		{"a.example.org", rsaOnly, 1},
		{"b.example.org", append(ecdsaOnly, rsaOnly...), 2},
		{"b.example.org", ecdsaOnly, 3},
		{"", append(ecdsaOnly, rsaOnly...), 0},
		{"", rsaOnly, 1},
		{"c.example.org", ecdsaOnly, 0},
		{"c.example.org", rsaOnly, 1},
		{"a.example.org", []tls.SignatureScheme{tls.Ed25519}, 0}, // which it will not take
	} {
		got := choose(all, &tls.ClientHelloInfo{
			ServerName: tt.name, SignatureSchemes: tt.schemes, SupportedVersions: []uint16{tls.VersionTLS13},
			SupportedCurves: []tls.CurveID{tls.X25519}, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256},
		})
		if got != all[tt.want] {
			t.Errorf("%q with %v: not certificate %d", tt.name, tt.schemes, tt.want)
		}
	}
}

// TestOldSchemes: keys sign for TLS 1.0 and 1.1 only if the keeper was told to.
func TestOldSchemes(t *testing.T) {
	for _, old := range []bool{false, true} {
		k := newKeeper(t, alice())
		f := newFront(t, k)
		for _, kind := range []string{"RSA", "P-256"} {
			c := issue(t, "old.example.org", keys()[kind])
			if err := k.Push(State{Settings: []byte(kind), Certificates: []tls.Certificate{c}, OldSchemes: old}); err != nil {
				t.Fatal(err)
			}
			within(t, "state", f.settings)
			for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
				err := handshake(t, f, "old.example.org", c, version)
				if works := old || version == tls.VersionTLS12; works != (err == nil) {
					t.Errorf("%s, old schemes %v, %s: %v", kind, old, tls.VersionName(version), err)
				}
			}
		}
	}
}

// TestManySignatures: all that are asked for at once come.
func TestManySignatures(t *testing.T) {
	k := newKeeper(t, alice())
	f := newFront(t, k)
	key := keys()["P-256"]
	if err := k.Push(State{Certificates: []tls.Certificate{issue(t, "x", key)}}); err != nil {
		t.Fatal(err)
	}
	within(t, "state", f.settings)
	certificate, err := f.Certificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for i := range 200 {
		running.Go(func() {
			digest := make([]byte, 32)
			digest[0] = byte(i)
			signature, err := certificate.PrivateKey.(crypto.Signer).Sign(rand.Reader, digest, crypto.SHA256)
			if err != nil || !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest, signature) {
				t.Errorf("signature %d: %v", i, err)
			}
		})
	}
	running.Wait()
}

// stuckKey signs when it is released, or panics.
type stuckKey struct {
	crypto.Signer
	release chan struct{}
	panics  atomic.Bool
}

func (k *stuckKey) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if k.panics.Load() {
		panic("a defect")
	}
	<-k.release
	return k.Signer.Sign(r, digest, o)
}

// TestSignatureQueue: when too many wait, the next one is refused at once; and a
// key that panics ends nothing else.
func TestSignatureQueue(t *testing.T) {
	k := newKeeper(t, alice())
	f := newFront(t, k)
	stuck := &stuckKey{Signer: keys()["P-256"], release: make(chan struct{})}
	if err := k.Push(State{Certificates: []tls.Certificate{stuckCertificate(t, stuck)}}); err != nil {
		t.Fatal(err)
	}
	within(t, "state", f.settings)
	certificate, err := f.Certificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	sign := func() error {
		_, err := certificate.PrivateKey.(crypto.Signer).Sign(nil, make([]byte, 32), crypto.SHA256)
		return err
	}
	results := make(chan error, maxSigning+1)
	for range maxSigning + 1 {
		go func() { results <- sign() }()
	}
	if err := within(t, "refusal", results); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("%v", err)
	}
	close(stuck.release)
	for range maxSigning {
		if err := within(t, "signature", results); err != nil {
			t.Error(err)
		}
	}
	stuck.panics.Store(true)
	if err := sign(); err == nil || strings.Contains(err.Error(), "defect") {
		t.Errorf("%v", err)
	}
	if told := k.events.String(); !strings.Contains(told, "a defect") {
		t.Errorf("told: %s", told)
	}
	stuck.panics.Store(false)
	if err := sign(); err != nil {
		t.Error(err)
	}
}

func stuckCertificate(t testing.TB, key *stuckKey) tls.Certificate {
	c := issue(t, "x", key.Signer)
	c.PrivateKey = key
	return c
}

// TestHostileSigning: a key signs what TLS asks for, and nothing else.
func TestHostileSigning(t *testing.T) {
	k := newKeeper(t, alice())
	ids := map[string]identity{}
	var state State
	for kind, key := range keys() {
		c := issue(t, "x", key)
		state.Certificates = append(state.Certificates, c)
		ids[kind] = identityOf(c)
	}
	if err := k.Push(state); err != nil {
		t.Fatal(err)
	}
	sign := func(id identity, scheme, size int) []byte {
		p := append(request(verbSign, 1), id[:]...)
		return appendBytes(appendUint(p, scheme), make([]byte, size))
	}
	front := func(t *testing.T) *rawFront {
		f := dialRaw(t, k)
		f.say(request(verbControl))
		f.hear(verbState)
		for range state.Certificates {
			f.hear(verbIdentity)
		}
		return f
	}
	f := front(t)
	refused := []struct {
		key          string
		scheme, size int
	}{
		{"RSA", 0, 32}, {"P-256", 0, 32}, {"P-256", 4, 32}, {"Ed25519", 1, 32}, {"Ed25519", 4, 32},
		{"RSA", 1, 31}, {"RSA", 1, 0}, {"RSA", 1, maxSigned}, {"RSA", 6, 48}, {"P-384", 2, 49}, {"none", 1, 32},
	}
	for _, r := range refused {
		f.say(sign(ids[r.key], r.scheme, r.size))
		if d := f.hear(verbNotSigned); d.uint(1) != 1 || d.string(maxReason) == "" || d.end() != nil {
			t.Errorf("%v: %v", r, d.err)
		}
	}
	f.say(sign(ids["RSA"], 4, 32))
	if d := f.hear(verbSigned); d.uint(1) != 1 || len(d.bytes(maxSignature)) != 256 || d.end() != nil {
		t.Errorf("signed: %v", d.err)
	}
	for name, packet := range map[string][]byte{
		"scheme":     sign(ids["RSA"], len(schemes), 32),
		"long":       sign(ids["RSA"], 0, maxSigned+1),
		"short":      sign(ids["RSA"], 1, 32)[:20],
		"counts":     request(verbCounts, 1, 0, 0, 0, 0, 0),
		"less":       request(verbCounts, 0, 0, 0, 0, 0),
		"login":      loginPacket("alice", "secret"),
		"list":       request(verbOctets, 0, 1),
		"once again": request(verbControl),
	} {
		t.Run(name, func(t *testing.T) {
			f := front(t)
			f.say(packet)
			f.hearEnd()
		})
	}
}

// TestReplacedKeys: a key that is in no state any more signs for a short time, and
// not at all once it is two states ago.
func TestReplacedKeys(t *testing.T) {
	first, second := issue(t, "x", keys()["P-256"]), issue(t, "x", keys()["P-384"])
	var s Server
	push := func(c ...tls.Certificate) *state {
		t.Helper()
		if err := s.Push(State{Certificates: c}); err != nil {
			t.Fatal(err)
		}
		return s.state.Load()
	}
	check := func(when string, st *state, after time.Duration, firstSigns, secondSigns bool) {
		t.Helper()
		now := time.Now().Add(after)
		if got := st.key(identityOf(first), now) != nil; got != firstSigns {
			t.Errorf("%s: the first signs: %v", when, got)
		}
		if got := st.key(identityOf(second), now) != nil; got != secondSigns {
			t.Errorf("%s: the second signs: %v", when, got)
		}
	}
	check("before all", s.state.Load(), 0, false, false)
	check("alone", push(first), time.Hour, true, false)
	replaced := push(second)
	check("replaced", replaced, replacedWait/2, true, true)
	check("long replaced", replaced, replacedWait, false, true)
	check("two states ago", push(second), 0, false, true)
	withdrawn := push()
	check("withdrawn", withdrawn, signWait, false, true)
	check("long withdrawn", withdrawn, replacedWait, false, false)
	check("back", push(first, second), time.Hour, true, true)
}

func identityOf(c tls.Certificate) identity {
	s := &state{keys: map[identity]crypto.Signer{}}
	if _, err := s.add(c); err != nil {
		panic(err)
	}
	for id := range s.keys {
		return id
	}
	panic("not reached")
}
