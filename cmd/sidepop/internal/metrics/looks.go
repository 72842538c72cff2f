package metrics

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sidepop/index/watch"
)

var (
	attempts        = gauge("sidepop_login_attempts", "Logins that are under way, those that wait because of earlier failures included.")
	throttled       = counter("sidepop_throttle_delays_total", "Logins that had to wait because of earlier failures.")
	throttleSeconds = counter("sidepop_throttle_delay_seconds_total", "Time for which logins had to wait because of earlier failures, all together.")
	throttleRefused = counter("sidepop_throttle_refused_total", "Logins that were not tried because too many were under way.")

	pamWaiting   = gauge("sidepop_pam_requests", "Questions to the PAM helper that are under way.")
	pamAvailable = gauge("sidepop_pam_helper_available", "Whether the PAM helper works: 0 after it has failed again and again, until it answers.")

	mailboxes  = gauge("sidepop_index_mailboxes", "Mailboxes that the index has stored.")
	active     = gauge("sidepop_index_mailboxes_active", "Mailboxes that are in memory since they were used lately.")
	entries    = gauge("sidepop_index_entries", "Messages of the mailboxes in memory.")
	watched    = gauge("sidepop_index_watched_directories", "Directories that are watched; a mailbox has two.")
	watchLimit = gauge("sidepop_index_watch_limit", "The kernel's limit of inotify watches of one user.")
	rescans    = counter("sidepop_index_rescans_total", "Times that all names of a mailbox were read anew.")
	storeBytes = gauge("sidepop_index_store_bytes", "Size of the index's file.")
	commits    = counter("sidepop_index_commits_total", "Commits of the index's file.")
	failures   = counter("sidepop_index_commit_failures_total", "Commits of the index's file that failed and were tried again.")
	waiting    = gauge("sidepop_index_changes_waiting", "Changes that wait for the next commit of the index's file.")

	expiry = gauge("sidepop_certificate_expiry_timestamp_seconds", "Unix time at which a certificate in use ends.", "names", "key")

	reloaded   = gauge("sidepop_config_last_reload_successful", "Whether the configuration, when it was read last, could be used.")
	reloadTime = gauge("sidepop_config_last_reload_success_timestamp_seconds", "Unix time at which the configuration in force was read.")
)

// maxNames bounds the label of a certificate's names, in octets: there can be a
// hundred of them. The first ones tell certificates apart.
const maxNames = 256

// certificate is one in use.
type certificate struct {
	names, key string
	ends       time.Time
}

// reload is what came of the configuration's last reading.
type reload struct {
	success time.Time // of the last one that could be used
	failed  bool
}

// SetCertificates tells which are in use. Of those with the same names and kind of
// key the one that ends first counts.
func (k *Keeper) SetCertificates(all []tls.Certificate) {
	var in []certificate
	known := make(map[certificate]int)
	for _, c := range all {
		one := certificate{names: names(c.Leaf), key: keyKind(c.Leaf)}
		i, twice := known[one]
		switch {
		case !twice:
			known[one] = len(in)
			one.ends = c.Leaf.NotAfter
			in = append(in, one)
		case c.Leaf.NotAfter.Before(in[i].ends):
			in[i].ends = c.Leaf.NotAfter
		}
	}
	k.certificates.Store(&in)
}

// names is what clients know a server of a certificate by.
func names(c *x509.Certificate) string {
	all := c.DNSNames
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		all = []string{c.Subject.CommonName}
	}
	return cut(strings.ToValidUTF8(strings.Join(all, ","), "?"), maxNames)
}

func keyKind(c *x509.Certificate) string {
	switch c.PublicKey.(type) {
	case *rsa.PublicKey:
		return "RSA"
	case *ecdsa.PublicKey:
		return "ECDSA"
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "other"
}

// Reloaded: the configuration was read, and holds, unless there is an error.
func (k *Keeper) Reloaded(at time.Time, err error) {
	next := reload{success: at}
	if err != nil {
		next = reload{failed: true}
		if before := k.reload.Load(); before != nil {
			next.success = before.success
		}
	}
	k.reload.Store(&next)
}

// collect gives what somebody else has.
func (k *Keeper) collect(give func(prometheus.Metric)) {
	give(pamWaiting.value(float64(k.pamWaiting.Load())))
	give(pamAvailable.value(float64(1 - k.pamBad.Load())))
	if all := k.certificates.Load(); all != nil {
		for _, c := range *all {
			give(expiry.value(seconds(c.ends), c.names, c.key))
		}
	}
	if r := k.reload.Load(); r != nil {
		give(reloaded.value(truth(!r.failed)))
		give(reloadTime.value(seconds(r.success)))
	}
	if k.looks != nil {
		k.looks.guard(give)
		k.looks.index(give)
	}
}

func (l *Looks) guard(give func(prometheus.Metric)) {
	s := l.Guard()
	give(attempts.value(float64(s.UnderWay)))
	give(throttled.value(float64(s.Delayed)))
	give(throttleSeconds.value(s.Delay.Seconds()))
	give(throttleRefused.value(float64(s.Busy)))
}

func (l *Looks) index(give func(prometheus.Metric)) {
	s := l.Index()
	give(mailboxes.value(float64(s.Store.Mailboxes)))
	give(active.value(float64(s.Active)))
	give(entries.value(float64(s.Entries)))
	give(watched.value(float64(s.Watched)))
	if name, limit := watch.Limit("watches"); name != "" {
		give(watchLimit.value(float64(limit)))
	}
	give(rescans.value(float64(s.Rescans)))
	give(storeBytes.value(float64(s.Store.Bytes)))
	give(commits.value(float64(s.Store.Commits)))
	give(failures.value(float64(s.Store.Failures)))
	give(waiting.value(float64(s.Store.Waiting)))
}
