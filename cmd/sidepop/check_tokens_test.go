package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"sidepop/auth"
	"sidepop/auth/oauth"
	"sidepop/cmd/sidepop/internal/check"
)

// facts are those of a report, a line each.
func facts(r *check.Report) string {
	var text strings.Builder
	for _, s := range r.Sections {
		for _, f := range s.Facts {
			fmt.Fprintf(&text, "%s: %s\n", f.Name, f.Text)
		}
	}
	return text.String()
}

// TestCheckTokens has what answers for an issuer beside what is told of it.
func TestCheckTokens(t *testing.T) {
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: tokenKey.Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	status, active := http.StatusOK, "false"
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		if r.URL.Path == "/keys" {
			_, _ = w.Write(keys)
			return
		}
		_, _ = fmt.Fprintf(w, `{"active":%s}`, active)
	}))
	defer provider.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status       int
		active, keys string
		facts        []string
		severity     check.Severity
		text         string
	}{
		{200, "false", "/keys", []string{"issuer: https://id.example.org, for mail\n", "keys: 1 key, for EdDSA (" + provider.URL + "/keys)\n", "introspection: " + provider.URL + "/ask answers\n"}, "", ""},
		{200, "false", "/none", []string{"keys: not to be had\n", "/ask answers\n"}, check.Error, "JWKS at " + provider.URL + "/none: not a JWK Set"},
		{500, "false", "/keys", []string{"keys: not to be had\n", "introspection: not to be had\n"}, check.Error, "HTTP status 500"},
		{200, "true", "/keys", []string{"introspection: not to be had\n"}, check.Error, "a token that nobody has is said to be active"},
	} {
		u := testCheckup()
		u.config.Auth.OAuth = oauth.Options{
			Issuer: "https://id.example.org", Audience: []string{"mail"}, JWKSURL: provider.URL + c.keys,
			IntrospectionURL: provider.URL + "/ask", ClientID: "pop", ClientSecretFile: secret,
		}
		u.accounts = &accounts{config: u.config}
		if u.accounts.tokens, err = oauth.New(u.config.Auth.OAuth); err != nil {
			t.Fatal(err)
		}
		status, active = c.status, c.active
		u.tokens(t.Context())
		got := facts(u.Report)
		for _, want := range c.facts {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
		wantProblem(t, u.Report, c.severity, c.text, "")
	}
	u := testCheckup()
	u.config.Auth.OAuth = oauth.Options{IntrospectionURL: provider.URL + "/ask", ClientID: "pop", ClientSecretFile: secret}
	u.accounts = &accounts{config: u.config}
	if u.accounts.tokens, err = oauth.New(u.config.Auth.OAuth); err != nil {
		t.Fatal(err)
	}
	active = "false"
	u.tokens(t.Context())
	wantProblem(t, u.Report, check.Warning, "A token that any client of "+provider.URL+"/ask got opens mail", "auth.oauth_audience")

	u = testCheckup()
	if u.tokens(t.Context()); facts(u.Report) != "" {
		t.Errorf("without tokens: %s", facts(u.Report))
	}
}

// TestCheckClientCertificates has authorities that last beside what is told of them.
func TestCheckClientCertificates(t *testing.T) {
	for life, want := range map[time.Duration]struct {
		severity check.Severity
		text     string
	}{
		90 * 24 * time.Hour: {"", ""},
		10 * 24 * time.Hour: {check.Warning, "The authority CN=clients in "},
		-time.Hour:          {check.Error, "its clients can't log in by their certificates"},
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		a := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(life),
		}
		der, err := x509.CreateCertificate(rand.Reader, a, a, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		u := testCheckup()
		u.config.TLS.ClientCA = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(u.config.TLS.ClientCA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		u.accounts = &accounts{config: u.config}
		if u.accounts.certificates, err = auth.OpenCertificates(u.config.TLS.ClientCA, ""); err != nil {
			t.Fatal(err)
		}
		u.clientCertificates()
		got := facts(u.Report)
		for _, want := range []string{"authorities: 1 certificate in " + u.config.TLS.ClientCA, "authority: CN=clients, valid until " + a.NotAfter.Local().Format(time.DateOnly), "users: as the certificate says"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
		wantProblem(t, u.Report, want.severity, want.text, "")
	}
	u := testCheckup()
	if u.clientCertificates(); facts(u.Report) != "" {
		t.Errorf("without: %s", facts(u.Report))
	}
}
