package helper

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// Defaults of the fields of [Options] with these names.
const (
	// DefaultInFlight is more than any machine hashes at once, because most
	// requests under way are asleep after a wrong password, for 2 s and more:
	// somebody who guesses must not take all places. Each one asleep is a thread
	// of less than 100 KiB.
	DefaultInFlight = 256

	// DefaultTransactions bounds what leaking modules cost: at a few KiB a
	// login this stays at some MiB, and starting a program every thousand
	// logins costs nothing that can be measured.
	DefaultTransactions = 1000

	// DefaultStartTimeout is ample even for a loaded machine: a helper only
	// loads its libraries.
	DefaultStartTimeout = 10 * time.Second

	// DefaultRequestTimeout lets a module try a directory server that is down
	// and then another one. Clients give up after a minute or more.
	DefaultRequestTimeout = 30 * time.Second
)

// mostInFlight limits MaxInFlight. It stays away from [MaxUnderWay]: a helper
// counts a request for an instant longer than whoever has its answer.
const mostInFlight = MaxUnderWay / 2

// Options says which program a [Pool] runs, and how. A number that is zero has
// its default.
type Options struct {
	// Command is the program's absolute path and its arguments.
	Command []string

	// Env is what the program's environment has beside PATH and LANG=C.
	// Nothing of this process's own environment is inherited.
	Env []string

	// Dir is the program's working directory; "/" when empty.
	Dir string

	// AmbientCaps are the capabilities (capabilities(7)) of the program. This
	// process must have them in its permitted set, and may raise them to
	// ambient ones.
	AmbientCaps []uintptr

	// MaxInFlight is how many requests are under way at once, at most 512. A
	// request counts until it was answered, even when nobody waits for it.
	MaxInFlight int

	// MaxTransactions is after how many requests a process is replaced.
	MaxTransactions int

	// StartTimeout is how long a process may take to say that it is ready.
	StartTimeout time.Duration

	// RequestTimeout is how long a process may take for one request. One that
	// takes longer gets no more requests, and is killed when it has answered
	// all others or these are overdue too.
	RequestTimeout time.Duration

	// Events is told what an operator has to know.
	Events Events
}

// Events is told about the processes of a [Pool]. Its methods are called from
// several goroutines at once and return soon.
type Events interface {
	// Logged: the program has written a line to its standard output or error.
	// The line is printable and of bounded length, and lines that come too
	// fast are left out, which a line then says.
	Logged(pid int, line string)

	// Died: a process ended that should have gone on; err says how, and what
	// became of its requests. A new one is started for the next request.
	Died(err error)

	// Unavailable: the program fails again and again without having answered
	// anything, so it is started less and less often, and requests fail
	// meanwhile. It is called once for all failures until Available.
	Unavailable(err error)

	// Available: after Unavailable, a request was answered.
	Available()
}

// Pool asks a program that it starts and restarts. Its methods may be called
// from many goroutines at once.
type Pool struct {
	options Options
	places  chan struct{} // has an element for each request under way
	closing chan struct{} // closed by Close
	runs    sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	current   *process              // starting or serving; nil: none gets requests
	processes map[*process]struct{} // all that were not waited for yet
	lastID    uint64
	backoff   backoff
}

// New makes a pool. The program is started with the first request. Starting it
// marks every descriptor of this process as closed on exec, so that the program
// has none but its own.
func New(o Options) (*Pool, error) {
	if len(o.Command) == 0 || !filepath.IsAbs(o.Command[0]) {
		return nil, errors.New("the command has to begin with the absolute path of a program")
	}
	if o.Events == nil {
		return nil, errors.New("nobody is told about the events")
	}
	if o.MaxInFlight < 0 || o.MaxInFlight > mostInFlight {
		return nil, fmt.Errorf("%d requests at once: give 1 to %d", o.MaxInFlight, mostInFlight)
	}
	if o.MaxTransactions < 0 || o.StartTimeout < 0 || o.RequestTimeout < 0 {
		return nil, errors.New("a limit is negative")
	}
	setDefault(&o.Dir, "/")
	setDefault(&o.MaxInFlight, DefaultInFlight)
	setDefault(&o.MaxTransactions, DefaultTransactions)
	setDefault(&o.StartTimeout, DefaultStartTimeout)
	setDefault(&o.RequestTimeout, DefaultRequestTimeout)
	return &Pool{
		options:   o,
		places:    make(chan struct{}, o.MaxInFlight),
		closing:   make(chan struct{}),
		processes: make(map[*process]struct{}),
	}, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Authenticate checks a password. An error wraps [ErrRequest] for a login that
// cannot be right, else [ErrTemporary]; when the context ended first, its cause
// too. The password is the caller's to wipe.
func (p *Pool) Authenticate(ctx context.Context, l *Login) (Answer, error) {
	return p.do(ctx, &request{verb: verbAuthenticate, login: *l})
}

// Admit says whether a user may log in whom something else than a password has proved
// to be that: one of the outcomes of Authenticate but [Credentials]. Errors are those
// of [Pool.Authenticate].
func (p *Pool) Admit(ctx context.Context, l *Login) (Answer, error) {
	return p.do(ctx, &request{verb: verbAdmit, login: Login{Service: l.Service, User: l.User, Remote: l.Remote}})
}

// Lookup gives the account of a user without a password: [Found], [Unknown],
// [Temporary] or [Permanent]. Errors are those of [Pool.Authenticate].
func (p *Pool) Lookup(ctx context.Context, user string) (Answer, error) {
	return p.do(ctx, &request{verb: verbLookup, login: Login{User: user}})
}

func (p *Pool) do(ctx context.Context, r *request) (Answer, error) {
	if err := r.check(); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	a, err := p.ask(ctx, r)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	return a, nil
}

var errClosed = errors.New("shutting down")

// ask waits for a place, gives the request to a process and waits for its answer.
func (p *Pool) ask(ctx context.Context, r *request) (Answer, error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("no place among %d requests: %w", cap(p.places), context.Cause(ctx))
	case <-p.closing:
		return Answer{}, errClosed
	}
	h, c, err := p.assign(ctx, r)
	if err != nil {
		<-p.places
		return Answer{}, err
	}
	packet := r.encode()
	err = h.send(packet)
	wipe(packet)
	if err != nil {
		p.giveUp(h, r.id, fmt.Errorf("process %d does not take requests: %w", h.pid(), err))
	}
	select {
	case result := <-c.result:
		return result.answer, result.err
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("not answered yet: %w", context.Cause(ctx))
	}
}

// assign finds or starts a process that serves and enters the request there.
func (p *Pool) assign(ctx context.Context, r *request) (*process, *call, error) {
	for {
		p.mu.Lock()
		h, err := p.currentLocked()
		if err != nil {
			p.mu.Unlock()
			return nil, nil, err
		}
		if h.state == serving {
			c := p.enterLocked(h, r)
			p.mu.Unlock()
			return h, c, nil
		}
		p.mu.Unlock()
		select {
		case <-h.started:
			if h.failed != nil {
				return nil, nil, h.failed
			}
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("not started yet: %w", context.Cause(ctx))
		case <-p.closing:
		}
	}
}

// currentLocked gives the process for the next request, which may be starting.
func (p *Pool) currentLocked() (*process, error) {
	if p.closed {
		return nil, errClosed
	}
	if p.current == nil {
		if err := p.backoff.blocked(time.Now()); err != nil {
			return nil, err
		}
		h := newProcess(p)
		p.current = h
		p.processes[h] = struct{}{}
		p.runs.Go(h.run)
	}
	return p.current, nil
}

// Close ends the program: requests under way fail, and a process that does not
// end by itself is killed after a few seconds. It returns when no process is left.
func (p *Pool) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.closing)
		p.current = nil
		for h := range p.processes {
			p.failLocked(h, errClosed)
			h.endLocked()
		}
	}
	p.mu.Unlock()
	p.runs.Wait()
}
