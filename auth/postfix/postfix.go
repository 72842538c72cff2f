// Package postfix says where a Postfix on this machine delivers mail: the
// mailboxes of virtual(8), the place where local(8) puts the mail of system
// users, and which domains are whose. It reads Postfix's configuration and
// tables with Postfix's own postconf(1) and postmap(1), and looks addresses up as
// virtual(8) does.
//
// Invariants:
//   - No answer is older than a change of main.cf, or of the file of a table,
//     that was complete when the question was asked. What is in a database may be
//     older by [Options.CacheTime].
//   - Keys go to postmap on its standard input, one line each: no key is taken
//     for an option, and none shows in a list of processes.
//   - A key that no table can hold (empty, too long, not UTF-8, with a control
//     character) is not found, and nothing is run for it.
//   - Nothing here connects to the network or needs a capability; what a table
//     of Postfix's own connects to is that table's.
//   - An error's text holds no value of a table, except a mailbox and its owner
//     that cannot be, and no table that is written out in main.cf.
package postfix

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"sidepop/auth/internal/program"
)

// Why a question has no answer. Every error of this package about a question
// wraps one of these, or the cause of the context's end.
var (
	// ErrUnknown says that there is no such mailbox.
	ErrUnknown = errors.New("not known to Postfix")

	// ErrTemporary is a lookup that failed: a database is down, a file is
	// unreadable, a tool failed or took too long.
	ErrTemporary = errors.New("a table of Postfix cannot be read at the moment")

	// ErrConfig is a setting or an entry of a table that cannot be used, by
	// virtual(8) neither. The text says which, and what to change.
	ErrConfig = errors.New("configuration of Postfix cannot be used")
)

const (
	// DefaultCacheTime is for how long what a database answered is used again:
	// short enough that a change shows before somebody asks why it does not.
	DefaultCacheTime = time.Minute

	// lookups is how many postmap processes run at once: each loads a database
	// library and connects, and more than these would only compete.
	lookups = 4

	// lookupTimeout bounds the wait for a process and its run, a little above the
	// 5 seconds that Postfix's database clients wait for a connection.
	lookupTimeout = 10 * time.Second
)

// Options says which Postfix.
type Options struct {
	// ConfigDir is the folder of main.cf, as of postconf -c; "" is that of the
	// default instance.
	ConfigDir string

	// Commands is the folder of postconf and postmap; "" finds them in PATH and
	// then where systems have them.
	Commands string

	// CacheTime is for how long an answer of postmap(1) is used again; a sixth of
	// it where nothing was found. 0: DefaultCacheTime, below 0: not at all.
	CacheTime time.Duration
}

// Postfix is one instance. Its methods may be called from many goroutines at
// once, and read main.cf again when it has changed.
type Postfix struct {
	postconf, postmap string
	configDir         string
	cacheTime         time.Duration

	config  atomic.Pointer[config]
	utf8    atomic.Bool // smtputf8_enable
	flights singleflight.Group
	slots   chan struct{} // taken while postmap runs
	cache   cache

	mu     sync.Mutex
	dicts  map[dictID]*dict // every table opened so far
	tables []*maps          // those of Table
}

// Find gives the path of postconf, if a Postfix is installed.
func Find() (path string, ok bool) { return program.Find("postconf", "") }

// Open reads the configuration of a Postfix. That need not be running.
func Open(ctx context.Context, o Options) (*Postfix, error) {
	p := &Postfix{
		configDir: o.ConfigDir,
		cacheTime: o.CacheTime,
		slots:     make(chan struct{}, lookups),
		dicts:     make(map[dictID]*dict),
	}
	if p.cacheTime == 0 {
		p.cacheTime = DefaultCacheTime
	}
	for name, path := range map[string]*string{"postconf": &p.postconf, "postmap": &p.postmap} {
		found, ok := program.Find(name, o.Commands)
		if !ok {
			return nil, fmt.Errorf("%w: no %s found: is Postfix installed?", ErrConfig, name)
		}
		*path = found
	}
	if p.configDir != "" {
		// The tools run in another folder.
		var err error
		if p.configDir, err = filepath.Abs(p.configDir); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	} else {
		values, err := p.read(ctx)
		if err != nil {
			return nil, err
		}
		p.configDir = values["config_directory"]
	}
	_, err := p.current(ctx)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Version is Postfix's: 3.7.11.
func (p *Postfix) Version() string { return p.Parameter("mail_version") }

// ConfigDir is the folder of main.cf.
func (p *Postfix) ConfigDir() string { return p.configDir }

// Parameter gives the value of one of the parameters that this package uses,
// with what it refers to expanded; "" for any other. While main.cf cannot be
// read it is the value from before.
func (p *Postfix) Parameter(name string) string { return p.latest().values[name] }

// Files gives the files whose change makes answers change: main.cf, master.cf
// and those of all tables known so far, as far as they exist.
func (p *Postfix) Files() []string {
	files := []string{filepath.Join(p.configDir, "main.cf"), filepath.Join(p.configDir, "master.cf")}
	c := p.latest()
	used := []*maps{c.mailboxes, c.uids, c.gids}
	p.mu.Lock()
	used = append(used, p.tables...)
	p.mu.Unlock()
	for _, m := range used {
		for _, d := range m.dicts {
			files = append(files, d.files...)
		}
	}
	files = append(files, c.destinations.files()...)
	files = append(files, c.domains.files()...)
	if filepath.IsAbs(c.values["myorigin"]) {
		files = append(files, c.values["myorigin"])
	}
	slices.Sort(files)
	return slices.DeleteFunc(slices.Compact(files), func(f string) bool { return !exists(f) })
}
