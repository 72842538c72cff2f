package main

import (
	"context"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/pop3"
)

// mechanism is a SASL mechanism.
type mechanism struct {
	name   string
	secure bool // it sends the password as it is, or belongs to TLS

	// offered says whether somebody's login can succeed with it.
	offered func(*config.Auth, *holdings) bool

	begin func(context.Context, *exchange, auth.VerifyFunc) (*auth.Exchange, error)

	// proved says that begin finds out who it is, so that no source has to be asked
	// for a secret.
	proved bool
}

// mechanisms is all there are, the preferred first. Those with -PLUS need a channel
// binding of the connection besides, and EXTERNAL a certificate of the client's,
// which the protocol looks after.
var mechanisms = []mechanism{
	{
		name: "EXTERNAL", secure: true, proved: true,
		offered: func(_ *config.Auth, h *holdings) bool { return h.certificates != nil },
		begin: func(_ context.Context, x *exchange, verify auth.VerifyFunc) (*auth.Exchange, error) {
			names, err := x.certified()
			if err != nil {
				return nil, err
			}
			return auth.NewExternal(names, verify), nil
		},
	},
	scramMechanism(auth.SCRAMSHA256, auth.FormSCRAMSHA256, true),
	scramMechanism(auth.SCRAMSHA256, auth.FormSCRAMSHA256, false),
	scramMechanism(auth.SCRAMSHA1, auth.FormSCRAMSHA1, true),
	scramMechanism(auth.SCRAMSHA1, auth.FormSCRAMSHA1, false),
	{
		name: "PLAIN", secure: true, offered: always,
		begin: func(_ context.Context, _ *exchange, verify auth.VerifyFunc) (*auth.Exchange, error) {
			return auth.NewPlain(verify), nil
		},
	},
	{
		name: "LOGIN", secure: true, offered: always,
		begin: func(_ context.Context, _ *exchange, verify auth.VerifyFunc) (*auth.Exchange, error) {
			return auth.NewLogin(verify), nil
		},
	},
	{
		name:    "CRAM-MD5",
		offered: func(c *config.Auth, h *holdings) bool { return c.CRAMMD5 && h.of(auth.FormClear) > auth.None },
		begin: func(_ context.Context, x *exchange, verify auth.VerifyFunc) (*auth.Exchange, error) {
			return auth.NewCRAMMD5(x.backend.hostname, verify), nil
		},
	},
	bearerMechanism("OAUTHBEARER", auth.NewOAuthBearer),
	bearerMechanism("XOAUTH2", auth.NewXOAuth2),
}

// certified are the names that the client's certificate proves: that which it has
// shown itself, or that which a proxy has seen and may speak of.
func (x *exchange) certified() ([]string, error) {
	certificates := x.backend.accounts.certificates
	if name := x.peer.ClientName; name != "" && x.backend.config.Listen.ProxyCertificates {
		return certificates.Named(name)
	}
	return certificates.Users(x.peer.Certificates)
}

func always(*config.Auth, *holdings) bool { return true }

// holdings is what sources have at one moment. They are asked once for each form, as
// that may cost the reading of a file.
type holdings struct {
	*accounts
	known map[auth.Form]auth.Extent
}

func (b *backend) holdings() *holdings {
	return &holdings{b.accounts, make(map[auth.Form]auth.Extent)}
}

// of says how many have their password in a form.
func (h *holdings) of(f auth.Form) auth.Extent {
	extent, known := h.known[f]
	if !known {
		extent = h.Holds(f)
		h.known[f] = extent
	}
	return extent
}

// scramMechanism is SCRAM. A client that knows it takes it, and gives up where it
// fails: so by default it is there only if nobody has another password.
func scramMechanism(kind auth.SCRAM, form auth.Form, plus bool) mechanism {
	name := kind.String()
	if plus {
		name += "-PLUS"
	}
	return mechanism{
		name: name, secure: plus,
		offered: func(c *config.Auth, h *holdings) bool {
			switch {
			case c.SCRAM == config.SCRAMNever, plus && !c.Binding:
				return false
			case c.SCRAM == config.SCRAMAlways:
				return h.of(form) > auth.None
			}
			return h.of(form) == auth.All
		},
		begin: func(ctx context.Context, x *exchange, verify auth.VerifyFunc) (*auth.Exchange, error) {
			o := auth.SCRAMOptions{Kind: kind, Plus: plus, Salts: x.backend.salts, Account: x.backend.accounts.saltName, Source: &x.backend.accounts.Masters}
			o.Begin = func(user string) error { return x.letIn(ctx, user) }
			for _, binding := range x.peer.Bindings {
				if x.backend.config.Auth.Binding { // or the client was told of none
					o.Bindings = append(o.Bindings, auth.ChannelBinding(binding))
				}
			}
			return auth.NewSCRAM(ctx, o, verify), nil
		},
	}
}

// bearerMechanism is one with a bearer token, which says who it is.
func bearerMechanism(name string, newExchange func(auth.BearerFunc, auth.BearerHelp) *auth.Exchange) mechanism {
	return mechanism{
		name: name, secure: true,
		offered: func(_ *config.Auth, h *holdings) bool { return h.tokens != nil },
		begin: func(ctx context.Context, x *exchange, _ auth.VerifyFunc) (*auth.Exchange, error) {
			tokens := x.backend.accounts.tokens
			help := auth.BearerHelp{Scope: tokens.Scope(), Configuration: tokens.Configuration()}
			return newExchange(func(user, token string) (string, error) {
				account, err := x.backend.verifyToken(ctx, x.peer, user, token)
				if err != nil {
					return "", err
				}
				x.account = account
				return account.Name, nil
			}, help), nil
		},
	}
}

// offers are those of connections where a password may not cross, and where it may.
func (b *backend) offers() [2]pop3.Offer {
	h := b.holdings()
	return [...]pop3.Offer{b.offer(pop3.Peer{}, h), b.offer(pop3.Peer{Secure: true}, h)}
}

// can says whether a mechanism is offered to a client.
func (m *mechanism) can(c *config.Auth, p pop3.Peer, h *holdings) bool {
	return (p.Secure || !m.secure) && m.offered(c, h)
}
