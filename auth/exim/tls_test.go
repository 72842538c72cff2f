package exim

import "testing"

func TestCertificate(t *testing.T) {
	for options, want := range map[string][2]string{
		"": {}, // an exim without TLS says nothing of them
		"tls_certificate = \ntls_privatekey = \n":                                     {},
		"tls_certificate = /c.pem\ntls_privatekey = /k.pem\n":                         {"/c.pem", "/k.pem"},
		"tls_certificate = /c.pem\ntls_privatekey = \n":                               {"/c.pem", "/c.pem"},
		"tls_certificate = /certs/${tls_in_sni}.pem\ntls_privatekey = /k.pem\n":       {},
		"tls_certificate = /rsa.pem : /ec.pem\ntls_privatekey = /rsa.key : /ec.key\n": {},
	} {
		f := newFake(t)
		f.write(certificateOption, options)
		e, err := Open(t.Context(), Options{Program: f.path("exim4")})
		if err != nil {
			t.Fatal(err)
		}
		certificate, key := e.Certificate()
		if got := [2]string{certificate, key}; got != want {
			t.Errorf("%q: %q, want %q", options, got, want)
		}
	}
}
