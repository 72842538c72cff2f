package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sidepop/auth/oauth"
)

// Tokens says whether bearer tokens are taken.
func (a *Auth) Tokens() bool {
	return a.OAuth.JWKSFile != "" || a.OAuth.JWKSURL != "" || a.OAuth.IntrospectionURL != ""
}

// jwks takes where a provider's keys are: a file or a URL.
func jwks(to *oauth.Options) setter {
	return func(value any) error {
		s, _ := value.(string)
		if filepath.IsAbs(s) {
			to.JWKSFile, to.JWKSURL = s, ""
			return nil
		}
		if strings.Contains(s, "://") {
			to.JWKSFile = ""
			return address(&to.JWKSURL)(value)
		}
		return unexpected(value, `the path of a file, from /, or a URL such as "https://id.example.org/keys"`)
	}
}

// address takes a URL to which secrets can be sent.
func address(to *string) setter {
	return func(value any) error {
		s, ok := value.(string)
		if !ok {
			return unexpected(value, `a URL such as "https://id.example.org/introspect"`)
		}
		*to = s
		return oauth.CheckURL(s)
	}
}

// word takes a text that is not empty.
func word(to *string, expected string) setter {
	return func(value any) error {
		s, _ := value.(string)
		if s == "" {
			return unexpected(value, expected)
		}
		*to = s
		return nil
	}
}

// scope takes a list of words of a scope (RFC 6749, section 3.3).
func scope(to *[]string) setter {
	return list(to, `a list of words, such as ["openid", "mail"]`, func(s string) bool {
		return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
	})
}

// completeOAuth finds what is missing beside what is there of the keys for tokens.
func (d *decoder) completeOAuth() {
	first := ""
	for name := range d.lines {
		if strings.HasPrefix(name, "auth.oauth_") && name != "auth.oauth_user_claim" && (first == "" || d.lines[name] < d.lines[first]) {
			first = name
		}
	}
	if first == "" || d.faulty("auth") {
		return
	}
	if _, err := oauth.New(d.Auth.OAuth); err != nil {
		d.problem(first, err.Error())
	}
}

// checkJWKS is about the keys of who issues tokens.
func (c *Config) checkJWKS() error {
	if c.Auth.OAuth.JWKSURL != "" {
		return c.checkNetwork()
	}
	file := c.Auth.OAuth.JWKSFile
	if file == "" {
		return nil
	}
	if err := readable(file); err != nil {
		return err
	}
	return oauth.CheckKeys(file)
}

func (c *Config) checkIntrospection() error {
	if c.Auth.OAuth.IntrospectionURL == "" {
		return nil
	}
	return c.checkNetwork()
}

// checkNetwork refuses what the keeper can't reach.
func (c *Config) checkNetwork() error {
	if c.Auth.Network {
		return nil
	}
	return errors.New("a URL, which needs auth.network = true from the start on: without it what checks logins has no network")
}

func (c *Config) checkClientSecret() error {
	file := c.Auth.OAuth.ClientSecretFile
	if file == "" {
		return nil
	}
	return readable(file)
}

// readable says why a file can't be read.
func readable(file string) error {
	fi, err := os.Stat(file)
	if err == nil && !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", file)
	}
	if err == nil {
		var f *os.File
		if f, err = os.Open(file); err == nil {
			return f.Close()
		}
	}
	return unreadable(file, err)
}
