package postfix

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Mailbox is where virtual(8) puts the mail of an address.
type Mailbox struct {
	Path     string // absolute, without a final slash
	Maildir  bool   // else a file in mbox format
	UID, GID uint32 // what it is written as
	Key      string // the form of the address that is in the table
	Map      string // the table: type:name
}

// Mailbox gives the mailbox of an address: the entry in virtual_mailbox_maps of
// the first of user+extension@domain, user@domain, user+extension and user
// where the domain is this machine's, and @domain. Tables of patterns are asked
// for the whole address alone (virtual(8), "TABLE SEARCH ORDER"). Whether mail
// for the domain comes to virtual(8) at all, [Postfix.VirtualDomain] says, and
// what virtual_alias_maps turn the address into is not looked at. Errors wrap
// [ErrUnknown], [ErrTemporary] or [ErrConfig].
func (p *Postfix) Mailbox(ctx context.Context, address string) (*Mailbox, error) {
	c, err := p.current(ctx)
	if err != nil {
		return nil, err
	}
	a, ok := c.parseAddress(address)
	if !ok || a.domain == "" {
		return nil, fmt.Errorf("%w: %.80q is no address", ErrUnknown, address)
	}
	base := c.values["virtual_mailbox_base"]
	if !strings.HasPrefix(base, "/") {
		return nil, fmt.Errorf("%w: virtual_mailbox_base = %s: make it an absolute path", ErrConfig, base)
	}
	f, err := p.findAddress(ctx, c, c.mailboxes, a, true)
	if err != nil {
		return nil, err
	}
	if f.in == nil {
		return nil, fmt.Errorf("%w: %q is not in virtual_mailbox_maps", ErrUnknown, a)
	}
	// virtual(8) refuses "/../"; an end in "/.." is no mailbox either.
	if strings.Contains("/"+f.value+"/", "/../") {
		return nil, fmt.Errorf("%w: virtual_mailbox_maps: %s: %q has the mailbox %q: take the .. out",
			ErrConfig, f.in.shown, f.key, f.value)
	}
	m := &Mailbox{
		Path:    clean(base + "/" + f.value),
		Maildir: strings.HasSuffix(f.value, "/"),
		Key:     f.key,
		Map:     f.in.shown,
	}
	if m.UID, err = p.owner(ctx, c, c.uids, a, max(c.minimumUID, 1)); err != nil {
		return nil, err
	}
	if m.GID, err = p.owner(ctx, c, c.gids, a, 1); err != nil {
		return nil, err
	}
	return m, nil
}

// owner gives the user or group that a mailbox is written as.
func (p *Postfix) owner(ctx context.Context, c *config, m *maps, a address, least uint64) (uint32, error) {
	f, err := p.findAddress(ctx, c, m, a, true)
	if err != nil {
		return 0, err
	}
	if f.in == nil {
		return 0, fmt.Errorf("%w: %s: nothing for %q, which has a mailbox: add an entry", ErrConfig, m.title, a)
	}
	id, err := strconv.ParseUint(f.value, 10, 32)
	if err != nil || id == math.MaxUint32 {
		return 0, fmt.Errorf("%w: %s: %s: %q has %q: write a decimal number", ErrConfig, m.title, f.in.shown, f.key, f.value)
	}
	if id < least {
		return 0, fmt.Errorf("%w: %s: %s: %q has %d: Postfix takes nothing below %d here",
			ErrConfig, m.title, f.in.shown, f.key, id, least)
	}
	return uint32(id), nil
}

// clean takes doubled slashes and "." out of an absolute path, and the slash at
// its end. It leaves "..", which means something else after a symbolic link.
func clean(path string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(path, "/") {
		if part != "" && part != "." {
			b.WriteString("/" + part)
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
