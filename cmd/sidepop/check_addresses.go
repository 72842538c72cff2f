package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"

	"sidepop/cmd/sidepop/internal/check"
)

// isSidepop says whether a process, or a unit of systemd, is of a server; see
// nameProcess.
func isSidepop(name string) bool { return name == "sidepop" || strings.HasPrefix(name, "sidepop-") }

// addresses says who has the addresses of the configuration.
func (c *checkup) addresses(ctx context.Context) {
	s := c.Section("Addresses")
	var err error
	if c.files, err = check.OpenFiles(); err != nil {
		c.Miss("Which programs have the addresses: %v.", err)
		return
	}
	taken, err := check.Listeners(c.files)
	if err != nil {
		c.Miss("Which addresses are taken: %v.", err)
		return
	}
	for _, l := range []struct {
		protocol string
		all      []netip.AddrPort
	}{
		{plainSocket, c.config.Listen.POP3},
		{tlsSocket, c.config.Listen.POP3S},
		{plainLegacySocket, c.config.Listen.POP3Legacy},
		{tlsLegacySocket, c.config.Listen.POP3SLegacy},
		{metricsSocket, c.config.Listen.Metrics},
	} {
		for _, a := range l.all {
			s.Fact(l.protocol, "%s: %s", a, c.address(ctx, a, taken))
		}
	}
}

// address says in words who has an address.
func (c *checkup) address(ctx context.Context, a netip.AddrPort, taken []check.Listener) string {
	if !c.ours(a.Addr()) {
		c.Error("\"ip address\" lists those of this machine. Correct the table [listen] in "+c.file+".", "No interface has the address %s.", a.Addr())
		return "no interface has it"
	}
	for i := range taken {
		if l := &taken[i]; l.Conflicts(a) {
			return c.holder(ctx, a, l)
		}
	}
	return "free"
}

// ours says whether an address is one of this machine.
func (c *checkup) ours(a netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil || a.IsUnspecified() || a.IsLoopback() {
		return true
	}
	for _, own := range all {
		if prefix, err := netip.ParsePrefix(own.String()); err == nil && prefix.Addr() == a.WithZone("") {
			return true
		}
	}
	return false
}

// holder says who has a socket that is in the way of an address.
func (c *checkup) holder(ctx context.Context, a netip.AddrPort, l *check.Listener) string {
	if len(l.Programs) == 0 {
		c.Miss("Which program of user id %d listens on %s.", l.UID, l.Address)
		return fmt.Sprintf("taken by a program of user id %d", l.UID)
	}
	for _, p := range l.Programs {
		if isSidepop(p.Name) {
			return fmt.Sprintf("%s listens (process %d)", p.Name, p.PID)
		}
	}
	p := l.Programs[0]
	if p.PID == 1 {
		unit := socketUnit(ctx, l.Address)
		if isSidepop(unit) {
			return "systemd listens for sidepop (" + unit + ")"
		}
		if unit != "" {
			p.Name, p.Unit = "systemd, for "+unit, unit
		}
	}
	c.Error(stopIt(&p), "%s (process %d) listens on %s, where sidepop is to listen.", p.Name, p.PID, l.Address)
	return fmt.Sprintf("taken by %s (process %d)", p.Name, p.PID)
}

// socketUnit asks systemd for which unit it has a socket; "" if it does not say.
func socketUnit(ctx context.Context, a netip.AddrPort) string {
	out, err := exec.CommandContext(ctx, "systemctl", "list-sockets", "--all", "--full", "--no-legend", "--no-pager").Output()
	if err != nil {
		return "" // there is no systemd
	}
	return listedUnit(string(out), a)
}

// listedUnit finds an address in what systemctl prints: lines of address, socket
// unit and service.
func listedUnit(list string, a netip.AddrPort) string {
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if has, err := netip.ParseAddrPort(fields[0]); err == nil && has == a {
			return fields[1]
		}
	}
	return ""
}

// others are programs that serve POP3 too: how to end that alone.
var others = map[string]string{
	"dovecot": "Take pop3 out of protocols in Dovecot's configuration (Debian: apt remove dovecot-pop3d), then: systemctl restart dovecot. " +
		"If nothing else needs Dovecot: systemctl disable --now dovecot.socket dovecot.service",
	"couriertcpd": "systemctl disable --now courier-pop courier-pop-ssl",
	"cyrmaster":   "Take pop3 and pop3s out of SERVICES in /etc/cyrus.conf, then: systemctl restart cyrus-imapd",
	"master":      "Take pop3 and pop3s out of SERVICES in /etc/cyrus.conf, then: systemctl restart cyrus-imapd",
	"inetd":       "Take the pop3 lines out of /etc/inetd.conf, then: systemctl reload inetd",
	"xinetd":      "Set disable = yes in the pop3 files of /etc/xinetd.d, then: systemctl reload xinetd",
}

// stopIt is how to have a program give up its address.
func stopIt(p *check.Process) string {
	switch remedy, known := others[p.Name]; {
	case known:
		return remedy
	case strings.HasPrefix(p.Unit, "dovecot"):
		return others["dovecot"]
	case p.Unit != "":
		return "systemctl disable --now " + p.Unit
	}
	return fmt.Sprintf("Stop it (kill %d), and whatever starts it, or give sidepop another address in the table [listen].", p.PID)
}
