package exim

import (
	"context"
	"path/filepath"
	"strings"
)

const certificateOption, keyOption = "tls_certificate", "tls_privatekey"

// readTLS reads options that an exim that was built without TLS does not know.
func (s *state) readTLS(ctx context.Context, t tool) {
	if options, err := t.run(ctx, "-bP", certificateOption, keyOption); err == nil {
		s.readMain(options)
	}
}

// Certificate is the files of the certificate and key, in PEM, that the daemon
// shows to clients; the same one twice where both are in one file. Empty: it has
// none, or its options need an expansion, such as one by the name that a client
// asks for.
func (e *Exim) Certificate() (certificate, key string) {
	main := e.last().main
	certificate, key = main[certificateOption], main[keyOption]
	if key == "" {
		key = certificate
	}
	if !plainPath(certificate) || !plainPath(key) {
		return "", ""
	}
	return certificate, key
}

// plainPath says that an option is one file's path as it is written.
func plainPath(s string) bool { return filepath.IsAbs(s) && !strings.ContainsAny(s, "$: ") }
