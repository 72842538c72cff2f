// Package exim says where an exim4 delivers the mail of system users, and which
// domains are local to it. It asks exim itself: its configuration as "exim -bP"
// prints it, and a domain through an expansion of exim's ("exim -be").
//
// Invariants:
//   - Nothing of a client's reaches an expansion but a domain of letters,
//     digits, hyphens and dots.
//   - An answer is not older than a change of the configuration that was
//     complete before the question, nor than [CacheTime] where the change was
//     in a file that a lookup of exim's reads.
//   - A change that cannot be read gives errors, not answers from before: only
//     [Exim.Local], which has no errors, keeps its own.
//
// exim started by root gives up groups and user first, and ends where that is
// refused: in a process of root's without capabilities. A root that kept
// CAP_SETUID and CAP_SETGID, whatever its children inherit, can ask nonetheless,
// since exim runs as its own user there from the first: this goes for
// [Exim.LocalDomain], and for the configuration when it is read again. [Open] has
// to be called before such restrictions. No part of it needs a network.
package exim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"sidepop/auth/internal/program"
)

// Why a question was not answered. Every error of this package wraps one of these.
var (
	// ErrTemporary is a fault that may pass: exim could not be run, or a lookup
	// of its failed.
	ErrTemporary = errors.New("exim cannot be asked at the moment")

	// ErrConfig stays until somebody changes exim's configuration or gives
	// exim's user the right to read it.
	ErrConfig = errors.New("exim's configuration cannot be used")
)

// Options says which exim.
type Options struct {
	Program string // absolute path of exim; "": the one that [Find] finds
}

// Delivery is where the mail of system users goes.
type Delivery struct {
	// Template is the path in sidepop's variables (~, %u, %d, %h), a percent sign
	// doubled; "" where the mail is handed on, or the path takes exim to tell.
	Template string

	Maildir bool     // false: a file (mbox), or handed on
	Setting string   // what decides, as the configuration has it
	File    string   // where to change that
	Others  []string // what may put mail elsewhere, in exim's order; first what is not certain about that
}

// Exim is an exim with its configuration. Its methods may be called from many
// goroutines at once.
type Exim struct {
	program string
	as      *syscall.Credential // exim's own user; nil: this process's

	mu    sync.Mutex
	state *state // never nil
	again time.Time
	fault error // of reading the configuration, valid until again

	domains domains
}

// Find says whether an exim is installed, and where.
func Find() (path string, ok bool) {
	for _, name := range []string{"exim4", "exim"} {
		if path, ok = program.Find(name, ""); ok {
			return path, true
		}
	}
	return "", false
}

// Open reads the configuration of an exim.
func Open(ctx context.Context, o Options) (*Exim, error) {
	e := &Exim{program: o.Program}
	if e.program == "" {
		path, ok := Find()
		if !ok {
			return nil, fmt.Errorf("%w: there is neither an exim4 nor an exim in %s", ErrConfig, program.Path)
		}
		e.program = path
	}
	s, err := read(ctx, tool{e.program, nil})
	if err != nil {
		return nil, err
	}
	e.state = s
	if os.Geteuid() == 0 {
		if e.as, err = credential(s.main["exim_user"], s.main["exim_group"]); err != nil {
			return nil, err
		}
	}
	e.domains.init()
	return e, nil
}

// credential is exim's own user, without other groups.
func credential(name, group string) (*syscall.Credential, error) {
	uid, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		u, lookupErr := user.Lookup(name)
		if lookupErr != nil {
			return nil, fmt.Errorf("%w: exim_user = %s: %w", ErrConfig, name, lookupErr)
		}
		uid, err = strconv.ParseUint(u.Uid, 10, 32)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: exim_user = %s: %w", ErrConfig, name, err)
	}
	gid, err := strconv.ParseUint(group, 10, 32)
	if err != nil {
		g, lookupErr := user.LookupGroup(group)
		if lookupErr != nil {
			return nil, fmt.Errorf("%w: exim_group = %s: %w", ErrConfig, group, lookupErr)
		}
		gid, err = strconv.ParseUint(g.Gid, 10, 32)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: exim_group = %s: %w", ErrConfig, group, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// Version is as exim has it, such as 4.96.
func (e *Exim) Version() string { return e.last().version }

// ConfigFile is the path of the configuration in force.
func (e *Exim) ConfigFile() string { return e.last().config }

// PIDFile is where a daemon writes its process id; "" if exim does not say.
func (e *Exim) PIDFile() string { return e.last().main["pid_file_path"] }

// Files are those whose change can change answers, those among them that are not
// there included: where exim looks for its configuration, what that includes by
// name, and what Debian makes it from.
func (e *Exim) Files() []string { return slices.Clone(e.last().files) }

// Local says where the mail of system users goes. While the configuration cannot
// be read it is where it went before.
func (e *Exim) Local() Delivery {
	s, err := e.current(context.Background())
	if err != nil {
		s = e.last()
	}
	d := s.local
	d.Others = slices.Clone(d.Others)
	return d
}

// last is the configuration as it was read last.
func (e *Exim) last() *state {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

const (
	// retryTime is how long exim is left alone after a fault: logins must not
	// start one each.
	retryTime = time.Second

	// configRetryTime is the same where the configuration is the reason: exim
	// writes a line to its panic log each time.
	configRetryTime = 10 * time.Second
)

// retryAfter is when to ask again after a fault.
func retryAfter(err error, now time.Time) time.Time {
	if errors.Is(err, ErrConfig) {
		return now.Add(configRetryTime)
	}
	return now.Add(retryTime)
}

// current is the configuration as it is now. It is read again when a file of it
// has changed.
func (e *Exim) current(ctx context.Context) (*state, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state.valid() {
		return e.state, nil
	}
	now := time.Now()
	if e.fault != nil && now.Before(e.again) {
		return nil, e.fault
	}
	s, err := read(ctx, tool{e.program, e.as})
	if err != nil {
		if ctx.Err() == nil {
			e.fault, e.again = err, retryAfter(err, time.Now())
		}
		return nil, err
	}
	e.state, e.fault = s, nil
	return s, nil
}
