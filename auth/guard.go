package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// DefaultFailureDelay is when a failed attempt is answered: later than the
// slowest source usually answers. PAM's own delay after a wrong password is 2 s,
// give or take a quarter, and often given to wrong passwords alone.
const DefaultFailureDelay = 3 * time.Second

// GuardOptions is the configuration of a [Guard].
type GuardOptions struct {
	// FailureDelay is how long after a source was asked a refusal is answered, or
	// twice, three times that and so on if the source takes longer; 0 is
	// [DefaultFailureDelay].
	FailureDelay time.Duration

	// CacheTime is how long a login is remembered that was found right; 0 is not
	// at all. Until then, at most, a source does not see that its password or
	// what else it judges by has changed.
	CacheTime time.Duration

	// Files gives the paths of those files whose change forgets all remembered
	// logins at once; one that appears or vanishes has changed. It is called for
	// each login if CacheTime is set. Nil is none.
	Files func() []string

	// Deny and Allow say from where nobody, and from where alone somebody, may
	// log in. Deny wins: an address in both is refused. An empty Allow, the zero
	// value, is everywhere. Who is refused hears that the password is wrong.
	Deny, Allow Networks

	// Account gives the one name of all that are known to be an account's, by which
	// its failures are counted; or the name itself. It looks no account up, so that
	// who does not exist has one too. Nil: each name is an account.
	Account func(ctx context.Context, user string) string

	// UserNetworks says from where alone an account may log in. A key is a user
	// name or, as "@domain", stands for those of a domain that have no key of
	// their own. Case does not count. The name that was typed and the account's
	// own name must both be allowed. Only the right password tells of it.
	UserNetworks map[string]Networks
}

// Guard stands before the sources of accounts: every attempt to log in goes
// through it. Its methods may be called from many goroutines at once.
//
// Invariants:
//   - How long a refusal takes tells neither whether the user exists nor whether
//     the password was right. Only somebody at the same address can tell who has
//     logged in from there, since those do not wait for his failures.
//   - Who fails waits longer each time, before a source is asked: an address
//     whatever names it tries, an account whatever addresses try it. From an
//     address where it has logged in, an account never waits for what was done
//     elsewhere.
//   - A bounded number of attempts is under way, and what is kept about past ones
//     is bounded; neither an address nor a network nor the owner of an account can
//     take it all.
//   - Only attempts that are right leave no count: not faults, or a source that is
//     down would let guess for free those that are up. One whose client goes before it
//     has proved anything leaves none on the account.
//   - Nothing of a password is kept but, for a login that is remembered, a keyed
//     hash. A login that is remembered waits for the same penalty as others do, or
//     it would tell at once whether a guess is right.
type Guard struct {
	*guarding
	memory *memory // of the sources that this guard stands before
}

// guarding is what a guard has in common with those that [Guard.Anew] makes of it.
type guarding struct {
	throttle *throttle

	mu      sync.Mutex
	options GuardOptions // with defaults, and keys folded
}

// NewGuard makes a guard that knows nobody yet.
func NewGuard(o GuardOptions) *Guard {
	g := &Guard{&guarding{throttle: newThrottle()}, newMemory()}
	g.Set(o)
	return g
}

// Anew gives the same guard for other sources: it remembers no login that has been
// found right, or still is by an attempt that began before. All else is in common.
func (g *Guard) Anew() *Guard { return &Guard{g.guarding, newMemory()} }

// Set takes another configuration for attempts that begin later. What has been
// learnt stays.
func (g *Guard) Set(o GuardOptions) {
	if o.FailureDelay <= 0 {
		o.FailureDelay = DefaultFailureDelay
	}
	folded := make(map[string]Networks, len(o.UserNetworks))
	for name, networks := range o.UserNetworks {
		folded[foldUser(name)] = networks
	}
	o.UserNetworks = folded
	g.mu.Lock()
	defer g.mu.Unlock()
	g.options = o
}

// Do makes one attempt: it waits where it must, and calls verify unless the login
// is remembered. One with an empty password, as APOP's, is never remembered.
// [ErrBusy] is an attempt that was not made; other errors are those of verify, or
// wrap [ErrCredentials] or [ErrDenied] for an address that is not allowed, or
// [ErrTemporary] where ctx ends. Refusals come late, and all others at once.
func (g *Guard) Do(ctx context.Context, l Login, verify func(context.Context) (*Account, error)) (*Account, error) {
	a, err := g.Begin(ctx, l)
	if err != nil {
		return nil, err
	}
	return a.Do(ctx, l, verify)
}

// Attempt is one that waits for what the client has to say. It is used by one
// goroutine.
type Attempt struct {
	*attempt
	guard   *Guard
	options GuardOptions
	yield   *time.Timer // ends its turn
	over    bool
}

// answerTime is how long an attempt that waits for its client keeps others from their
// turn: what a slow telephone takes to derive keys, with a network as slow.
const answerTime = 5 * time.Second

// Begin is the first half of [Guard.Do], with its errors and what it waits for, for a
// mechanism that looks accounts up before the client proves anything. The second half
// is [Attempt.Do]. After Begin comes [Attempt.Close].
func (g *Guard) Begin(ctx context.Context, l Login) (*Attempt, error) {
	g.mu.Lock()
	o := g.options
	g.mu.Unlock()
	name := l.User
	if o.Account != nil {
		name = o.Account(ctx, name)
	}
	attempt, err := g.throttle.enter(g.throttle.who(name, l.Remote))
	if err != nil {
		return nil, err
	}
	if err = o.everybody(l); err != nil {
		o.late(ctx, time.Now())
	} else {
		err = attempt.ask(ctx)
	}
	if err != nil {
		attempt.leave()
		return nil, err
	}
	return &Attempt{attempt, g, o, time.AfterFunc(answerTime, attempt.endTurn), false}, nil
}

// Do is the second half of [Guard.Do], for the login that the attempt began with. It
// ends the attempt.
func (a *Attempt) Do(ctx context.Context, l Login, verify func(context.Context) (*Account, error)) (*Account, error) {
	a.over = true
	a.yield.Stop()
	defer a.leave()
	begin := time.Now()
	account, err := a.guard.verify(ctx, &a.options, l, verify)
	if err == nil {
		err = a.options.user(l, account)
	}
	if err == nil {
		a.succeed(account)
		return account, nil
	}
	a.endTurn()
	if errors.Is(err, ErrCredentials) || errors.Is(err, ErrDenied) {
		a.options.late(ctx, begin)
	}
	return nil, err
}

// Close ends the attempt, if its client has gone before [Attempt.Do]: that is no guess
// at the account's secret, and stays a failure of its address, or of the account there
// alone if it is known there.
func (a *Attempt) Close() {
	if a.over {
		return
	}
	a.over = true
	a.yield.Stop()
	a.acquit(accountPlace)
	a.leave()
}

// verify asks the memory and then the source.
func (g *Guard) verify(ctx context.Context, o *GuardOptions, l Login, verify func(context.Context) (*Account, error)) (*Account, error) {
	if o.CacheTime <= 0 || l.Password == "" {
		return verify(ctx)
	}
	var paths []string
	if o.Files != nil {
		paths = o.Files()
	}
	key := g.memory.key(l)
	account, now := g.memory.find(key, o.CacheTime, paths)
	if account != nil {
		return account, nil
	}
	account, err := verify(ctx)
	if err == nil {
		g.memory.put(key, account, now)
	}
	return account, err
}

// late waits until a refusal is answered, if ctx does not end before: never at an
// instant that tells how long the source took.
func (o *GuardOptions) late(ctx context.Context, begin time.Time) {
	_ = sleep(ctx, o.FailureDelay-time.Since(begin)%o.FailureDelay)
}

// everybody refuses addresses that nobody may log in from.
func (o *GuardOptions) everybody(l Login) error {
	switch {
	case o.Deny.Contains(l.Remote):
		return fmt.Errorf("%w: the client's address is in a network that is denied", ErrCredentials)
	case !o.Allow.IsEmpty() && !o.Allow.Contains(l.Remote):
		return fmt.Errorf("%w: the client's address is in no network that is allowed", ErrCredentials)
	}
	return nil
}

// user refuses an account from an address that it may not log in from.
func (o *GuardOptions) user(l Login, account *Account) error {
	if len(o.UserNetworks) == 0 {
		return nil
	}
	for _, name := range []string{l.User, account.Name} {
		name = foldUser(name)
		networks, ok := o.UserNetworks[name]
		if _, domain := splitUser(name); !ok && domain != "" {
			networks, ok = o.UserNetworks["@"+domain]
		}
		if ok && !networks.Contains(l.Remote) {
			return fmt.Errorf("%w: the client's address is in no network that is allowed for %q", ErrDenied, name)
		}
	}
	return nil
}
