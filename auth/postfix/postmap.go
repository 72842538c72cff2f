package postfix

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"sidepop/auth/internal/program"
	"sidepop/auth/internal/version"
)

const (
	// faultTime is for how long a lookup that failed is not repeated, so that
	// clients that try again do not start a process each.
	faultTime = time.Second

	// pauseTime is the same for other keys of the table. It is shorter, since
	// there may be keys that a healthy database fails on, and whoever tries such
	// ones must not keep everybody out.
	pauseTime = 100 * time.Millisecond

	// negativeShare of the cache time is how long something is believed not to
	// be there: accounts are added more often than their mailbox moves.
	negativeShare = 6
)

// ask looks a key up with postmap(1), unless the answer is known.
func (p *Postfix) ask(ctx context.Context, d *dict, key string) (string, bool, error) {
	v, settled := version.Look(d.files...)
	id := entryID{d.dictID, key}
	if e, ok := p.cache.get(id, v, time.Now()); ok {
		return e.value, e.found, e.err
	}
	run := func(ctx context.Context) (entry, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, lookupTimeout, program.ErrTimeout)
		defer cancel()
		return p.run(ctx, d, key, v, settled), nil
	}
	if !settled {
		// A run that began before this question may have read the table as it
		// was before a change with the same time stamp.
		e, _ := run(ctx)
		return e.value, e.found, e.err
	}
	e, err := share(ctx, &p.flights, fmt.Sprintf("%t %s\n%s\n%s", d.fold, d.spec, key, v), run)
	if err != nil {
		return "", false, err
	}
	return e.value, e.found, e.err
}

// run waits for its turn, runs postmap, and remembers the answer; but not if
// another version of the table could look like v.
func (p *Postfix) run(ctx context.Context, d *dict, key string, v version.Version, settled bool) entry {
	failed := func(err error) entry { return entry{err: fmt.Errorf("%w: %s: %w", ErrTemporary, d.shown, err)} }
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return failed(context.Cause(ctx))
	}
	if err := d.faults.recent(time.Now()); err != nil {
		return failed(err)
	}
	value, found, err := p.query(ctx, d, key)
	if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), program.ErrTimeout) {
		return failed(err) // the one who asked left: no fault of the table
	}
	d.faults.note(err, time.Now())
	e, life := entry{value: value, found: found}, p.cacheTime
	switch {
	case err != nil:
		e, life = failed(err), faultTime
	case !settled:
		life = 0
	case !found:
		life /= negativeShare
	}
	if life > 0 {
		e.version, e.until = v, time.Now().Add(life)
		p.cache.put(entryID{d.dictID, key}, e)
	}
	return e
}

// query runs postmap for one key.
func (p *Postfix) query(ctx context.Context, d *dict, key string) (value string, found bool, err error) {
	args := []string{"-c", p.configDir}
	if !d.fold {
		args = append(args, "-f")
	}
	// The table could begin with "-" as well as the key.
	args = append(args, "-q", "-", "--", d.spec)
	r, err := program.Run(ctx, program.Options{Stdin: []byte(key + "\n"), Timeout: lookupTimeout}, p.postmap, args...)
	if err != nil {
		return "", false, err
	}
	out := string(r.Stdout)
	switch value, found := strings.CutPrefix(out, key+"\t"); {
	case r.Status == 0 && found:
		return strings.TrimSuffix(value, "\n"), true, nil
	case r.Status == 1 && out == "" && onlyWarnings(string(r.Stderr)):
		return "", false, nil
	}
	r.Stderr = []byte(presentable(string(r.Stderr)))
	why := r.Complaint()
	if strings.Contains(d.name, "{") {
		// It may quote the table, and with it the values in it.
		why = "run postmap -q to see why"
	}
	return "", false, fmt.Errorf("%s failed with status %d: %s", p.postmap, r.Status, why)
}

// presentable leaves out what every tool of Postfix's says where there is no
// network, which is how the one who asks should run, and the one complaint that
// quotes a value, which can be a password.
func presentable(stderr string) string {
	var rest strings.Builder
	for line := range strings.Lines(stderr) {
		switch {
		case strings.Contains(line, ": inet_protocols: disabling "):
		case strings.Contains(line, ": non-UTF-8 value "):
			rest.WriteString("a value is not UTF-8\n")
		default:
			rest.WriteString(line)
		}
	}
	return rest.String()
}

// onlyWarnings says that postmap had nothing worse to say: what ends it is
// "fatal" or "panic".
func onlyWarnings(stderr string) bool {
	for line := range strings.Lines(stderr) {
		if !strings.Contains(line, ": warning: ") {
			return false
		}
	}
	return true
}

// faults remembers that the last lookup in a table failed.
type faults struct {
	mu    sync.Mutex
	err   error
	until time.Time
}

func (f *faults) recent(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Before(f.until) {
		return f.err
	}
	return nil
}

func (f *faults) note(err error, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.until = err, time.Time{}
	if err != nil {
		f.until = now.Add(pauseTime)
	}
}

// share has one call of do serve all who ask for the same at a time. It goes on
// when one of them leaves, so do has to end by itself.
func share[T any](ctx context.Context, group *singleflight.Group, key string, do func(context.Context) (T, error)) (T, error) {
	done := group.DoChan(key, func() (any, error) { return do(context.WithoutCancel(ctx)) })
	var none T
	select {
	case r := <-done:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", ErrTemporary, context.Cause(ctx))
	}
}
