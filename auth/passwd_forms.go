package auth

import "context"

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

// scramSecret implements [keysSource].
func (p *Passwd) scramSecret(_ context.Context, q keysQuery) (*secret, scramShapes, error) {
	found, err := p.find(q.user)
	switch {
	case err != nil:
		return nil, nil, err
	case found.users == nil:
		return nil, nil, nil
	case found.refusal != nil:
		return nil, found.users.shapes[q.kind], nil
	}
	return &found.secret, found.users.shapes[q.kind], nil
}
