package pop3

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// authorization is what a session knows from before its login.
type authorization struct {
	stamp    string // the APOP timestamp of the greeting; empty: none was given
	user     string // from USER
	failures int    // refused logins so far
}

// greet sends the greeting, with a timestamp where APOP can succeed
// (RFC 1939, section 7). What makes it unique is random.
func (c *session) greet() {
	line := "+OK POP3 ready"
	if c.offer().APOP {
		c.greeted.stamp = fmt.Sprintf("<%s.%d@%s>", rand.Text(), c.begun.Unix(), c.settings.Hostname)
		line += " " + c.greeted.stamp
	}
	c.out.line(line)
}

// loginContext ends when a login must have succeeded.
func (c *session) loginContext() (context.Context, context.CancelFunc) {
	return context.WithDeadline(c.server.base, c.loginDeadline())
}

func (c *session) offer() Offer { return c.server.Backend.Offer(c.peer) }

func (c *session) cmdUser(args []string) (reply, error) {
	if !c.offer().Password {
		return reply{}, c.noPassword()
	}
	c.greeted.user = args[0]
	return reply{text: "send PASS"}, nil // whether the user exists is not told
}

func (c *session) noPassword() error {
	if !c.peer.Secure {
		return errPlaintext
	}
	return errNoMechanism
}

func (c *session) cmdPass(args []string) (reply, error) {
	user := c.greeted.user
	c.greeted.user = "" // a second try begins with USER again
	switch {
	case !c.offer().Password:
		return reply{}, c.noPassword()
	case user == "":
		return reply{}, errNoUser
	}
	ctx, cancel := c.loginContext()
	defer cancel()
	m, err := c.server.Backend.Password(ctx, c.peer, user, args[0])
	return c.login("USER", user, m, err)
}

func (c *session) cmdApop(args []string) (reply, error) {
	if c.greeted.stamp == "" || !c.offer().APOP {
		return reply{}, errNoMechanism
	}
	user, digest := args[0], strings.ToLower(args[1])
	if b, err := hex.DecodeString(digest); err != nil || len(b) != md5.Size {
		return reply{}, errAPOPArgs
	}
	ctx, cancel := c.loginContext()
	defer cancel()
	m, err := c.server.Backend.APOP(ctx, c.peer, user, c.greeted.stamp, digest)
	return c.login("APOP", user, m, err)
}

// login enters the TRANSACTION state, or counts a refusal.
func (c *session) login(mechanism, user string, m Maildrop, err error) (reply, error) {
	if err != nil {
		c.server.Events.LoginFailed(c.peer, mechanism, user, err)
		if c.greeted.failures++; c.greeted.failures >= c.settings.Limits.LoginFailures {
			c.end(ReasonFailedLogins, nil)
		}
		return reply{}, err
	}
	c.drop = &maildrop{Maildrop: m} // before anything can fail, so that close gives it up
	c.drop.reset()
	c.greeted.user = ""
	c.out.until = time.Time{}
	c.summary.User, c.summary.Mechanism = m.User(), mechanism
	c.stopping.Lock()
	c.serving = true
	c.stopping.Unlock()
	c.server.Events.LoggedIn(c.peer, mechanism, m.User())
	summary, err := c.drop.summary(c.server.base)
	return reply{text: summary}, err
}

// cmdAuth runs a SASL exchange (RFC 5034, section 4). Without arguments it
// lists the mechanisms, as programs older than CAPA expect.
func (c *session) cmdAuth(args []string) (reply, error) {
	offered := c.mechanisms(c.offer())
	if len(args) == 0 {
		return reply{text: "mechanisms follow", body: func(o *output) error {
			for _, m := range offered {
				o.line(m)
			}
			o.dot()
			return nil
		}}, nil
	}
	mechanism := upper(args[0])
	if !slices.Contains(offered, mechanism) {
		if !c.peer.Secure && (mechanism == "PLAIN" || mechanism == "LOGIN") {
			return reply{}, errPlaintext
		}
		return reply{}, errNoMechanism
	}
	var response []byte
	if len(args) == 2 {
		var err error
		if response, err = initialResponse(args[1]); err != nil {
			return reply{}, err
		}
	}
	ctx, cancel := c.loginContext()
	defer cancel()
	x, err := c.server.Backend.SASL(ctx, c.peer, mechanism)
	if err != nil {
		return c.login(mechanism, "", nil, err)
	}
	defer x.Close()
	m, err := c.exchange(ctx, x, response)
	if errors.Is(err, errDisconnected) {
		return reply{}, err
	}
	return c.login(mechanism, x.User(), m, err)
}

// initialResponse decodes what follows the mechanism's name: "=" is an empty
// response, as opposed to none.
func initialResponse(arg string) ([]byte, error) {
	if arg == "=" {
		return []byte{}, nil
	}
	return decode([]byte(arg))
}

func decode(line []byte) ([]byte, error) {
	if bytes.IndexByte(line, '\r') >= 0 { // the decoder would pass over it
		return nil, errBase64
	}
	response := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Strict().Decode(response, line)
	if err != nil {
		return nil, errBase64
	}
	return response[:n], nil
}

// exchange carries challenges and responses.
func (c *session) exchange(ctx context.Context, x Exchange, response []byte) (Maildrop, error) {
	for {
		challenge, m, err := x.Step(ctx, response)
		if err != nil || m != nil {
			return m, err
		}
		c.out.line("+ ", base64.StdEncoding.EncodeToString(challenge))
		line, err := c.in.line(c.saslLimit)
		c.endWait()
		if err == nil {
			err = c.out.err
		}
		switch {
		case errors.Is(err, errLineTooLong):
			return nil, err
		case err != nil:
			c.disconnected(err)
			return nil, errDisconnected
		case string(line) == "*":
			return nil, errCancelled
		}
		if response, err = decode(line); err != nil {
			return nil, err
		}
	}
}

// cmdStls begins TLS (RFC 2595, section 4). What the client said before it is
// forgotten.
func (c *session) cmdStls([]string) (reply, error) {
	switch {
	case c.peer.TLS != nil:
		return reply{}, errTLSActive
	case c.settings.TLS == nil:
		return reply{}, errNoTLS
	case c.utf8: // RFC 6856, section 2.1
		return reply{}, errSTLSAfter
	}
	return reply{text: "begin TLS", then: func() {
		c.greeted.user = ""
		_ = c.startTLS()
	}}, nil
}

// cmdLeave is QUIT without a login: nothing is removed.
func (c *session) cmdLeave([]string) (reply, error) {
	c.end(ReasonQuit, nil)
	return reply{text: "goodbye"}, nil
}
