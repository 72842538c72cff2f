package inbound

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"strings"
	"unicode"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// The section numbers are those of the specification.
const (
	// beginV1 and beginV2 are what headers begin with (2.1, 2.2).
	beginV1 = "PROXY "
	beginV2 = "\r\n\r\n\x00\r\nQUIT\n"

	// maxV1 is the longest line of version 1, its end included (2.1).
	maxV1 = 107

	// fixedV2 is the part of version 2 that has a length, of what follows, at its
	// end. maxV2 bounds that: addresses, and a few values, of which the longest is a
	// client's certificate.
	fixedV2 = 16
	maxV2   = 4 << 10
)

var (
	// errSilent: the proxy has connected and gone, to find out whether it can.
	errSilent = errors.New("nothing was sent")

	errNoHeader = errors.New("it does not begin with a PROXY header, expected one from an address of listen.proxy_networks")
	errLate     = errors.New("its PROXY header did not come in time")
)

// header is what a proxy says of a connection.
type header struct {
	remote, local net.Addr // nil: the proxy comes for itself
	terminated    *tls.ConnectionState
	client        string // common name of the client's certificate, verified by the proxy; empty: none
}

// readHeader reads a header and nothing after it.
func readHeader(r io.Reader) (header, error) {
	octets, err := take(r)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return header{}, errLate
	case errors.Is(err, io.EOF) && len(octets) == 0:
		return header{}, errSilent
	case errors.Is(err, io.EOF):
		return header{}, io.ErrUnexpectedEOF
	case err != nil:
		return header{}, err
	}
	return parse(octets)
}

// take reads the octets of a header.
func take(r io.Reader) ([]byte, error) {
	h, err := takeBeginning(r)
	if err != nil {
		return h, err
	}
	if string(h) == beginV2 {
		return takeV2(r, h)
	}
	for h[len(h)-1] != '\n' {
		if len(h) == maxV1 {
			return h, fmt.Errorf("a PROXY header of version 1 has no end within %d octets", maxV1)
		}
		h = h[:len(h)+1]
		if _, err := io.ReadFull(r, h[len(h)-1:]); err != nil {
			return h, err
		}
	}
	return h, nil
}

// takeBeginning reads as much as tells the versions apart, and no more than both have.
// What is no header is found out from its first octets, without waiting for others.
func takeBeginning(r io.Reader) ([]byte, error) {
	h := make([]byte, 0, maxV1)
	for len(h) < len(beginV2) {
		n, err := r.Read(h[len(h):len(beginV2)])
		h = h[:len(h)+n]
		v1, v2 := min(len(h), len(beginV1)), len(h)
		if string(h[:v1]) != beginV1[:v1] && string(h[:v2]) != beginV2[:v2] {
			return h, errNoHeader
		}
		if err != nil && len(h) < len(beginV2) {
			return h, err
		}
	}
	return h, nil
}

func takeV2(r io.Reader, h []byte) ([]byte, error) {
	h = h[:fixedV2]
	if _, err := io.ReadFull(r, h[len(beginV2):]); err != nil {
		return h, err
	}
	length := int(binary.BigEndian.Uint16(h[fixedV2-2:]))
	if length > maxV2 {
		return h, fmt.Errorf("a PROXY header of version 2 with %d octets, expected %d at most", length, maxV2)
	}
	h = append(h, make([]byte, length)...)
	_, err := io.ReadFull(r, h[fixedV2:])
	return h, err
}

// parse understands a header.
func parse(octets []byte) (header, error) {
	rest := bufio.NewReader(bytes.NewReader(octets))
	h, err := proxyproto.Read(rest)
	if err != nil {
		return header{}, fmt.Errorf("a PROXY header that can't be used: %w", err)
	}
	if h.Version == 2 {
		if err := checkSum(octets); err != nil {
			return header{}, err
		}
	}
	if h.Command.IsLocal() || h.TransportProtocol.IsUnspec() {
		return header{}, nil
	}
	remote, local, ok := h.TCPAddrs()
	if !ok || !address(remote).IsValid() || !address(local).IsValid() {
		return header{}, errors.New("a PROXY header of a connection that is not TCP")
	}
	values, err := h.TLVs()
	if err != nil {
		return header{}, fmt.Errorf("values of a PROXY header: %w", err)
	}
	state, client, err := terminated(values)
	return header{remote, local, state, client}, err
}

// addressOctets is how long the addresses are of each family of version 2 (2.2).
var addressOctets = [...]int{0, 12, 36, 216}

// checkSum verifies the checksum of a header of version 2, if it has one (2.2.3): it
// is over the whole header, with zeros in its own place.
func checkSum(octets []byte) error {
	const kindOctets = 3 // of a value: its type and its length
	family := int(octets[len(beginV2)+1] >> 4)
	if family >= len(addressOctets) || len(octets) < fixedV2+addressOctets[family] {
		return nil // the addresses are of no use, and what follows isn't either
	}
	for at := fixedV2 + addressOctets[family]; at+kindOctets <= len(octets); {
		begin := at + kindOctets
		end := begin + int(binary.BigEndian.Uint16(octets[at+1:]))
		if end > len(octets) {
			return errors.New("values of a PROXY header: one is longer than the header")
		}
		if octets[at] == byte(proxyproto.PP2_TYPE_CRC32C) {
			if end-begin != crc32.Size {
				return fmt.Errorf("values of a PROXY header: a checksum of %d octets, expected %d", end-begin, crc32.Size)
			}
			zeroed := bytes.Clone(octets)
			clear(zeroed[begin:end])
			if crc32.Checksum(zeroed, castagnoli) != binary.BigEndian.Uint32(octets[begin:]) {
				return errors.New("the checksum of a PROXY header is wrong: it was damaged on its way")
			}
			return nil
		}
		at = end
	}
	return nil
}

// castagnoli is CRC32C (RFC 4960, appendix B).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// terminated is the TLS that the proxy has ended with its client (2.2.6): version,
// cipher and server name, nothing that keys could be derived of, and whose certificate
// the client has shown. What is no TLS of today's counts as none.
func terminated(values []proxyproto.TLV) (state *tls.ConnectionState, client string, err error) {
	name := ""
	for _, v := range values {
		switch v.Type {
		case proxyproto.PP2_TYPE_AUTHORITY:
			name = string(v.Value)
		case proxyproto.PP2_TYPE_SSL:
			ssl, err := tlvparse.SSL(v)
			if err != nil {
				return nil, "", fmt.Errorf("the TLS of a PROXY header: %w", err)
			}
			version, _ := ssl.SSLVersion()
			cipher, _ := ssl.SSLCipher()
			if ssl.ClientSSL() && versions[version] != 0 {
				state = &tls.ConnectionState{Version: versions[version], CipherSuite: suites[cipher]}
				client = clientName(ssl)
			}
		}
	}
	if state != nil {
		state.ServerName = name
	}
	return state, client, nil
}

// maxName bounds a common name: 64 characters of UTF-8 (RFC 5280, appendix A.1).
const maxName = 256

// clientName is the common name of the certificate that a client has shown on this
// connection or in the session that it resumes, if the proxy has verified that: without
// a certificate too the result of the verification may be 0. A name that is not text
// proves nothing.
func clientName(ssl tlvparse.PP2SSL) string {
	name, _ := ssl.ClientCN()
	if !ssl.ClientCertConn() && !ssl.ClientCertSess() || !ssl.Verified() {
		return ""
	}
	if len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		return ""
	}
	return name
}

// versions and suites are as OpenSSL names them, as proxies do.
var (
	versions = map[string]uint16{
		"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13,
	}
	suites = suitesByName()
)

// suitesByName has the names of TLS 1.3, which are everybody's, and of those before,
// such as ECDHE-RSA-AES128-GCM-SHA256 for TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256.
func suitesByName() map[string]uint16 {
	openSSL := strings.NewReplacer("TLS_", "", "_WITH_", "-", "AES_", "AES", "_CBC_", "-", "POLY1305_SHA256", "POLY1305", "_", "-")
	all := make(map[string]uint16)
	for _, s := range tls.CipherSuites() {
		all[s.Name] = s.ID
		all[openSSL.Replace(s.Name)] = s.ID
	}
	return all
}
