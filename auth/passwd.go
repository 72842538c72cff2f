package auth

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
)

// maxFiles limits how many domains' files are kept in memory; the one unused
// for longest is given up for another.
const maxFiles = 1000

// Passwd holds accounts in passwd files: one for all users, or one for each
// domain. Its methods may be called from many goroutines at once.
//
// A line is user:password:uid:gid:gecos:home:shell:extra, as in Dovecot's
// passwd-file; all after the password may be missing. The password is a
// crypt(3) hash or {SCHEME}data. Extra is key=value fields with spaces
// between: userdb_home, userdb_mail, userdb_uid, userdb_gid, allow_nets (a
// comma-separated list of networks and addresses, and "local" for connections
// without an address), nologin, user (the account's own name); other keys are
// ignored. Empty lines and lines that begin with # are comments. Ids are
// numbers; the home may hold %u, %n, %d and %% (see [Account.Expand]).
//
// A name is looked up as it was typed, then in lower case. In a file of a
// domain it may stand with or without that domain.
type Passwd struct {
	path string
	warn func(error)
	seed maphash.Seed

	mu     sync.Mutex
	files  map[string]*file // by domain; by "" the one file for all
	uses   uint64           // counts logins, to know what was used last
	sample *table           // the users of the last login, for decoys
	held   [countForms]bool // a file kept a password in that form
}

// NewPasswd reads accounts from the file at path, or, when path holds %d, from
// one file for each domain: %d stands for the domain in lower case. Files are
// read at the first login and again when they change. warn is told, once for
// each version of a file, which of its lines are malformed; it may be called
// from several goroutines at once and must not call back.
func NewPasswd(path string, warn func(error)) *Passwd {
	p := &Passwd{path: path, warn: warn, seed: maphash.MakeSeed(), files: make(map[string]*file)}
	if !p.perDomain() {
		p.files[""] = newFile(path, warn)
	}
	return p
}

// Verify implements [Source]. For ErrCredentials the time taken does not
// tell a wrong password from an unknown user. A malformed line is
// ErrPermanent whatever the password is.
func (p *Passwd) Verify(ctx context.Context, l Login) (*Account, error) {
	match, err := l.match()
	if err != nil {
		return nil, err
	}
	return p.login(ctx, l.User, l.Remote, match)
}

func (p *Passwd) perDomain() bool { return strings.Contains(p.path, "%d") }

// Files are those that have been read, in order: with a file for each domain, those
// of the domains that logins have needed.
func (p *Passwd) Files() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	files := make([]string, 0, len(p.files))
	for _, f := range p.files {
		files = append(files, f.path)
	}
	slices.Sort(files)
	return files
}

// login finds a user, tries match on the secret, and only then says what else
// forbids the login.
func (p *Passwd) login(ctx context.Context, user string, remote netip.Addr, match func(secret) bool) (*Account, error) {
	found, err := p.find(user)
	if err != nil {
		return nil, err
	}
	right, err := try(ctx, match, found.secret)
	switch {
	case err != nil:
		return nil, err
	case found.refusal != nil:
		err = found.refusal
	case !right:
		err = fmt.Errorf("%w: wrong password", ErrCredentials)
	default:
		err = found.forbids(remote)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", found.where, err)
	}
	return &found.account, nil
}

// anyOf matches a secret that is one of a password's forms.
func anyOf(passwords []string) func(secret) bool {
	return func(s secret) bool { return slices.ContainsFunc(passwords, s.match) }
}

// try waits for a processor and calls match.
func try(ctx context.Context, match func(secret) bool, s secret) (bool, error) {
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
		return match(s), nil
	case <-ctx.Done():
		return false, fmt.Errorf("%w: given up waiting for a processor: %w", ErrTemporary, context.Cause(ctx))
	}
}

// candidate is what a login is tried on.
type candidate struct {
	record
	where string // file and line, for the log
	users *table // of the file; nil: there is none

	// refusal makes the login fail whatever the secret says. The secret then is
	// somebody else's, so that trying it takes as long as it does for others.
	refusal error
}

// find looks a user up. Its error is one that has nothing to do with which
// users there are.
func (p *Passwd) find(user string) (candidate, error) {
	names, err := nameForms(user)
	if err != nil {
		return candidate{}, err
	}
	domain := ""
	if p.perDomain() {
		_, domain = splitUser(strings.ToLower(user))
		names = withLocalParts(names)
	}
	users, err := p.table(domain)
	if err != nil {
		return candidate{}, err
	}
	refuse := func(where string, class error, reason string) (candidate, error) {
		return candidate{record{secret: p.decoy(users, user)}, where, users, fmt.Errorf("%w: %s", class, reason)}, nil
	}
	if users == nil {
		return refuse(p.path, ErrCredentials, "no such domain")
	}
	found, ok := users.find(names)
	if !ok {
		return refuse(users.path, ErrCredentials, "no such user")
	}
	where := fmt.Sprintf("%s:%d", users.path, found.number)
	rec, err := parseLine(found.text)
	if err != nil {
		return refuse(where, ErrPermanent, err.Error())
	}
	if rec.locked {
		return refuse(where, ErrCredentials, errLocked.Error())
	}
	if p.perDomain() && !strings.Contains(rec.account.Name, "@") {
		rec.account.Name += "@" + domain
	}
	if err := rec.account.expandHome(); err != nil {
		return refuse(where, ErrPermanent, err.Error())
	}
	return candidate{rec, where, users, nil}, nil
}

// withLocalParts adds to each name its part before the domain.
func withLocalParts(names []string) []string {
	var all []string
	for _, name := range names {
		local, _ := splitUser(name)
		all = append(all, name, local)
	}
	return all
}

// table gives the users of a domain, or nil when the domain is not one or has
// no file. A file that was there and is gone is ErrTemporary, not nil.
func (p *Passwd) table(domain string) (*table, error) {
	p.mu.Lock()
	f := p.files[domain]
	p.mu.Unlock()
	if f == nil {
		if !isHostName(domain) {
			return nil, nil
		}
		path := strings.ReplaceAll(p.path, "%d", domain)
		if _, err := os.Stat(path); isAbsent(err) {
			return nil, nil
		}
		f = p.add(domain, path)
	}
	users, err := f.current()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uses++
	f.used = p.uses
	for f := range Form(countForms) {
		p.held[f] = p.held[f] || users.holds(f) > None
	}
	if len(users.usable) > 0 {
		p.sample = users
	}
	return users, nil
}

// add remembers a domain's file, in place of another when there are too many.
func (p *Passwd) add(domain, path string) *file {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.files[domain]; f != nil {
		return f
	}
	if len(p.files) >= maxFiles {
		oldest := ""
		for domain, f := range p.files {
			if oldest == "" || f.used < p.files[oldest].used {
				oldest = domain
			}
		}
		delete(p.files, oldest)
	}
	f := newFile(path, p.warn)
	f.used = p.uses
	p.files[domain] = f
	return f
}

// decoy gives a secret to try for a user that cannot log in, if possible one
// of the same file: always the same for the same name, so that repeated
// attempts show no difference either.
func (p *Passwd) decoy(users *table, name string) secret {
	if users == nil || len(users.usable) == 0 {
		p.mu.Lock()
		users = p.sample
		p.mu.Unlock()
	}
	if users == nil {
		return defaultDecoy
	}
	rec, err := parseLine(users.usable[maphash.String(p.seed, name)%uint64(len(users.usable))])
	if err != nil {
		return defaultDecoy
	}
	return rec.secret
}

// defaultDecoy is tried while no file with a password has been read.
var defaultDecoy = func() secret {
	s, err := parseCrypt("$2b$10$" + strings.Repeat(".", 53))
	if err != nil {
		panic(err)
	}
	return s
}()

// isHostName says whether a client's domain may become part of a path: labels
// of letters, digits and hyphens, at most 253 octets (RFC 1123, section 2.1).
func isHostName(domain string) bool {
	if domain == "" || len(domain) > 253 {
		return false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
