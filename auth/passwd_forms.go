package auth

import (
	"context"
	"hash/maphash"

	"github.com/xdg-go/scram"
)

// Holds says how many accounts have their password in a form. With a file for each
// domain it is [None] or [Some], and knows only those files that logins have needed
// since the start.
func (p *Passwd) Holds(f Form) Extent {
	if !p.perDomain() {
		users, err := p.table("")
		if err != nil {
			return None
		}
		return users.holds(f)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[f] {
		return Some
	}
	return None
}

// scramKeys implements [keysSource]. A decoy is like somebody's of the same file.
func (p *Passwd) scramKeys(ctx context.Context, q keysQuery) (scram.StoredCredentials, bool, error) {
	found, err := p.find(q.user)
	if err != nil {
		return scram.StoredCredentials{}, false, err
	}
	otherwise := unknownShape
	if found.users != nil {
		if shapes := found.users.shapes[q.kind]; len(shapes) > 0 {
			otherwise = shapes[maphash.String(p.seed, foldUser(q.name))%uint64(len(shapes))]
		}
	}
	if found.refusal != nil {
		return keysOf(ctx, q, nil, otherwise)
	}
	return keysOf(ctx, q, &found.secret, otherwise)
}
