package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/xdg-go/scram"

	"sidepop/auth"
	"sidepop/auth/oauth"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/pop3"
)

// everyWay is a way to log in as joe@example.org, with what proves it or, if wrong, with
// something else. See right for the error.
type everyWay func(t *testing.T, b *backend, from string, wrong bool) error

// exchanged goes through an exchange with a mechanism.
func exchanged(t *testing.T, b *backend, p pop3.Peer, mechanism string, answer func(challenge string) string) error {
	t.Helper()
	x, err := b.SASL(t.Context(), p, mechanism)
	if err != nil {
		return err
	}
	defer x.Close()
	var response []byte
	for range 5 {
		challenge, m, err := x.Step(t.Context(), response)
		if err != nil || m != nil {
			return err
		}
		response = append([]byte{}, answer(string(challenge))...)
	}
	return errors.New("the exchange has no end")
}

func peerFrom(address string) pop3.Peer {
	return pop3.Peer{Remote: netip.AddrPortFrom(netip.MustParseAddr(address), 1), Secure: true}
}

// clientCertificate gives an authority's certificate in PEM, and one that it has signed.
func clientCertificate(t *testing.T, address string) (authority []byte, client *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "client"}, EmailAddresses: []string{address},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	made := func(c *x509.Certificate) []byte {
		der, err := x509.CreateCertificate(rand.Reader, c, root, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	if client, err = x509.ParseCertificate(made(leaf)); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made(root)}), client
}

// everyWaySite has joe@example.org, whose password is "pencil", and a master user, and
// all that else can prove who somebody is. Whose the mail is is not known.
func everyWaySite(t *testing.T, change func(*auth.GuardOptions)) (*backend, map[string]everyWay) {
	t.Helper()
	const joe = "joe@example.org"
	dir := t.TempDir()
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: tokenKey.Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	authority, client := clientCertificate(t, joe)
	for name, content := range map[string]string{
		"users": joe + ":{PLAIN}pencil\n", "masters": "master:{PLAIN}pencil\n", "jwks": string(keys), "ca": string(authority),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := config.Default()
	c.Auth.APOP, c.Auth.CRAMMD5 = true, true
	noWarning := func(err error) { t.Error(err) }
	a := onlyPasswd(&places{}, auth.NewPasswd(dir+"/users", noWarning))
	a.Masters.Users = auth.NewPasswd(dir+"/masters", noWarning)
	if a.tokens, err = oauth.New(oauth.Options{Issuer: "https://id.example.org", Audience: []string{"mail"}, JWKSFile: dir + "/jwks"}); err != nil {
		t.Fatal(err)
	}
	if a.certificates, err = auth.OpenCertificates(dir+"/ca", ""); err != nil {
		t.Fatal(err)
	}
	o := guardOptions(c, a)
	change(&o)
	b := newBackend(c, a, lasting{guard: auth.NewGuard(o), salts: auth.NewSalts(nil), events: silentLogins{}})
	password := func(wrong bool) string {
		if wrong {
			return "crayon"
		}
		return "pencil"
	}
	scrams := func(user, identity string) everyWay {
		return func(t *testing.T, b *backend, from string, wrong bool) error {
			own, err := scram.HashGeneratorFcn(sha256.New).NewClient(user, password(wrong), identity)
			if err != nil {
				t.Fatal(err)
			}
			conversation := own.NewConversation()
			return exchanged(t, b, peerFrom(from), "SCRAM-SHA-256", func(challenge string) string {
				response, err := conversation.Step(challenge)
				if err != nil {
					t.Fatal(err)
				}
				return response
			})
		}
	}
	plain := func(user, identity string) everyWay {
		return func(t *testing.T, b *backend, from string, wrong bool) error {
			return exchanged(t, b, peerFrom(from), "PLAIN", func(string) string { return identity + "\x00" + user + "\x00" + password(wrong) })
		}
	}
	bearer := func(name string) everyWay {
		return func(t *testing.T, b *backend, from string, wrong bool) error {
			token := tokenFor(t, joe, time.Hour)
			if wrong {
				token = token[:len(token)-8] + "AAAAAAAA"
			}
			return exchanged(t, b, peerFrom(from), "OAUTHBEARER", func(string) string { return "n," + name + ",\x01auth=Bearer " + token + "\x01\x01" })
		}
	}
	return b, map[string]everyWay{
		"PASS": func(t *testing.T, b *backend, from string, wrong bool) error {
			_, err := b.Password(t.Context(), peerFrom(from), joe, password(wrong))
			return err
		},
		"APOP": func(t *testing.T, b *backend, from string, wrong bool) error {
			_, err := b.APOP(t.Context(), peerFrom(from), joe, "<1@h>", fmt.Sprintf("%x", md5.Sum([]byte("<1@h>"+password(wrong)))))
			return err
		},
		"CRAM-MD5": func(t *testing.T, b *backend, from string, wrong bool) error {
			return exchanged(t, b, peerFrom(from), "CRAM-MD5", func(challenge string) string {
				h := hmac.New(md5.New, []byte(password(wrong)))
				h.Write([]byte(challenge))
				return fmt.Sprintf("%s %x", joe, h.Sum(nil))
			})
		},
		"EXTERNAL": func(t *testing.T, b *backend, from string, wrong bool) error {
			p := peerFrom(from)
			p.Certificates = []*x509.Certificate{client}
			return exchanged(t, b, p, "EXTERNAL", func(string) string {
				if wrong {
					return "another@example.org"
				}
				return ""
			})
		},
		"PLAIN":             plain(joe, ""),
		"PLAIN, master":     plain("master", joe),
		"SCRAM":             scrams(joe, ""),
		"SCRAM, master":     scrams("master", joe),
		"token":             bearer("a=" + joe),
		"token, no name":    bearer(""),
		"token, other case": bearer("a=JOE@example.org"),
	}
}

type silentLogins struct{}

func (silentLogins) LoginFailed(pop3.Peer, string, string, error)  {}
func (silentLogins) MasterLogin(pop3.Peer, string, string, string) {}

// right says whether what was given was found right: then a mailbox is looked for.
func right(err error) bool {
	return err != nil && strings.Contains(err.Error(), "whose the mail of joe@example.org is")
}

// TestEveryWayNetworks: from where somebody may log in holds whatever proves who they are.
func TestEveryWayNetworks(t *testing.T) {
	networks := func(text string) auth.Networks {
		n, err := auth.ParseNetworks([]string{text})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	here := networks("192.0.2.0/24")
	for name, change := range map[string]func(*auth.GuardOptions){
		"deny":                      func(o *auth.GuardOptions) { o.Deny = networks("198.51.100.0/24") },
		"allow":                     func(o *auth.GuardOptions) { o.Allow = here },
		"user_networks":             func(o *auth.GuardOptions) { o.UserNetworks = map[string]auth.Networks{"Joe@example.org": here} },
		"user_networks of a domain": func(o *auth.GuardOptions) { o.UserNetworks = map[string]auth.Networks{"@example.org": here} },
	} {
		synctest.Test(t, func(t *testing.T) {
			b, ways := everyWaySite(t, change)
			for way, login := range ways {
				if err := login(t, b, "192.0.2.1", false); !right(err) {
					t.Errorf("%s, %s: from where it is allowed: %v", name, way, err)
				}
				if err := login(t, b, "198.51.100.1", false); !errors.Is(err, pop3.ErrCredentials) || right(err) {
					t.Errorf("%s, %s: from elsewhere: %v", name, way, err)
				}
			}
		})
	}
}

// TestEveryWayThrottled: failures of every kind count, and make the next attempt at
// that address wait.
func TestEveryWayThrottled(t *testing.T) {
	_, ways := everyWaySite(t, func(*auth.GuardOptions) {})
	for way := range ways {
		synctest.Test(t, func(t *testing.T) {
			b, ways := everyWaySite(t, func(*auth.GuardOptions) {})
			for n, penalty := range []time.Duration{0, 0, 0, 1, 2, 4, 8, 15} {
				begin := time.Now()
				if err := ways[way](t, b, "192.0.2.1", true); !errors.Is(err, pop3.ErrCredentials) {
					t.Errorf("%s: failure %d: %v", way, n, err)
				}
				if took, want := time.Since(begin), auth.DefaultFailureDelay+penalty*time.Second; took != want {
					t.Errorf("%s: failure %d was answered after %v, want %v", way, n, took, want)
				}
			}
			begin := time.Now()
			if err := ways["PASS"](t, b, "192.0.2.1", false); !right(err) || time.Since(begin) < time.Second {
				t.Errorf("%s: then the right password: %v, after %v", way, err, time.Since(begin))
			}
		})
	}
}
