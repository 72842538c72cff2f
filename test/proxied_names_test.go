package test

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestProxiedCertificates: clients whose certificates HAProxy has verified log in by
// EXTERNAL where sidepop is told to believe it, and nobody else does.
func TestProxiedCertificates(t *testing.T) {
	need(t, "haproxy", "haproxy")
	dir := folder(t)
	sign, forge := clientAuthority(t, dir+"/clients.pem"), clientAuthority(t, dir+"/others.pem")
	bob, nobody, forged := sign(dir, "bob"), sign(dir, "nobody"), forge(folder(t), "bob")
	must(t, os.Chmod(dir+"/clients.pem", 0o644))
	for _, believed := range []bool{true, false} {
		t.Run(fmt.Sprintf("believed %v", believed), func(t *testing.T) {
			s := newSite(t)
			s.account("bob", sample()[:1])
			srv := s.serveWith([]string{"[listen]\n", fmt.Sprintf("[listen]\nproxy_networks = [%q]\nproxy_certificates = %v\n", proxyAddress, believed)})
			asked := fmt.Sprintf("ssl crt %s ca-file %s/clients.pem verify optional crt-ignore-err all ca-ignore-err all", srv.pair(), dir)
			via := srv.haproxy(map[string]relay{
				"cn":        {asked, srv.pop3 + " send-proxy-v2-ssl-cn"},
				"cn-summed": {asked, srv.pop3 + " send-proxy-v2-ssl-cn proxy-v2-options crc32c"},
				"no-cn":     {asked, srv.pop3 + " send-proxy-v2-ssl"},
			})
			for _, tt := range []struct {
				frontend string
				who      *identity
				answer   string // to EXTERNAL, with proxies that are believed
			}{
				{"cn", &bob, "+OK 1 messages"},
				{"cn-summed", &bob, "+OK 1 messages"},
				{"cn", &nobody, "-ERR [AUTH]"},
				{"cn", &forged, ""},
				{"cn", nil, ""},
				{"no-cn", &bob, ""},
			} {
				config := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
				if tt.who != nil {
					pair, err := tls.LoadX509KeyPair(tt.who.cert, tt.who.key)
					must(t, err)
					config.Certificates = []tls.Certificate{pair}
				}
				for _, resumed := range []bool{false, true} {
					raw, err := tls.Dial("tcp", via[tt.frontend], config)
					must(t, err)
					defer raw.Close()
					c := newConn(raw)
					if _, err := c.answer(); err != nil {
						t.Fatal(err)
					}
					if raw.ConnectionState().DidResume != resumed {
						t.Errorf("%s: resumed is %v", tt.frontend, !resumed)
					}
					c.ok(t, "CAPA")
					capabilities, err := c.message()
					must(t, err)
					if got := strings.Contains(string(capabilities), "SASL EXTERNAL "); got != (believed && tt.answer != "") {
						t.Errorf("%s, %v: offered: %q", tt.frontend, tt.who, capabilities)
					}
					want := "-ERR mechanism not available"
					if believed && tt.answer != "" {
						want = tt.answer
					}
					if got, err := c.try("AUTH EXTERNAL ="); err != nil || !strings.HasPrefix(got, want) {
						t.Errorf("%s, %v: %q, %v, want %q", tt.frontend, tt.who, got, err, want)
					}
					_, _ = c.try("QUIT")
				}
			}
			if believed && srv.lastMechanism() != "EXTERNAL" {
				t.Errorf("logged in by %s", srv.lastMechanism())
			}
		})
	}
}
