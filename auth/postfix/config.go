package postfix

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"sidepop/auth/internal/program"
	"sidepop/auth/internal/version"
)

// parameters are those of main.cf that are read. No others are asked for, since
// postconf(1) opens sockets to find the default of some.
var parameters = []string{
	"config_directory", "queue_directory", "multi_instance_directories", "mail_version", "smtputf8_enable",
	"myhostname", "myorigin", "mydestination", "inet_interfaces", "proxy_interfaces",
	"recipient_delimiter", "double_bounce_sender", "owner_request_special",
	"virtual_transport", "virtual_mailbox_domains", "virtual_mailbox_maps", "virtual_mailbox_base",
	"virtual_uid_maps", "virtual_gid_maps", "virtual_minimum_uid",
	"alias_maps", "virtual_alias_maps", "local_transport", "mailbox_transport_maps", "mailbox_transport", "mailbox_command_maps",
	"mailbox_command", "home_mailbox", "mail_spool_directory",
	"smtpd_tls_chain_files", "smtpd_tls_cert_file", "smtpd_tls_key_file",
}

// config is main.cf as it was at one time. It does not change.
type config struct {
	version version.Version // of main.cf
	settled bool
	values  map[string]string

	fold       func(string) string
	delimiters string
	minimumUID uint64
	origin     func() (string, error)

	destinations, domains *list
	mailboxes, uids, gids *maps
}

// read asks postconf(1) for the parameters.
func (p *Postfix) read(ctx context.Context) (map[string]string, error) {
	args := []string{"-x"}
	if p.configDir != "" {
		args = append(args, "-c", p.configDir)
	}
	r, err := program.Run(ctx, program.Options{}, p.postconf, append(args, parameters...)...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	if r.Status != 0 {
		return nil, fmt.Errorf("%w: %s: %s", ErrConfig, p.postconf, r.Complaint())
	}
	values := parseParameters(string(r.Stdout))
	for _, name := range []string{"mail_version", "config_directory"} {
		if values[name] == "" {
			return nil, fmt.Errorf("%w: %s does not say what %s is: is it Postfix's?", ErrConfig, p.postconf, name)
		}
	}
	return values, nil
}

// parseParameters reads what postconf prints: lines of "name = value", or "name ="
// where the value is empty.
func parseParameters(text string) map[string]string {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, "=")
		if ok {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return values
}

// current gives the configuration as it is now. It runs postconf only when
// main.cf has changed.
func (p *Postfix) current(ctx context.Context) (*config, error) {
	file := filepath.Join(p.configDir, "main.cf")
	v, settled := version.Look(file)
	if c := p.config.Load(); c != nil && c.version == v && c.settled {
		return c, nil
	}
	read := func(ctx context.Context) (*config, error) {
		values, err := p.read(ctx)
		if err != nil {
			return nil, err
		}
		c, err := p.configure(values)
		if err != nil {
			return nil, err
		}
		c.version, c.settled = v, settled
		p.config.Store(c)
		return c, nil
	}
	if !settled {
		// A run that began before this question may have read main.cf as it was
		// before a change with the same time stamp. So each has a run of its own,
		// and they take turns with those of postmap.
		select {
		case p.slots <- struct{}{}:
			defer func() { <-p.slots }()
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: main.cf: %w", ErrTemporary, context.Cause(ctx))
		}
		return read(ctx)
	}
	return share(ctx, &p.flights, "main.cf\n"+string(v), read)
}

// latest is the configuration for those who can do without the newest: not with one
// from before a change that shows, but with one that was read while it changed.
func (p *Postfix) latest() *config {
	v, settled := version.Look(filepath.Join(p.configDir, "main.cf"))
	if c := p.config.Load(); c.version == v && !settled {
		return c
	}
	c, err := p.current(context.Background())
	if err != nil {
		return p.config.Load()
	}
	return c
}

// configure makes use of the parameters. Tables that cannot be opened are errors
// only when they are asked, as in Postfix.
func (p *Postfix) configure(values map[string]string) (*config, error) {
	p.utf8.Store(values["smtputf8_enable"] == "yes")
	c := &config{values: values, fold: p.fold, delimiters: values["recipient_delimiter"]}
	minimum, err := strconv.ParseUint(values["virtual_minimum_uid"], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("%w: virtual_minimum_uid = %s: not a number", ErrConfig, values["virtual_minimum_uid"])
	}
	c.minimumUID = minimum
	c.origin = func() (string, error) { return values["myorigin"], nil }
	if filepath.IsAbs(values["myorigin"]) {
		c.origin = (&parsed[string]{path: values["myorigin"], parse: firstWord}).current
	}
	c.mailboxes = p.open("virtual_mailbox_maps", values["virtual_mailbox_maps"], false)
	c.uids = p.open("virtual_uid_maps", values["virtual_uid_maps"], false)
	c.gids = p.open("virtual_gid_maps", values["virtual_gid_maps"], false)
	for name, l := range map[string]**list{"mydestination": &c.destinations, "virtual_mailbox_domains": &c.domains} {
		if *l, err = p.parseList(name, values[name]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// firstWord is how Debian's Postfix reads a file named by myorigin.
func firstWord(content string) (string, error) {
	line, _, _ := strings.Cut(content, "\n")
	return strings.TrimSpace(line), nil
}
