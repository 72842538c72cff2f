package config

import (
	"crypto/tls"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"sidepop/cmd/sidepop/internal/certs"
	"sidepop/pop3/wire"
)

// tlsVersions are the values of tls.minimum_version.
var tlsVersions = map[string]uint16{
	"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13,
}

// VersionName is a version as tls.minimum_version has it.
func VersionName(version uint16) string {
	for name, v := range tlsVersions {
		if v == version {
			return name
		}
	}
	return ""
}

// curveNames are the values of tls.curves: the groups of RFC 8446, section 4.2.7
// and, with MLKEM, of draft-ietf-tls-ecdhe-mlkem, which a quantum computer does not
// break.
var curveNames = map[string]tls.CurveID{
	"X25519MLKEM768":     tls.X25519MLKEM768,
	"SecP256r1MLKEM768":  tls.SecP256r1MLKEM768,
	"SecP384r1MLKEM1024": tls.SecP384r1MLKEM1024,
	"X25519":             tls.X25519,
	"P-256":              tls.CurveP256,
	"P-384":              tls.CurveP384,
	"P-521":              tls.CurveP521,
}

func curves(to *[]tls.CurveID) setter {
	names := slices.Sorted(maps.Keys(curveNames))
	return func(value any) error {
		var chosen []string
		err := list(&chosen, "a list with any of "+quoted(names)+", each once", func(s string) bool { return curveNames[s] != 0 })(value)
		if err != nil {
			return err
		}
		*to = nil
		for _, name := range chosen {
			*to = append(*to, curveNames[name])
		}
		return nil
	}
}

// maxCertificates leaves one for tls.certificate.
const maxCertificates = wire.MaxCertificates - 1

// certificates takes a list of tables with the files of a certificate each.
func certificates(to *[]certs.Files) setter {
	const expected = `a list of tables, such as [{ certificate = "/etc/ssl/mx.pem", key = "/etc/ssl/mx.key" }], with paths from /`
	return func(value any) error {
		tables, ok := tablesOf(value)
		if !ok {
			return unexpected(value, expected)
		}
		if len(tables) > maxCertificates {
			return fmt.Errorf("%d certificates, expected %d at most", len(tables), maxCertificates)
		}
		var all []certs.Files
		for i, table := range tables {
			certificate, _ := table["certificate"].(string)
			key, _ := table["key"].(string)
			if len(table) != 2 || !filepath.IsAbs(certificate) || !filepath.IsAbs(key) {
				return fmt.Errorf("number %d is not a table with certificate and key, expected %s", i+1, expected)
			}
			f := certs.Files{Certificate: certificate, Key: key}
			if slices.Contains(all, f) {
				return fmt.Errorf("%s is there twice, expected each certificate once", certificate)
			}
			all = append(all, f)
		}
		*to = all
		return nil
	}
}

// tablesOf is a list of tables, however the file has it: in one line, or each below
// a line [[tls.certificates]].
func tablesOf(value any) (tables []map[string]any, ok bool) {
	if tables, ok := value.([]map[string]any); ok {
		return tables, true
	}
	items, _ := value.([]any)
	for _, item := range items {
		table, ok := item.(map[string]any)
		if !ok {
			return nil, false
		}
		tables = append(tables, table)
	}
	return tables, len(tables) > 0
}
