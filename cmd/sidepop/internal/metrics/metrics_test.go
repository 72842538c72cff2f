package metrics

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sidepop/auth"
	"sidepop/index"
	"sidepop/index/store"
	"sidepop/index/watch"
	"sidepop/pop3"
	"sidepop/pop3/wire"
)

// full is a keeper with a value for each metric.
func full() *Keeper {
	k := NewKeeper("v1", []string{"USER", "PLAIN"})
	k.Reloaded(time.Unix(1000, 0), nil)
	k.SetCertificates([]tls.Certificate{{Leaf: &x509.Certificate{DNSNames: []string{"mx.example.org"}, NotAfter: time.Unix(2000, 0)}}})
	k.Look(Looks{
		Index: func() index.Stats {
			return index.Stats{Store: store.Stats{Mailboxes: 1, Bytes: 2, Commits: 3, Failures: 4, Waiting: 5}, Active: 6, Entries: 7, Watched: 8, Rescans: 9}
		},
		Guard: func() auth.GuardStats {
			return auth.GuardStats{Delayed: 10, Delay: 1500 * time.Millisecond, Busy: 11, UnderWay: 12}
		},
	})
	return k
}

// text is what a keeper writes of itself and a front.
func text(t *testing.T, k *Keeper, c *wire.Counts) string {
	t.Helper()
	b, err := k.Write(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// has fails unless a text has these lines.
func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
}

// lint is what Prometheus's own check has to say of a text.
func lint(t *testing.T, text []byte) {
	t.Helper()
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestWrite(t *testing.T) {
	var c wire.Counts
	for i := range c.Listeners {
		n := uint64(100 * (i + 1))
		c.Listeners[i] = wire.ListenerCounts{Open: n, Accepted: n + 1, Refused: n + 2, HandshakesFailed: n + 3}
	}
	c.LoggedIn, c.Unanswered, c.Retrieved, c.Tops, c.Removed, c.Octets = 20, 21, 22, 23, 24, 25
	c.Process = wire.Process{Started: 1500, CPU: 2_500_000_000, Memory: 26, Goroutines: 27}
	k := full()
	both, alone := text(t, k, &c), text(t, k, nil)
	front, err := Front("v1", c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{both, alone, string(front)} {
		lint(t, []byte(s))
	}
	ofFront := []string{
		`sidepop_connections{listener="pop3"} 100`, `sidepop_connections{listener="pop3s-legacy"} 400`,
		`sidepop_connections_accepted_total{listener="pop3s"} 201`, `sidepop_connections_refused_total{listener="pop3s"} 202`,
		`sidepop_tls_handshakes_failed_total{listener="pop3-legacy"} 303`,
		`sidepop_sessions 20`, `sidepop_logins_unanswered_total 21`, `sidepop_messages_retrieved_total 22`, `sidepop_messages_top_total 23`,
		`sidepop_messages_removed_total 24`, `sidepop_sent_octets_total 25`,
		`sidepop_process_cpu_seconds_total{role="front"} 2.5`, `sidepop_process_start_time_seconds{role="front"} 1.5`,
		`sidepop_process_memory_bytes{role="front"} 26`, `sidepop_process_goroutines{role="front"} 27`,
	}
	ofKeeper := []string{
		`sidepop_index_mailboxes 1`, `sidepop_index_store_bytes 2`, `sidepop_index_commits_total 3`, `sidepop_index_commit_failures_total 4`,
		`sidepop_index_changes_waiting 5`, `sidepop_index_mailboxes_active 6`, `sidepop_index_entries 7`, `sidepop_index_watched_directories 8`,
		`sidepop_index_rescans_total 9`, `sidepop_throttle_delays_total 10`, `sidepop_throttle_delay_seconds_total 1.5`,
		`sidepop_throttle_refused_total 11`, `sidepop_login_attempts 12`,
		`sidepop_certificate_expiry_timestamp_seconds{key="other",names="mx.example.org"} 2000`,
		`sidepop_config_last_reload_success_timestamp_seconds 1000`, `sidepop_config_last_reload_successful 1`,
		`sidepop_logins_total{mechanism="other",outcome="temporary"} 0`, `sidepop_pam_helper_available 1`,
	}
	has(t, both, append(append(ofFront, ofKeeper...), "sidepop_keeper_up 1", "sidepop_front_up 1")...)
	has(t, alone, append(ofKeeper, "sidepop_keeper_up 1", "sidepop_front_up 0")...)
	has(t, string(front), append(ofFront, "sidepop_keeper_up 0")...)
	if strings.Contains(alone, `role="front"`) || strings.Contains(string(front), "sidepop_logins_total") {
		t.Error("figures of somebody who was not asked")
	}
}

// TestCounters does each thing that is counted once, and looks for the line that
// must change.
func TestCounters(t *testing.T) {
	wrapped := func(err error) error { return fmt.Errorf("around: %w", err) }
	failed := func(m string, err error) func(*Keeper) { return func(k *Keeper) { k.LoginFailed(m, err) } }
	for _, tt := range []struct {
		line string
		do   func(*Keeper)
	}{
		{`sidepop_logins_total{mechanism="USER",outcome="ok"} 1`, func(k *Keeper) { k.LoggedIn("USER", time.Second) }},
		{`sidepop_login_duration_seconds_sum 1`, func(k *Keeper) { k.LoggedIn("USER", time.Second) }},
		{`sidepop_logins_total{mechanism="other",outcome="ok"} 1`, func(k *Keeper) { k.LoggedIn("X-NEW", 0) }},
		{`sidepop_logins_total{mechanism="PLAIN",outcome="refused"} 1`, failed("PLAIN", wrapped(pop3.ErrCredentials))},
		{`sidepop_logins_total{mechanism="PLAIN",outcome="limited"} 1`, failed("PLAIN", wrapped(pop3.ErrInUse))},
		{`sidepop_logins_total{mechanism="PLAIN",outcome="limited"} 1`, failed("PLAIN", wrapped(pop3.ErrLoginDelay))},
		{`sidepop_logins_total{mechanism="PLAIN",outcome="permanent"} 1`, failed("PLAIN", wrapped(pop3.ErrPermanent))},
		{`sidepop_logins_total{mechanism="PLAIN",outcome="temporary"} 1`, failed("PLAIN", wrapped(pop3.ErrTemporary))},
		{`sidepop_logins_total{mechanism="PLAIN",outcome="temporary"} 1`, failed("PLAIN", errors.New("unknown"))},
		{`sidepop_logins_total{mechanism="other",outcome="refused"} 1`, failed("", pop3.ErrCredentials)},
		{`sidepop_pam_requests_total 1`, func(k *Keeper) { k.AskingPAM()() }},
		{`sidepop_pam_requests 1`, func(k *Keeper) { k.AskingPAM(); k.AskingPAM()() }},
		{`sidepop_pam_helper_deaths_total 1`, func(k *Keeper) { k.PAMDied(false) }},
		{`sidepop_pam_helper_available 0`, func(k *Keeper) { k.PAMDied(true) }},
		{`sidepop_pam_helper_available 1`, func(k *Keeper) { k.PAMDied(true); k.PAMWorks() }},
		{`sidepop_index_not_watched_total{reason="limit"} 1`, func(k *Keeper) { k.NotWatched(wrapped(watch.ErrLimit)) }},
		{`sidepop_index_not_watched_total{reason="file system"} 1`, func(k *Keeper) { k.NotWatched(wrapped(watch.ErrNoNotification)) }},
		{`sidepop_index_not_watched_total{reason="other"} 1`, func(k *Keeper) { k.NotWatched(fs.ErrPermission) }},
		{`sidepop_index_not_watched_total{reason="other"} 0`, func(k *Keeper) { k.NotWatched(wrapped(fs.ErrNotExist)) }},
		{`sidepop_index_watch_overflows_total 1`, (*Keeper).Overflowed},
		{`sidepop_index_repaired_total 1`, (*Keeper).Repaired},
		{`sidepop_index_removals_recovered_total 1`, func(k *Keeper) { k.Recovered(nil) }},
		{`sidepop_index_removals_unfinished_total 1`, func(k *Keeper) { k.Recovered(errors.New("away")) }},
		{`sidepop_index_store_set_aside_total 1`, func(k *Keeper) { k.Stored(store.Notice{Event: store.SetAside}) }},
		{`sidepop_index_store_set_aside_total 0`, func(k *Keeper) { k.Stored(store.Notice{Event: store.Compacted}) }},
		{`sidepop_config_last_reload_successful 0`, func(k *Keeper) { k.Reloaded(time.Unix(9, 0), errors.New("line 1")) }},
		{`sidepop_config_last_reload_success_timestamp_seconds 1000`, func(k *Keeper) { k.Reloaded(time.Unix(9, 0), errors.New("line 1")) }},
		{`sidepop_config_last_reload_success_timestamp_seconds 1009`, func(k *Keeper) { k.Reloaded(time.Unix(1009, 0), nil) }},
	} {
		k := full()
		tt.do(k)
		has(t, text(t, k, nil), tt.line)
	}
}

// TestSeries bounds what a scrape can come to, whatever names fronts come with.
func TestSeries(t *testing.T) {
	k := full()
	before := strings.Count(text(t, k, new(wire.Counts)), "\n")
	for i := range 1000 {
		k.LoginFailed(fmt.Sprint("X", i), pop3.ErrCredentials)
	}
	if after := strings.Count(text(t, k, new(wire.Counts)), "\n"); after != before || after > 300 {
		t.Errorf("%d lines, and %d before", after, before)
	}
}

// TestAllocations: a login costs nothing but the counting.
func TestAllocations(t *testing.T) {
	k := full()
	if n := testing.AllocsPerRun(100, func() {
		k.LoggedIn("PLAIN", time.Millisecond)
		k.LoginFailed("PLAIN", pop3.ErrCredentials)
		k.AskingPAM()()
	}); n > 1 { // the function that AskingPAM gives
		t.Errorf("%v allocations", n)
	}
}

func TestCertificates(t *testing.T) {
	leaf := func(end int64, names ...string) tls.Certificate {
		return tls.Certificate{Leaf: &x509.Certificate{DNSNames: names, NotAfter: time.Unix(end, 0), PublicKey: &ecdsa.PublicKey{}}}
	}
	bare := tls.Certificate{Leaf: &x509.Certificate{Subject: pkix.Name{CommonName: "old \"name\"\n\xff"}, NotAfter: time.Unix(3, 0)}}
	address := leaf(4)
	address.Leaf.IPAddresses = []net.IP{net.IPv6loopback}
	long := leaf(5, strings.Repeat("ü", 200))
	const metric = "sidepop_certificate_expiry_timestamp_seconds"
	k := full()
	k.SetCertificates([]tls.Certificate{leaf(7, "a", "b"), leaf(6, "a", "b"), leaf(8, "a", "b"), leaf(9, "a"), bare, address, long})
	got := text(t, k, nil)
	lint(t, []byte(got))
	has(t, got, metric+`{key="ECDSA",names="a,b"} 6`, metric+`{key="ECDSA",names="a"} 9`,
		metric+`{key="other",names="old \"name\"\n?"} 3`, metric+`{key="ECDSA",names="::1"} 4`,
		metric+`{key="ECDSA",names="`+strings.Repeat("ü", maxNames/2)+`"} 5`)
	if n := strings.Count(got, metric+"{"); n != 5 {
		t.Errorf("%d certificates", n)
	}
	k.SetCertificates(nil)
	if strings.Contains(text(t, k, nil), metric) {
		t.Error("a certificate that is not in use any more")
	}
}

// TestLongest: as many certificates as there can be, with names as long as they are
// told, fit into what the front is given.
func TestLongest(t *testing.T) {
	k := full()
	var all []tls.Certificate
	for i := range wire.MaxCertificates {
		name := fmt.Sprintf("%04d", i) + strings.Repeat(`"`, maxNames) // the worst: each is escaped
		all = append(all, tls.Certificate{Leaf: &x509.Certificate{DNSNames: []string{name}}})
	}
	k.SetCertificates(all)
	c := new(wire.Counts)
	for _, n := range []*uint64{&c.Octets, &c.LoggedIn, &c.Process.Memory} {
		*n = math.MaxUint64
	}
	if n := len(text(t, k, c)); n > wire.MaxFigures {
		t.Errorf("%d octets, more than %d", n, wire.MaxFigures)
	}
}

// documented is a row of the manual page's table.
type documented struct{ name, kind, help string }

// TestManPage holds the table of the manual page equal to what there is.
func TestManPage(t *testing.T) {
	page := readText(t, "../../../../contrib/man/sidepop-metrics.8")
	_, page, _ = strings.Cut(page, "\n.Ss Over HTTP\n")
	page, _, _ = strings.Cut(page, "\n.Sh ")
	var rows []documented
	items := regexp.MustCompile(`(?s)\n\.It Ic (\S+)\n\((.*?)\)\n(.*?)(?:\n\.El|$)`)
	for _, m := range items.FindAllStringSubmatch(strings.ReplaceAll(page, "\n.It", "\n.El\n.It"), -1) {
		rows = append(rows, documented{m[1], m[2], strings.Join(strings.Fields(m[3]), " ")})
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text(t, full(), new(wire.Counts))))
	if err != nil {
		t.Fatal(err)
	}
	var want []documented
	for name, f := range families {
		kind := strings.ToLower(f.GetType().String())
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if labels != nil {
			kind += " by " + strings.Join(labels, ", ")
		}
		want = append(want, documented{name, kind, f.GetHelp()})
	}
	slices.SortFunc(want, func(a, b documented) int { return strings.Compare(a.name, b.name) })
	if !slices.Equal(rows, want) {
		for i := range max(len(rows), len(want)) {
			if i >= len(rows) || i >= len(want) || rows[i] != want[i] {
				t.Errorf("from row %d on:\n page %q\n code %q", i, rows[min(i, len(rows)):], want[min(i, len(want)):])
				break
			}
		}
	}
	for _, w := range want {
		if !strings.HasSuffix(w.help, ".") {
			t.Errorf("%s: %q is no sentence", w.name, w.help)
		}
	}
}

// TestProcess: the figures of this process are those of a process that runs.
func TestProcess(t *testing.T) {
	before := Process()
	for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
		_ = Process()
	}
	after := Process()
	switch {
	case after.CPU <= before.CPU || after.CPU-before.CPU > uint64(time.Minute):
		t.Errorf("processor time %d, and %d before", after.CPU, before.CPU)
	case after.Started != before.Started || time.Since(time.UnixMilli(int64(after.Started))) > time.Hour:
		t.Errorf("started %d, and %d", after.Started, before.Started)
	case after.Memory < 1<<20 || after.Memory > 1<<32 || after.Goroutines < 1:
		t.Errorf("%+v", after)
	}
}
