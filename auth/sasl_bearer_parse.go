package auth

import (
	"errors"
	"fmt"
	"strings"
)

// separator ends a key with its value in OAUTHBEARER and XOAUTH2 (RFC 7628,
// section 3.1: kvsep).
const separator = "\x01"

// parseOAuthBearer reads a client's response (RFC 7628, section 3.1): a GS2 header,
// and keys with values, of which "auth" has the token. The others say what the
// client believes to be connected to, and keys that are not known are ignored.
func parseOAuthBearer(response string) (user, token string, err error) {
	header, rest, ok := strings.Cut(response, separator)
	if !ok {
		return "", "", errors.New("no GS2 header with what follows it")
	}
	if user, err = parseGS2(header); err != nil {
		return "", "", err
	}
	token, err = parsePairs(rest, nil)
	return user, token, err
}

// parseXOAuth2 reads a client's response: "user" and "auth" with values.
func parseXOAuth2(response string) (user, token string, err error) {
	token, err = parsePairs(response, &user)
	if err == nil && user == "" {
		err = errors.New("no user")
	}
	return user, token, err
}

// parseGS2 gives the authorization identity of a GS2 header (RFC 5801, section 4),
// which for a token is the user's name. Channel bindings can't be had with it.
func parseGS2(header string) (identity string, err error) {
	parts := strings.Split(header, ",")
	switch {
	case len(parts) != 3 || parts[2] != "":
		return "", errors.New("the GS2 header has not two fields")
	case parts[0] != "n" && parts[0] != "y":
		return "", errors.New("the GS2 header asks for channel bindings, which the mechanism has not")
	case parts[1] == "":
		return "", nil
	}
	name, ok := strings.CutPrefix(parts[1], "a=")
	if ok {
		identity, ok = unescapeName(name)
	}
	if !ok || identity == "" {
		return "", errors.New("the authorization identity is malformed")
	}
	return identity, nil
}

// unescapeName reads a name in which "=2C" is a comma and "=3D" an equals sign
// (RFC 5801, section 4: saslname).
func unescapeName(name string) (string, bool) {
	plain := strings.NewReplacer("=2C", "", "=3D", "").Replace(name)
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name), !strings.ContainsAny(plain, "=\x00")
}

// parsePairs gives the token of the key "auth", "" if that is missing or empty, and
// the value of "user" if it is asked for. Each ends with a separator, and one more
// ends all.
func parsePairs(pairs string, user *string) (token string, err error) {
	body, ok := strings.CutSuffix(pairs, separator)
	if !ok {
		return "", errors.New("the response does not end with two separators")
	}
	seen := make(map[string]bool)
	for body != "" {
		var pair string
		if pair, body, ok = strings.Cut(body, separator); !ok {
			return "", errors.New("a key has no end")
		}
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok || key == "":
			return "", errors.New("a key has no value")
		case seen[key]:
			return "", errors.New("a key is there twice")
		case key == "auth" && value != "":
			if token, err = parseAuthorization(value); err != nil {
				return "", err
			}
		case key == "user" && user != nil:
			*user = value
		}
		seen[key] = true
	}
	return token, nil
}

// parseAuthorization reads what HTTP has in the Authorization field (RFC 6750, section
// 2.1; RFC 9110, section 11.1: the scheme's case does not count).
func parseAuthorization(value string) (token string, err error) {
	scheme, token, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", fmt.Errorf("the scheme is %.20q, expected Bearer", scheme)
	}
	return strings.TrimLeft(token, " "), nil
}
