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
		o.line(".")
		return nil
	}}, nil
}

// capabilities is what holds for this connection at this moment. USER and SASL
// stay after the login, since RFC 2449 has no difference between the states
// there; STLS means that the command is permitted now (RFC 2595, section 4).
func (c *session) capabilities() []string {
	s, offer := c.server, c.offer()
	lines := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"}
	if offer.Password {
		lines = append(lines, "USER")
	}
	if len(offer.SASL) > 0 {
		lines = append(lines, "SASL "+strings.Join(offer.SASL, " "))
	}
	if s.TLS != nil && c.peer.TLS == nil && c.drop == nil && !c.greeted.utf8 {
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
	if s.LoginDelay > 0 {
		seconds := (s.LoginDelay + time.Second - 1) / time.Second
		lines = append(lines, "LOGIN-DELAY "+strconv.Itoa(int(seconds)))
	}
	return append(lines, "IMPLEMENTATION sidepop")
}

// cmdUtf8 begins UTF-8 mode (RFC 6856, section 2). Messages are sent as they
// are stored then; answers are ASCII in either mode.
func (c *session) cmdUtf8([]string) (reply, error) {
	c.greeted.utf8 = true
	return reply{text: "UTF-8 mode"}, nil
}

// languages are those that answers can be in (RFC 6856, section 3).
var languages = []struct{ tag, name string }{
	{"en", "English"},
	{"i-default", "Default language"}, // RFC 2277, section 4.5
}

// cmdLang lists the languages or chooses one. A more special tag, such as
// en-GB, finds the general one (RFC 4647, section 3.4).
func (c *session) cmdLang(args []string) (reply, error) {
	if len(args) == 0 {
		return reply{text: "languages follow", body: func(o *output) error {
			for _, l := range languages {
				o.line(l.tag, " ", l.name)
			}
			o.line(".")
			return nil
		}}, nil
	}
	wanted := strings.ToLower(args[0])
	if wanted == "*" {
		wanted = languages[0].tag
	}
	for wanted != "" {
		for _, l := range languages {
			if l.tag == wanted {
				return reply{text: l.tag + " language chosen"}, nil
			}
		}
		wanted = wanted[:max(strings.LastIndexByte(wanted, '-'), 0)]
	}
	return reply{}, errLanguage
}
