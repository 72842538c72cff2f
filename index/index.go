// Package index keeps an index of Maildirs that is always current: which
// messages there are, in which order, how large, under which unique-ids, and
// how they are removed. It knows no protocol.
//
// The format is the one of qmail's maildir(5), https://cr.yp.to/proto/maildir.html,
// with everything that other programs are seen to do to it.
//
// Three things work together. The store (package store) keeps what has been
// counted, so that no message is read twice. The watch (package watch) keeps the
// lists of mailboxes in use current as mail arrives. And [Index.Open] proves
// that a list is current before it is used: by the directories' change times,
// else by what the watch can prove to be all that was touched, else by reading
// all names. So a lost event, a restart or a file system without events makes
// a login slower, and never wrong.
//
// Invariants:
//   - The owner of a Maildir is hostile. Below the Maildir itself nothing is
//     opened but single path components, relative to a directory's descriptor
//     and without following symbolic links; nothing is read but regular files.
//   - Every system call on a Maildir is made with the rights of its owner, and
//     nothing else is, where [Options].As says how.
//   - Whatever is not served is reported and shuts out nothing else.
//   - The order of messages and every UIDL are pure functions of the Maildir's
//     content: file names, lists of a previous server and, where configured, a
//     header field. No clock, inode number or map order takes part. So the
//     store may be deleted at any time, and no client notices.
//   - A message is its unique name, not its file name: other programs may set
//     flags or move it from new to cur at any time.
//   - A list of entries is never changed in place: sessions keep theirs.
//   - No lock of the Index is held while a mailbox's is waited for.
//   - Bytes are sizes on disk, octets sizes as the protocol sends them.
package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sidepop/index/store"
	"sidepop/index/watch"
)

// ErrGone says that another program has removed a message since [Index.Open].
var ErrGone = errors.New("the message was removed by another program")

// Options says how an index is kept.
type Options struct {
	// Measure reads r to its end and gives the message's size as the protocol
	// sends it: its bytes and what is added to them. It must not keep r, whose
	// reads may wait for other mailboxes' turns. Required.
	Measure func(r io.Reader) (octets int64, err error)

	// Scheme makes the UIDLs of messages that no list of a previous server names.
	Scheme Scheme

	// XUIDL takes the UIDL from a message's X-UIDL header field, where no list
	// has one that was saved. Whoever sends mail can choose that field.
	XUIDL bool

	// ListsBefore, unless zero, makes the lists of a previous server hold only
	// for messages whose names say that they were delivered before. A server
	// that still runs, as Dovecot for IMAP, lists new messages some time after
	// their delivery: without this bound their UIDLs would change then.
	ListsBefore time.Time

	// As runs f with the file system rights of an owner, on the goroutine that
	// calls it, and with the process's own afterwards. It is not called within
	// itself. nil: everything is done with the process's rights, and of symbolic
	// links on the way to a Maildir only those of root and of the process's user
	// are followed, since others could lead to mail that only the process may
	// read. With As the owner's rights decide that.
	As func(o Owner, f func() error) error

	// State is the folder of the store and of the watch's cookies. Empty: there
	// is neither, and nothing outlives the mailbox's last use.
	State string

	// Watch says which mailboxes are watched.
	Watch Watch

	// CommitDelay and CommitCount bound how long and how many changes wait for
	// the store's next commit; 0: the store's defaults.
	CommitDelay time.Duration
	CommitCount int

	// Keep is how long a mailbox that nobody uses stays in memory; 0:
	// DefaultKeep.
	Keep time.Duration

	// MarkSeen lets [Mailbox.Commit] mark what was read as seen.
	MarkSeen bool

	// Events is told what an operator wants to know; nil: nobody is.
	Events Events
}

// Watch is a choice of mailboxes.
type Watch int

const (
	WatchAll    Watch = iota // all that are in the store, and those opened since
	WatchActive              // those opened within Options.Keep
	WatchNone                // none: every login reads the names if the directories have changed
)

// DefaultKeep is how long a mailbox that nobody uses stays in memory: longer
// than the usual interval at which mail programs look for mail.
const DefaultKeep = 15 * time.Minute

// Events is told what happens in mailboxes. Its methods are called from many
// goroutines and return soon. Paths hold their owners' raw bytes.
type Events interface {
	// Skipped: something in a Maildir is not served, or not used.
	Skipped(path, reason string)

	// Counting: the messages of a mailbox are being counted; done of total so far.
	Counting(maildir string, done, total int)

	// Repaired: what the index said of a message was not true.
	Repaired(path string, what string)

	// NotWatched: a mailbox can't be watched; every login looks for itself.
	NotWatched(maildir string, err error)

	// Lagging: events of the watch were lost; all mailboxes are read again at
	// their next login.
	Lagging()

	// Recovered: removals that a crash had interrupted were finished.
	Recovered(maildir string, messages int, err error)

	// Store: the store has news of itself.
	Store(n store.Notice)
}

// Index keeps the mailboxes of one server. Its methods may be called from many
// goroutines at once.
type Index struct {
	o     Options
	store *store.Store   // nil without a state folder
	watch *watch.Watcher // nil without a watch
	slots *slots         // for counting, one for each processor
	haste haste          // of opening messages

	epoch   atomic.Uint64 // counts the times when events were lost
	rescans atomic.Uint64 // see Stats

	mu        sync.Mutex
	mailboxes map[string]*mailbox // those in use
	known     map[string]*Owner   // told by Know, by path; nil: no task deals with it

	unfinished map[string][]halfDone // by Maildir

	wake  chan struct{} // work for the workers
	work  []*mailbox    // guarded by mu
	stop  context.CancelFunc
	ctx   context.Context
	tasks sync.WaitGroup
}

// New opens an index and finishes what a crash has interrupted.
func New(o Options) (*Index, error) {
	if o.Events == nil {
		o.Events = silent{}
	}
	if o.Keep == 0 {
		o.Keep = DefaultKeep
	}
	x := &Index{
		o:         o,
		slots:     newSlots(runtime.GOMAXPROCS(0)),
		mailboxes: make(map[string]*mailbox),
		wake:      make(chan struct{}, 1),
	}
	x.ctx, x.stop = context.WithCancel(context.Background())
	if o.State == "" {
		return x, nil
	}
	var err error
	x.store, err = store.Open(o.State, store.Options{Delay: o.CommitDelay, Count: o.CommitCount, Note: o.Events.Store})
	if err != nil {
		x.stop()
		return nil, err
	}
	if err := x.finishRemovals(); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	if o.Watch != WatchNone {
		if err := x.startWatch(); err != nil {
			o.Events.NotWatched("", err)
		}
	}
	x.tasks.Go(x.janitor)
	return x, nil
}

// cookies is the watch's folder below the state folder.
const cookies = "cookies"

func (x *Index) startWatch() error {
	dir := filepath.Join(x.o.State, cookies)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	w, err := watch.New(dir, (*handler)(x))
	if err != nil {
		return err
	}
	x.watch = w
	for range runtime.GOMAXPROCS(0) {
		x.tasks.Go(x.worker)
	}
	if x.o.Watch == WatchAll {
		x.tasks.Go(x.watchAll)
	}
	return nil
}

// Close ends the index. Sessions should have ended.
func (x *Index) Close() error {
	x.mu.Lock() // no Know begins a task any more
	x.stop()
	x.mu.Unlock()
	var err error
	if x.watch != nil {
		err = x.watch.Close()
	}
	x.tasks.Wait()
	if x.store != nil {
		err = errors.Join(err, x.store.Close())
	}
	return err
}

// Open gives a session the messages of the Maildir at path as they are now:
// whatever was delivered before the call is among them. The user is noted for
// people who look at the index; owner is whose the files are. With nothing changed
// it costs the same however many messages there are; otherwise it costs as much as
// has changed. A Maildir that is opened for the first time is counted, which ends
// when ctx does; what has been counted by then is kept.
//
// A Maildir that does not exist is an empty mailbox, as before the first
// delivery; so is a missing new or cur. Everything else that keeps the Maildir
// from being read is an error: mail that is there must not seem to be gone.
//
// While there are sessions, those of another user fail with [ErrOwner]. Later he
// gets what a complete reading finds that he may read.
func (x *Index) Open(ctx context.Context, path, user string, owner Owner) (*Mailbox, error) {
	o := owner.ordered()
	m, err := x.claim(path, user, o)
	if err != nil {
		return nil, err
	}
	if err := m.lock(ctx); err != nil {
		x.leave(m)
		return nil, err
	}
	defer m.unlock()
	err = m.belongTo(o)
	if err == nil {
		err = m.refresh(ctx, user, true)
	}
	if err != nil {
		x.leave(m)
		return nil, err
	}
	return m.snapshot(), nil
}

// use gives the mailbox of a path, to be released.
func (x *Index) use(path string) *mailbox {
	x.mu.Lock()
	defer x.mu.Unlock()
	m := x.mailboxes[path]
	if m == nil {
		m = x.newMailbox(path)
		x.mailboxes[path] = m
	}
	m.refs++
	return m
}

func (x *Index) newMailbox(path string) *mailbox {
	return &mailbox{x: x, path: path, busy: make(chan struct{}, 1)}
}

func (x *Index) release(m *mailbox) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.refs--; m.refs == 0 {
		m.lastUsed = time.Now()
		if x.store == nil {
			delete(x.mailboxes, m.path)
		}
	}
}

// janitor lets mailboxes out of memory that nobody uses.
func (x *Index) janitor() {
	ticks := time.NewTicker(max(x.o.Keep/janitorTurns, time.Second))
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			x.sweep(time.Now())
		case <-x.ctx.Done():
			return
		}
	}
}

// janitorTurns is how often within Options.Keep the janitor looks.
const janitorTurns = 8

func (x *Index) sweep(now time.Time) {
	var out []string
	x.mu.Lock()
	for path, m := range x.mailboxes {
		if m.refs == 0 && now.Sub(m.lastUsed) >= x.o.Keep && !x.store.Pending(path) {
			delete(x.mailboxes, path)
			out = append(out, path)
		}
	}
	x.mu.Unlock()
	if x.watch == nil || x.o.Watch != WatchActive {
		return
	}
	for _, path := range out { // without the lock, which the watch's handler needs
		for _, name := range folderNames {
			x.watch.Remove(path + "/" + name)
		}
	}
}

// silent are the Events of an index without any.
type silent struct{}

func (silent) Skipped(string, string)       {}
func (silent) Counting(string, int, int)    {}
func (silent) Repaired(string, string)      {}
func (silent) NotWatched(string, error)     {}
func (silent) Lagging()                     {}
func (silent) Recovered(string, int, error) {}
func (silent) Store(store.Notice)           {}

// listed says whether a list holds for a message.
func (o *Options) listed(k key) bool {
	if o.ListsBefore.IsZero() {
		return true
	}
	sec, digits := leadingNumber(k.unique)
	return digits > 0 && sec < uint64(max(o.ListsBefore.Unix(), 0))
}

func readError(path string, err error) error {
	return fmt.Errorf("read Maildir %s: %w", path, err)
}
