package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// algorithms are those whose signatures count: with public keys, and none that is
// known to be weak (RFC 7518, section 3.1; RFC 8037; RFC 8725, section 3.2).
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

// types are what a "typ" header may say, without its "application/" and in lower
// case (RFC 7519, section 5.1; RFC 9068, section 2.1). Others are for something
// else, a logout for instance, with the same keys (RFC 8725, section 3.11).
var types = map[string]bool{"": true, "jwt": true, "at+jwt": true}

// isJWT says whether a token is a signed JWT as far as its form goes: three parts,
// the first an object in JSON (RFC 7515, section 7.1).
func isJWT(token string) bool {
	if strings.Count(token, ".") != 2 {
		return false
	}
	header, _, _ := strings.Cut(token, ".")
	data, err := base64.RawURLEncoding.DecodeString(header)
	var object map[string]json.RawMessage
	return err == nil && json.Unmarshal(data, &object) == nil && object != nil
}

// verify checks a JWT's signature. Errors of the library quote parts of the token,
// so none is passed on.
func (v *Validator) verify(ctx context.Context, token string) (*claims, error) {
	signed, err := jose.ParseSignedCompact(token, algorithms)
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &algorithm):
		return nil, refused("it is signed with the algorithm %.20q, expected one of %q", algorithm.Got, algorithms)
	case err != nil:
		return nil, refused("it is not a JWT in three parts (RFC 7519)")
	}
	header := signed.Signatures[0].Protected
	value, given := header.ExtraHeaders[jose.HeaderType]
	kind, isText := value.(string)
	if given && !isText {
		return nil, refused("its typ header is no text")
	}
	if !types[strings.TrimPrefix(strings.ToLower(kind), "application/")] {
		return nil, refused("it is of the type %.40q, expected JWT or at+jwt", kind)
	}
	if _, critical := header.ExtraHeaders["crit"]; critical { // RFC 7515, section 4.1.11
		return nil, refused("it has a crit header, and extensions are not known here")
	}
	keys, err := v.keys.find(ctx, header.KeyID, jose.SignatureAlgorithm(header.Algorithm))
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		payload, err := signed.Verify(key)
		if err != nil {
			continue
		}
		c, err := parseClaims(payload)
		if err != nil {
			return nil, refused("its payload is unusable: %w", err)
		}
		return c, nil
	}
	return nil, refused("its signature is not that of the key %.100q", header.KeyID)
}
