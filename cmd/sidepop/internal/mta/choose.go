package mta

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sidepop/auth/postfix"
)

// candidate is a mail server that is installed.
type candidate struct {
	name    string
	server  server           // nil with a fault
	postfix *postfix.Postfix // nil for others
	active  bool
	remarks []string
	fault   error // it cannot be asked
}

// state says in a remark what is the matter with a candidate that is not taken.
func (c *candidate) state() string {
	switch {
	case c.active && c.fault != nil:
		return fmt.Sprintf(", runs, and cannot be asked (%v)", c.fault)
	case c.active:
		return " and runs"
	case c.fault != nil:
		return fmt.Sprintf(" and cannot be asked (%v)", c.fault)
	}
	return ""
}

// choose takes one of several candidates and says why: the only one that runs, or
// else the one to which local programs give their mail, sendmail's owner.
func choose(all []*candidate, sendmail string) (best *candidate, reason string) {
	var active []*candidate
	for _, c := range all {
		if c.active {
			active = append(active, c)
		}
	}
	if len(active) == 1 {
		return active[0], "it runs"
	}
	if len(active) > 1 {
		all = active
	}
	for _, c := range all {
		if c.name == sendmail {
			return c, sendmailPath + " is its own"
		}
	}
	return all[0], "nothing tells which one delivers; remove the other"
}

// findExim looks at the exim of this machine.
func (m machine) findExim(ctx context.Context) *candidate {
	c := &candidate{name: Exim}
	e, err := m.exim.open(ctx)
	if err != nil {
		c.fault, c.active = err, m.runs("", isExim)
		return c
	}
	pidFile := e.PIDFile()
	if _, err := os.Stat(m.path(pidFile)); err != nil {
		pidFile = "" // exim runs on without one, such as where its folder is missing
	}
	c.server, c.active = e, m.runs(pidFile, isExim)
	return c
}

// findPostfix looks at the instances of Postfix of this machine, which the default
// instance knows of (postmulti(1)).
func (m machine) findPostfix(ctx context.Context) *candidate {
	c := &candidate{name: Postfix}
	p, err := m.postfix.open(ctx, "")
	if err != nil {
		c.fault, c.active = err, m.runs("", isMaster)
		return c
	}
	c.take(p, m.instanceRuns(p))
	taken := p.ConfigDir()
	all := []string{taken}
	running := map[string]bool{taken: c.active}
	others := strings.FieldsFunc(p.Parameter("multi_instance_directories"), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	for _, dir := range others {
		all = append(all, dir)
		p, err := m.postfix.open(ctx, dir)
		if err != nil {
			c.remarks = append(c.remarks, fmt.Sprintf("the Postfix instance %s cannot be asked: %v", dir, err))
			continue
		}
		running[dir] = m.instanceRuns(p)
		if running[dir] && !c.active {
			c.take(p, true)
			taken = dir
		}
	}
	if len(all) > 1 {
		c.remarks = append(c.remarks, instances(taken, all, running))
	}
	return c
}

// instances is the remark about several instances.
func instances(taken string, all []string, running map[string]bool) string {
	var words []string
	for _, dir := range all {
		state := "does not run"
		if running[dir] {
			state = "runs"
		}
		words = append(words, dir+" ("+state+")")
	}
	return fmt.Sprintf("there are several Postfix instances, %s: that of %s was taken; auth.postfix names those whose virtual mailboxes are served",
		strings.Join(words, ", "), taken)
}

// take makes an instance the candidate's.
func (c *candidate) take(p postfixInstance, active bool) {
	c.server, c.postfix, c.active = p, p.real(), active
}

// instanceRuns says whether an instance's master(8) runs.
func (m machine) instanceRuns(p postfixInstance) bool {
	return m.runs(filepath.Join(p.Parameter("queue_directory"), "pid/master.pid"), isMaster)
}
