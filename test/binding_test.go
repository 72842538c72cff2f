package test

import (
	"encoding/json"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// signedBy makes openssl replace a site's certificate by one of its own making, of a
// kind of key and signed with a hash function.
func (s *site) signedBy(key []string, hash string) {
	s.t.Helper()
	args := append([]string{"req", "-x509", "-nodes", "-days", "90", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
		"-out", s.path(certFile), "-keyout", s.path(keyFile)}, key...)
	if hash != "" {
		args = append(args, "-"+hash)
	}
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("openssl: %v\n%s", err, out)
	}
}

// TestBindings logs in by SCRAM with the channel bindings that GNU SASL does not have
// or has to be told: Python and openssl find them out for themselves. mpop 1.4.18 and
// curl 7.88.1, as Debian builds them, know no mechanism with -PLUS, and curl, which is
// built without GNU SASL, no SCRAM.
func TestBindings(t *testing.T) {
	need(t, "python3", "python3")
	need(t, "openssl", "openssl")
	const endPoint, unique = "tls-server-end-point", "tls-unique"
	rsa, ecdsa := []string{"-newkey", "rsa:2048"}, []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"}
	type row struct {
		version, mechanism, binding, password string // password: empty for the right one
		damaged                               bool
		answer                                string
	}
	const in, refused = "+OK 1 messages", "-ERR [AUTH]"
	both := []row{
		{"1.3", "SCRAM-SHA-256-PLUS", endPoint, "", false, in},
		{"1.2", "SCRAM-SHA-1-PLUS", endPoint, "", false, in},
		{"1.3", "SCRAM-SHA-256-PLUS", endPoint, "", true, refused},
	}
	for _, c := range []struct {
		name string
		key  []string
		hash string
		rows []row
	}{
		{"ECDSA with SHA-256", ecdsa, "sha256", append(both,
			row{"1.2", "SCRAM-SHA-256-PLUS", unique, "", false, in},
			row{"1.2", "SCRAM-SHA-1-PLUS", unique, "", false, in},
			row{"1.2", "SCRAM-SHA-256-PLUS", unique, "", true, refused},
			row{"1.2", "SCRAM-SHA-256-PLUS", unique, "wrong", false, refused},
			row{"1.3", "SCRAM-SHA-256-PLUS", endPoint, "wrong", false, refused})},
		{"RSA with SHA-256", rsa, "sha256", both},
		{"RSA with SHA-384", rsa, "sha384", both},
		{"RSA with SHA-1", rsa, "sha1", both},
		{"ECDSA with SHA-512", ecdsa, "sha512", both},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, a := saslSite(t, func(s *site, password string) string {
				s.signedBy(c.key, c.hash)
				return asItIs(s, password)
			})
			address, port, err := net.SplitHostPort(srv.pop3s)
			must(t, err)
			number, err := strconv.Atoi(port)
			must(t, err)
			f := fetching{account: a, dir: folder(t)}
			script := f.script(t, "scram.py")
			for _, r := range c.rows {
				password := r.password
				if password == "" {
					password = a.password
				}
				asked, err := json.Marshal(map[string]any{
					"address": address, "port": number, "version": r.version, "mechanism": r.mechanism, "user": a.name,
					"password": password, "binding": r.binding, "damaged": r.damaged,
				})
				must(t, err)
				got := strings.TrimSpace(string(run(t, f.dir, string(asked), "python3", script)))
				if !strings.HasPrefix(got, r.answer) || r.answer == in && srv.lastMechanism() != r.mechanism {
					t.Errorf("%+v: %s", r, got)
				}
			}
		})
	}
}
