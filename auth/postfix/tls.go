package postfix

// Certificate is the files of the certificate and key, in PEM, that smtpd(8) shows
// to clients; the same one twice where both are in one file. Empty: it has none.
func (p *Postfix) Certificate() (certificate, key string) {
	values := p.latest().values
	if chains := items(values["smtpd_tls_chain_files"]); len(chains) > 0 {
		return chains[0], chains[0] // a file for each kind of key
	}
	certificate, key = values["smtpd_tls_cert_file"], values["smtpd_tls_key_file"]
	if certificate == "none" { // no certificate, on purpose
		return "", ""
	}
	return certificate, key
}
