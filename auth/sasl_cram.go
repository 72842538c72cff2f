package auth

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// NewCRAMMD5 begins an exchange with CRAM-MD5 (RFC 2195), which can succeed for
// passwords that are kept as they are ([FormClear]). The challenge has the host's
// name.
func NewCRAMMD5(hostname string, verify VerifyFunc) *Exchange {
	e := &Exchange{verify: verify}
	e.server = &cramServer{exchange: e, challenge: fmt.Sprintf("<%s.%d@%s>", rand.Text(), time.Now().Unix(), hostname)}
	return e
}

// cramServer is the server's side of CRAM-MD5.
type cramServer struct {
	exchange  *Exchange
	challenge string
	sent      bool
}

// Next implements [sasl.Server]. The server speaks first.
func (c *cramServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if !c.sent {
		if len(response) > 0 {
			return nil, false, errors.New("a response came before the challenge")
		}
		c.sent = true
		return []byte(c.challenge), false, nil
	}
	// The digest is what follows the last space: names may have some.
	at := bytes.LastIndexByte(response, ' ')
	if at < 0 {
		return nil, false, errors.New("there is no name and digest with a space between")
	}
	digest, err := hex.DecodeString(string(response[at+1:]))
	if err != nil || len(digest) != md5.Size {
		return nil, false, errors.New("the digest is not one of MD5 in hexadecimal")
	}
	err = c.exchange.askLogin(Login{User: string(response[:at]), Proof: newCRAMMD5(c.challenge, digest)})
	return nil, err == nil, err
}
