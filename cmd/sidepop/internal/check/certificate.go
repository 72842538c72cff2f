package check

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"sidepop/cmd/sidepop/internal/certs"
)

// ReadCertificate gives the first certificate of a file in PEM, which is the
// server's own.
func ReadCertificate(file string) (*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, errors.New("no certificate in PEM is in it")
}

// Dates gives what is wrong with when a certificate is valid.
func Dates(file string, c *x509.Certificate, now time.Time) []Problem {
	const remedy = "Get a new certificate. sidepop takes it into use at once when the file changes."
	day := func(t time.Time) string { return t.Local().Format(time.DateTime) }
	switch {
	case now.After(c.NotAfter):
		return []Problem{{Error, fmt.Sprintf("The certificate %s ended at %s: clients refuse it.", file, day(c.NotAfter)), remedy}}
	case now.Before(c.NotBefore):
		return []Problem{{Error, fmt.Sprintf("The certificate %s begins only at %s: clients refuse it until then.", file, day(c.NotBefore)),
			"See whether this machine's clock is right (timedatectl). If it is, use another certificate until then."}}
	case c.NotAfter.Sub(now) < certs.EndsSoon:
		return []Problem{{Warning, fmt.Sprintf("The certificate %s ends at %s, within %d days.", file, day(c.NotAfter), int(certs.EndsSoon.Hours()/24)), remedy}}
	}
	return nil
}

// ForName gives a problem if a certificate is not for a name of this machine.
func ForName(file string, c *x509.Certificate, name, config string) []Problem {
	if c.VerifyHostname(name) == nil {
		return nil
	}
	names := "no name at all"
	if all := certs.Names(c); len(all) > 0 {
		names = strings.Join(all, ", ")
	}
	return []Problem{{
		Warning,
		fmt.Sprintf("The certificate %s is for %s, and this machine is called %s: clients that connect to that name refuse it.", file, names, name),
		fmt.Sprintf("Get a certificate for %s. If clients use a name that is in the certificate, set hostname to that in %s.", name, config),
	}}
}

// Exposed gives a problem if a file with a secret can be read by everybody.
func Exposed(file, what string) []Problem {
	if Reach(file, Nobody, Read) != nil {
		return nil
	}
	return []Problem{{Warning, fmt.Sprintf("%s %s can be read by everybody.", what, file), "chmod o= " + file}}
}
