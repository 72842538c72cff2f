package postfix

import "testing"

func TestCertificate(t *testing.T) {
	for main, want := range map[string][2]string{
		"": {},
		"smtpd_tls_cert_file = /c.pem\nsmtpd_tls_key_file = /k.pem\n":                                            {"/c.pem", "/k.pem"},
		"smtpd_tls_cert_file = none\nsmtpd_tls_key_file = none\n":                                                {},
		"smtpd_tls_chain_files = /rsa.pem, /ec.pem\nsmtpd_tls_cert_file = /c.pem\nsmtpd_tls_key_file = /k.pem\n": {"/rsa.pem", "/rsa.pem"},
	} {
		certificate, key := newFake(t, main).Certificate()
		if got := [2]string{certificate, key}; got != want {
			t.Errorf("%q: %q, want %q", main, got, want)
		}
	}
}
