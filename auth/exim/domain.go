package exim

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	// CacheTime is how long an answer about a domain holds while the
	// configuration stays as it is: exim's lists may read other files.
	CacheTime = time.Minute

	// maxDomains bounds the answers that are kept: clients name domains freely.
	maxDomains = 1000

	// maxRunning is how many exims run at once for questions about domains, each
	// for about 6 ms.
	maxRunning = 2

	// maxDomainOctets is the longest name of a host (RFC 1035, section 2.3.4,
	// without the length octets of the first label and the root).
	maxDomainOctets = 253
)

// condition says which domains are local: those that match each of within and
// none of without. They are domain lists, fit for an expansion as they are.
type condition struct {
	within, without []string
	fault           error // it cannot be told
}

// expression is exim's for the question about one domain.
func (c condition) expression(domain string) string {
	var b strings.Builder
	b.WriteString("${if and{")
	for _, list := range c.within {
		fmt.Fprintf(&b, "{match_domain{%s}{%s}}", domain, list)
	}
	for _, list := range c.without {
		fmt.Fprintf(&b, "{!match_domain{%s}{%s}}", domain, list)
	}
	b.WriteString("}{yes}{no}}")
	return b.String()
}

// domains are the answers about domains.
type domains struct {
	running chan struct{}

	mu      sync.Mutex
	of      *state // which they hold for
	answers map[string]answer
	fault   error // the last one, returned until again
	again   time.Time
}

type answer struct {
	local bool
	until time.Time
}

func (d *domains) init() {
	d.running = make(chan struct{}, maxRunning)
	d.answers = map[string]answer{}
}

// known looks an answer up.
func (d *domains) known(s *state, domain string) (local, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.of != s {
		d.of, d.fault = s, nil
		clear(d.answers)
	}
	if a, ok := d.answers[domain]; ok && now.Before(a.until) {
		return a.local, true, nil
	}
	if d.fault != nil && now.Before(d.again) {
		return false, false, d.fault
	}
	return false, false, nil
}

// keep keeps an answer, or a fault, if it is about the configuration in force.
func (d *domains) keep(s *state, domain string, local bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.of != s {
		return
	}
	if err != nil {
		d.fault, d.again = err, retryAfter(err, now)
		return
	}
	for old := range d.answers {
		if len(d.answers) < maxDomains {
			break
		}
		delete(d.answers, old) // any: those asked for often come back
	}
	d.fault = nil
	d.answers[domain] = answer{local, now.Add(CacheTime)}
}

// LocalDomain says whether mail to a domain is for system users. What is not a
// plain name of a host is not: an address in brackets, a name that is not ASCII.
// Case does not matter. The first question about a domain runs exim.
func (e *Exim) LocalDomain(ctx context.Context, domain string) (bool, error) {
	if !plain(domain) {
		return false, nil
	}
	domain = strings.ToLower(domain)
	s, err := e.current(ctx)
	if err != nil {
		return false, err
	}
	if s.domains.fault != nil {
		return false, s.domains.fault
	}
	if local, ok, err := e.domains.known(s, domain); ok || err != nil {
		return local, err
	}
	select {
	case e.domains.running <- struct{}{}:
		defer func() { <-e.domains.running }()
	case <-ctx.Done():
		return false, fmt.Errorf("%w: %w", ErrTemporary, context.Cause(ctx))
	}
	// Somebody else may have asked the same meanwhile.
	if local, ok, err := e.domains.known(s, domain); ok || err != nil {
		return local, err
	}
	local, err := tool{e.program, e.as}.match(ctx, s.domains, domain)
	if ctx.Err() == nil {
		e.domains.keep(s, domain, local, err)
	}
	return local, err
}

// match asks exim about a domain.
func (t tool) match(ctx context.Context, c condition, domain string) (bool, error) {
	out, err := t.run(ctx, "-be", c.expression(domain))
	if err != nil {
		return false, err
	}
	switch out {
	case "yes\n":
		return true, nil
	case "no\n":
		return false, nil
	}
	return false, fmt.Errorf("%w: %s -be answered %q for %s, expected yes or no", ErrTemporary, t.path, shorten(out), domain)
}

// plain says whether a domain is of letters, digits, hyphens and dots alone, and
// does not begin with one of the latter: nothing in it means anything to exim.
func plain(domain string) bool {
	for i := range len(domain) {
		switch c := domain[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case (c == '-' || c == '.') && i > 0:
		default:
			return false
		}
	}
	return domain != "" && len(domain) <= maxDomainOctets
}
