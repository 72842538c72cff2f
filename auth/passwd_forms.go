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

// scramSecret implements [keysSource]. Decoys are like those of the same file.
func (p *Passwd) scramSecret(_ context.Context, q keysQuery) (*secret, scramShapes, error) {
	found, err := p.find(q.user)
	if err != nil {
		return nil, nil, err
	}
	var like scramShapes
	if found.users != nil {
		like = found.users.shapes[q.kind]
	}
	if found.refusal != nil {
		return nil, like, nil
	}
	return found.secret.useful(q.kind), like, nil
}
