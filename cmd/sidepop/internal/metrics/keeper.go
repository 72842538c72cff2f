package metrics

import (
	"errors"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sidepop/auth"
	"sidepop/index"
	"sidepop/index/store"
	"sidepop/index/watch"
	"sidepop/pop3"
	"sidepop/pop3/wire"
)

// Outcomes of a login.
const (
	outcomeOK        = "ok"
	outcomeRefused   = "refused"   // wrong password, or not allowed
	outcomeLimited   = "limited"   // too many sessions, or too soon
	outcomeTemporary = "temporary" // a fault that may pass
	outcomePermanent = "permanent" // a fault of the configuration
)

var outcomes = []string{outcomeOK, outcomeRefused, outcomeLimited, outcomeTemporary, outcomePermanent}

// otherMechanism stands for those that there are none of: fronts ask for any name.
const otherMechanism = "other"

// Reasons why a mailbox can't be watched.
const (
	reasonLimit      = "limit"       // the kernel's, of watches or instances
	reasonFileSystem = "file system" // which does not tell all changes
	reasonOther      = "other"
)

// loginBuckets are the bounds of the login histogram: a login that is remembered or
// by a fast hash, a slow one, a directory server, and the waits of penalties.
var loginBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// Keeper is what a keeper counts. Its methods may be called from many goroutines.
type Keeper struct {
	registry *prometheus.Registry
	version  string

	logins       map[string]map[string]prometheus.Counter // by mechanism and outcome
	loginSeconds prometheus.Histogram

	pamAsked, pamDied  prometheus.Counter
	pamWaiting, pamBad atomic.Int64

	notWatched map[string]prometheus.Counter // by reason
	overflows  prometheus.Counter
	repaired   prometheus.Counter
	recovered  prometheus.Counter
	stuck      prometheus.Counter
	setAside   prometheus.Counter

	certificates atomic.Pointer[[]certificate]
	reload       atomic.Pointer[reload]
	looks        *Looks // nil: nowhere
}

// Looks are where figures are that somebody else has.
type Looks struct {
	Index func() index.Stats
	Guard func() auth.GuardStats
}

// NewKeeper makes one that has counted nothing. Mechanisms are those that a login can
// have.
func NewKeeper(version string, mechanisms []string) *Keeper {
	k := &Keeper{registry: prometheus.NewRegistry(), version: version}
	add := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		k.registry.MustRegister(c)
		return c
	}
	logins := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sidepop_logins_total", Help: "Logins, by mechanism and by what came of them.",
	}, []string{"mechanism", "outcome"})
	k.logins = make(map[string]map[string]prometheus.Counter)
	for _, m := range append([]string{otherMechanism}, mechanisms...) {
		k.logins[m] = make(map[string]prometheus.Counter)
		for _, o := range outcomes {
			k.logins[m][o] = logins.WithLabelValues(m, o)
		}
	}
	k.loginSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "sidepop_login_duration_seconds", Help: "Time that the keeper took for logins that were right, the opening of the mailbox included.",
		Buckets: loginBuckets,
	})
	k.pamAsked = add("sidepop_pam_requests_total", "Questions to the PAM helper, for passwords or accounts.")
	k.pamDied = add("sidepop_pam_helper_deaths_total", "PAM helpers that ended and should not have.")
	notWatched := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sidepop_index_not_watched_total", Help: "Attempts to watch a mailbox that failed, by reason; limit is that of the kernel.",
	}, []string{"reason"})
	k.notWatched = make(map[string]prometheus.Counter)
	for _, r := range []string{reasonLimit, reasonFileSystem, reasonOther} {
		k.notWatched[r] = notWatched.WithLabelValues(r)
	}
	k.overflows = add("sidepop_index_watch_overflows_total", "Times that the kernel has lost events of watches.")
	k.repaired = add("sidepop_index_repaired_total", "Messages of which the index was wrong.")
	k.recovered = add("sidepop_index_removals_recovered_total", "Removals that a crash had interrupted and that were finished.")
	k.stuck = add("sidepop_index_removals_unfinished_total", "Attempts to finish an interrupted removal that failed.")
	k.setAside = add("sidepop_index_store_set_aside_total", "Index files that could not be used and were set aside.")
	k.registry.MustRegister(logins, k.loginSeconds, notWatched, collect(k.collect))
	return k
}

// Look tells where other figures are, before anybody asks for them.
func (k *Keeper) Look(l Looks) { k.looks = &l }

// LoggedIn: a login was right.
func (k *Keeper) LoggedIn(mechanism string, took time.Duration) {
	k.login(mechanism, outcomeOK)
	k.loginSeconds.Observe(took.Seconds())
}

// LoginFailed: a login was not, for a reason as [pop3.Backend] gives it.
func (k *Keeper) LoginFailed(mechanism string, err error) {
	outcome := outcomeTemporary
	switch {
	case errors.Is(err, pop3.ErrCredentials):
		outcome = outcomeRefused
	case errors.Is(err, pop3.ErrInUse), errors.Is(err, pop3.ErrLoginDelay):
		outcome = outcomeLimited
	case errors.Is(err, pop3.ErrPermanent):
		outcome = outcomePermanent
	}
	k.login(mechanism, outcome)
}

func (k *Keeper) login(mechanism, outcome string) {
	counters, ok := k.logins[mechanism]
	if !ok {
		counters = k.logins[otherMechanism]
	}
	counters[outcome].Inc()
}

// AskingPAM: the PAM helper is asked; answered is called when it has.
func (k *Keeper) AskingPAM() (answered func()) {
	k.pamAsked.Inc()
	k.pamWaiting.Add(1)
	return k.pamAnswered
}

func (k *Keeper) pamAnswered() { k.pamWaiting.Add(-1) }

// PAMDied: a helper ended that should have gone on. Unusable says that so many have
// that it is started less often from now on.
func (k *Keeper) PAMDied(unusable bool) {
	k.pamDied.Inc()
	if unusable {
		k.pamBad.Store(1)
	}
}

// PAMWorks: after PAMDied with unusable, a helper has answered.
func (k *Keeper) PAMWorks() { k.pamBad.Store(0) }

// NotWatched: a mailbox can't be watched.
func (k *Keeper) NotWatched(err error) {
	reason := reasonOther
	switch {
	case errors.Is(err, watch.ErrLimit):
		reason = reasonLimit
	case errors.Is(err, watch.ErrNoNotification):
		reason = reasonFileSystem
	case errors.Is(err, fs.ErrNotExist):
		return // removed at that moment
	}
	k.notWatched[reason].Inc()
}

// Overflowed: events of watches were lost.
func (k *Keeper) Overflowed() { k.overflows.Inc() }

// Repaired: the index was wrong of a message.
func (k *Keeper) Repaired() { k.repaired.Inc() }

// Recovered: an interrupted removal was finished, or, with an error, was not.
func (k *Keeper) Recovered(err error) {
	if err != nil {
		k.stuck.Inc()
		return
	}
	k.recovered.Inc()
}

// Stored: the index's store has told something.
func (k *Keeper) Stored(n store.Notice) {
	if n.Event == store.SetAside {
		k.setAside.Inc()
	}
}

// Write makes the text of the keeper's figures and, unless it is nil, of a front's.
func (k *Keeper) Write(c *wire.Counts) ([]byte, error) {
	both := prometheus.NewRegistry()
	both.MustRegister(collect(func(give func(prometheus.Metric)) {
		give(build(k.version))
		give(keeperUp.value(1))
		give(frontUp.value(truth(c != nil)))
		process(Process(), roleKeeper, give)
		if c != nil {
			front(c, give)
		}
	}))
	return write(prometheus.Gatherers{k.registry, both})
}
