package postfix

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// maxNesting limits how deep a file of a list may name other files: Postfix has
// no limit, and does not survive a file that names itself.
const maxNesting = 10

// list is a list of domains: names, tables whose keys are names, and files with
// more of the list. An item counts as its opposite after "!". The first item
// that a name matches decides (postconf(5), mydestination).
type list struct {
	title string
	items []item
}

// item has one of these three.
type item struct {
	negate bool
	name   string
	dict   *dict
	file   *parsed[*list]
}

// parseList reads a list. An error wraps ErrConfig.
func (p *Postfix) parseList(title, text string) (*list, error) {
	l := &list{title: title}
	if err := p.addItems(l, text); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, title, err)
	}
	return l, nil
}

func (p *Postfix) addItems(l *list, text string) error {
	for _, word := range items(text) {
		if word[0] == '#' {
			return nil // a comment where none may be: Postfix takes no more of the line
		}
		name := strings.TrimLeft(word, "!")
		it := item{negate: (len(word)-len(name))%2 == 1}
		switch {
		case name == "":
			return errors.New("nothing stands after a !: name what not to match")
		case name[0] == '/':
			it.file = &parsed[*list]{path: name, parse: func(content string) (*list, error) {
				inner := &list{title: l.title}
				for _, line := range logicalLines(content) {
					if err := p.addItems(inner, line); err != nil {
						return nil, err
					}
				}
				return inner, nil
			}}
		case name[0] != '[' && strings.Contains(name, ":"):
			it.dict = p.dict(name, false)
		default:
			it.name = p.fold(name)
		}
		l.items = append(l.items, it)
	}
	return nil
}

// match says whether a name, in folded case, is in the list.
func (l *list) match(ctx context.Context, name string) (bool, error) {
	hit, is, err := l.search(ctx, name, 0)
	if err != nil {
		return false, fmt.Errorf("%s: %w", l.title, err)
	}
	return hit && is, nil
}

// search looks for the item that decides, and says what that decides.
func (l *list) search(ctx context.Context, name string, depth int) (hit, is bool, err error) {
	if depth > maxNesting {
		return false, false, fmt.Errorf("%w: files name each other, more than %d deep", ErrConfig, maxNesting)
	}
	for _, it := range l.items {
		is = true
		switch {
		case it.file != nil:
			var inner *list
			if inner, err = it.file.current(); err == nil {
				hit, is, err = inner.search(ctx, name, depth+1)
			}
		case it.dict != nil:
			_, hit, err = it.dict.get(ctx, name)
		default:
			hit = it.name == name
		}
		if hit || err != nil {
			return hit, is != it.negate, err
		}
	}
	return false, false, nil
}

// files are those of the list's tables, and its own.
func (l *list) files() []string { return l.filesTo(0) }

func (l *list) filesTo(depth int) (files []string) {
	for _, it := range l.items {
		if it.dict != nil {
			files = append(files, it.dict.files...)
		}
		if it.file == nil {
			continue
		}
		files = append(files, it.file.path)
		if inner, err := it.file.current(); err == nil && depth < maxNesting {
			files = append(files, inner.filesTo(depth+1)...)
		}
	}
	return files
}

// LocalDomain says whether Postfix delivers mail for a domain to system users:
// it is in mydestination, or the address of an interface in brackets. Names in
// inet_interfaces other than localhost are not resolved. It comes before
// [Postfix.VirtualDomain] where a domain is both.
func (p *Postfix) LocalDomain(ctx context.Context, domain string) (bool, error) {
	return p.domain(ctx, domain, (*config).isLocal)
}

// VirtualDomain says whether mail for a domain goes to virtual mailboxes: it is
// in virtual_mailbox_domains. What delivers it is virtual_transport, which need
// not be virtual(8).
func (p *Postfix) VirtualDomain(ctx context.Context, domain string) (bool, error) {
	return p.domain(ctx, domain, func(c *config, ctx context.Context, domain string) (bool, error) {
		return c.domains.match(ctx, domain)
	})
}

// domain asks about a domain, if it can be one.
func (p *Postfix) domain(ctx context.Context, domain string, ask func(*config, context.Context, string) (bool, error)) (bool, error) {
	c, err := p.current(ctx)
	if err != nil {
		return false, err
	}
	domain = strings.TrimSuffix(domain, ".")
	if !usable(domain) || strings.HasSuffix(domain, ".") {
		return false, nil
	}
	return ask(c, ctx, c.fold(domain))
}

func (c *config) isLocal(ctx context.Context, domain string) (bool, error) {
	in, err := c.destinations.match(ctx, domain)
	if in || err != nil {
		return in, err
	}
	if len(domain) < 2 || domain[0] != '[' || domain[len(domain)-1] != ']' {
		return false, nil
	}
	literal := domain[1 : len(domain)-1]
	// RFC 5321, section 4.1.3
	v6, is6 := strings.CutPrefix(literal, "ipv6:")
	ip, err := netip.ParseAddr(v6)
	if err != nil || ip.Is6() != is6 || ip.Zone() != "" {
		return false, nil
	}
	return c.ownAddress(ip), nil
}

// ownAddress says whether Postfix receives mail at an address.
func (c *config) ownAddress(ip netip.Addr) bool {
	for _, word := range items(c.values["inet_interfaces"] + " " + c.values["proxy_interfaces"]) {
		switch word {
		case "all":
			if isInterface(ip) {
				return true
			}
		case "loopback-only", "localhost":
			if ip.IsLoopback() && isInterface(ip) {
				return true
			}
		default:
			if own, err := netip.ParseAddr(strings.Trim(word, "[]")); err == nil && own == ip {
				return true
			}
		}
	}
	return false
}

// isInterface says whether this machine has an address. In a sandbox that shows
// no interfaces it has none.
func isInterface(ip netip.Addr) bool {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range own {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == ip {
			return true
		}
	}
	return false
}
