package control

import (
	"context"
	"slices"
	"time"
)

// Sessions is what commands can ask of a server about its clients.
type Sessions interface {
	// Sessions gives those who are logged in, and how many connections there
	// are and were; nil where the front can't be asked.
	Sessions(ctx context.Context) (all []Session, n *Connections, err error)

	// Metrics gives the figures as Prometheus takes them, without those of the front
	// where it can't be asked.
	Metrics(ctx context.Context) (text []byte, err error)
}

// Session is one that is logged in.
type Session struct {
	User   string    // the account's own name
	Remote string    // address and port of the client
	TLS    string    // version and cipher, or "none"
	Since  time.Time // of the login
}

// Connections counts those of the front since it was started.
type Connections struct {
	Open             uint64 `json:"open"` // now
	LoggedIn         uint64 `json:"logged_in"`
	Accepted         uint64 `json:"accepted"`
	Refused          uint64 `json:"refused"`
	HandshakesFailed uint64 `json:"handshakes_failed"`
}

// session is a [Session].
type session struct {
	User   raw       `json:"user"`
	Remote string    `json:"remote"`
	TLS    string    `json:"tls"`
	Since  time.Time `json:"since"`
}

// Sessions implements [Sessions].
func (c *Client) Sessions(ctx context.Context) (all []Session, n *Connections, err error) {
	e, err := c.ask(ctx, "sessions", Maildir{}, func(a *answer) error {
		s := a.Session
		if s == nil {
			return errAnswer
		}
		all = append(all, Session{string(s.User), s.Remote, s.TLS, s.Since})
		return nil
	})
	return all, e.Connections, err
}

func (s *Server) listSessions(ctx context.Context, _ Maildir, out *stream) (end, error) {
	all, n, err := s.sessions.Sessions(ctx)
	if err != nil {
		return end{}, err
	}
	for _, one := range all {
		if err := out.send(answer{Session: &session{raw(one.User), one.Remote, one.TLS, one.Since}}); err != nil {
			return end{}, err
		}
	}
	return end{Connections: n}, nil
}

// piece is how much of a text, in octets, is sent in one line: half of what
// fits into maxLine in base64.
const piece = 24 << 10

// Metrics implements [Sessions].
func (c *Client) Metrics(ctx context.Context) (text []byte, err error) {
	_, err = c.ask(ctx, "metrics", Maildir{}, func(a *answer) error {
		if a.Metrics == nil {
			return errAnswer
		}
		text = append(text, a.Metrics.Text...)
		return nil
	})
	return text, err
}

func (s *Server) metrics(ctx context.Context, _ Maildir, out *stream) (end, error) {
	text, err := s.sessions.Metrics(ctx)
	if err != nil {
		return end{}, err
	}
	for p := range slices.Chunk(text, piece) {
		if err := out.send(answer{Metrics: &figures{raw(p)}}); err != nil {
			return end{}, err
		}
	}
	return end{}, nil
}
