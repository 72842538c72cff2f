package pop3

import (
	"strconv"
	"strings"
	"time"
)

// cmdCapa answers CAPA (RFC 2449, section 5).
func (c *session) cmdCapa([]string) (reply, error) {
	lines := c.capabilities()
	return reply{text: "capabilities follow", body: func(o *output) error {
		for _, l := range lines {
			o.line(l)
		}
		o.dot()
		return nil
	}}, nil
}

// capabilities is what holds for this connection at this moment. USER and SASL
// stay after the login, since RFC 2449 has no difference between the states
// there; STLS means that the command is permitted now (RFC 2595, section 4).
func (c *session) capabilities() []string {
	s, offer := c.settings, c.offer()
	lines := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"}
	if offer.Password {
		lines = append(lines, "USER")
	}
	if mechanisms := c.mechanisms(offer); len(mechanisms) > 0 {
		lines = append(lines, "SASL "+strings.Join(mechanisms, " "))
	}
	if s.TLS != nil && c.peer.TLS == nil && c.drop == nil && !c.utf8 {
		lines = append(lines, "STLS")
	}
	if offer.UTF8User {
		lines = append(lines, "UTF8 USER")
	} else {
		lines = append(lines, "UTF8")
	}
	lines = append(lines, "LANG")
	if s.Expire != "" {
		lines = append(lines, "EXPIRE "+s.Expire)
	}
	if offer.LoginDelay > 0 {
		seconds := (offer.LoginDelay + time.Second - 1) / time.Second
		lines = append(lines, "LOGIN-DELAY "+strconv.Itoa(int(seconds)))
	}
	return append(lines, "IMPLEMENTATION sidepop")
}
