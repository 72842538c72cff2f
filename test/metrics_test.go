package test

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// figures are metrics by name and labels, as the text has them.
type figures map[string]float64

// serveMetrics starts a server that can be scraped.
func (s *site) serveMetrics(tolerated ...string) (srv *server, address string) {
	s.t.Helper()
	address, _ = freePorts(s.t)
	return s.serveWith([]string{"[listen]\n", fmt.Sprintf("[listen]\nmetrics = [%q]\n", address)}, tolerated...), address
}

// scrape fetches the figures as Prometheus does.
func scrape(t testing.TB, address string) (figures, string) {
	t.Helper()
	client := http.Client{Timeout: answerTime}
	r, err := client.Get("http://" + address + "/metrics")
	must(t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	must(t, err)
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", r.Status, text)
	}
	return parseFigures(t, string(text)), string(text)
}

func parseFigures(t testing.TB, text string) figures {
	t.Helper()
	all := make(figures)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if ok {
			name += "}"
		} else if name, value, ok = strings.Cut(strings.TrimSpace(line), " "); !ok {
			t.Fatalf("no metric: %q", line)
		}
		n, err := strconv.ParseFloat(value, 64)
		must(t, err)
		if _, twice := all[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		all[name] = n
	}
	return all
}

// awaitMore waits until figures have grown by just this since before.
func awaitMore(t testing.TB, look func() figures, before, want figures) {
	t.Helper()
	var wrong []string
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		now := look()
		wrong = nil
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if _, there := now[name]; !there || now[name]-before[name] != want[name] {
				wrong = append(wrong, fmt.Sprintf("%s: %v more, want %v", name, now[name]-before[name], want[name]))
			}
		}
		if wrong == nil {
			return
		}
	}
	t.Errorf("figures:\n%s", strings.Join(wrong, "\n"))
}

// certificateNames is the label of the site's certificate.
const certificateNames = `names="localhost,127.0.0.1"`

// TestMetrics: what clients do is in the figures, neither more nor less, whoever is
// asked for these.
func TestMetrics(t *testing.T) {
	s := newSite(t)
	mails := sample()[:5]
	a := s.account("bob", mails)
	srv, address := s.serveMetrics()
	srv.awaitTLS()
	await(t, "the end of earlier connections", func() bool {
		f, _ := scrape(t, address)
		return f[`sidepop_connections{listener="pop3"}`]+f[`sidepop_connections{listener="pop3s"}`] == 0
	})
	await(t, "the mailbox in the index", func() bool { f, _ := scrape(t, address); return f["sidepop_index_entries"] == 5 })
	before, text := scrape(t, address)
	for _, secret := range []string{"bob", a.password, "Maildir", "127.0.0.1", s.dir} {
		if strings.Contains(strings.ReplaceAll(text, certificateNames, ""), secret) {
			t.Errorf("%q is in the figures", secret)
		}
	}

	reader := srv.login(a) // which stays
	plain := srv.loginTLS(a)
	plain.ok(t, "RETR 1")
	retrieved, err := plain.message()
	must(t, err)
	plain.ok(t, "TOP 2 0")
	_, err = plain.message()
	must(t, err)
	plain.ok(t, "DELE 1")
	plain.ok(t, "QUIT")
	sasl := srv.connectTLS()
	sasl.ok(t, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+a.name+"\x00"+a.password)))
	sasl.ok(t, "QUIT")
	wrong := srv.connect()
	for _, command := range []string{"USER " + a.name, "PASS wrong", "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00x\x00y"))} {
		_, err := wrong.try(command)
		must(t, err)
	}
	_ = wrong.Close()
	garbage, err := net.Dial("tcp", srv.pop3s)
	must(t, err)
	_, err = io.WriteString(garbage, "no handshake\r\n")
	must(t, err)
	_, _ = io.ReadAll(garbage)
	_ = garbage.Close()

	want := figures{
		`sidepop_connections{listener="pop3"}`: 1, `sidepop_connections{listener="pop3s"}`: 0,
		`sidepop_connections_accepted_total{listener="pop3"}`: 2, `sidepop_connections_accepted_total{listener="pop3s"}`: 3,
		`sidepop_connections_refused_total{listener="pop3"}`:    0,
		`sidepop_tls_handshakes_failed_total{listener="pop3s"}`: 1, `sidepop_tls_handshakes_failed_total{listener="pop3"}`: 0,
		`sidepop_sessions`: 1, `sidepop_logins_unanswered_total`: 0,
		`sidepop_logins_total{mechanism="USER",outcome="ok"}`: 2, `sidepop_logins_total{mechanism="USER",outcome="refused"}`: 1,
		`sidepop_logins_total{mechanism="PLAIN",outcome="ok"}`: 1, `sidepop_logins_total{mechanism="PLAIN",outcome="refused"}`: 1,
		`sidepop_logins_total{mechanism="other",outcome="ok"}`: 0, `sidepop_login_duration_seconds_count`: 3,
		`sidepop_messages_retrieved_total`: 1, `sidepop_messages_top_total`: 1, `sidepop_messages_removed_total`: 1,
		`sidepop_index_entries`: -1, `sidepop_login_attempts`: 0,
	}
	awaitMore(t, func() figures { f, _ := scrape(t, address); return f }, before, want)
	now, _ := scrape(t, address)
	if got := now["sidepop_sent_octets_total"] - before["sidepop_sent_octets_total"]; got < float64(len(retrieved)) {
		t.Errorf("%v octets sent, %d at least", got, len(retrieved))
	}
	atLeast := figures{
		`sidepop_process_cpu_seconds_total{role="front"}`: 0.001, `sidepop_process_cpu_seconds_total{role="keeper"}`: 0.001,
		`sidepop_certificate_expiry_timestamp_seconds{key="ECDSA",` + certificateNames + `}`: float64(time.Now().Unix()),
		`sidepop_index_mailboxes`: 1, `sidepop_index_mailboxes_active`: 1, `sidepop_index_entries`: 4,
		`sidepop_index_commits_total`: 1, `sidepop_index_store_bytes`: 4096,
		`sidepop_keeper_up`: 1, `sidepop_front_up`: 1,
	}
	for name, least := range atLeast {
		if now[name] < least {
			t.Errorf("%s is %v", name, now[name])
		}
	}
	awaitMore(t, srv.commandMetrics, before, want)
	reader.ok(t, "QUIT")
}

// commandMetrics asks with the command.
func (s *server) commandMetrics() figures {
	s.t.Helper()
	out, err := exec.Command(sidepop(s.t), "metrics", "--config", s.config).Output()
	must(s.t, err)
	return parseFigures(s.t, string(out))
}

// TestMetricsAlone: a keeper that hangs, or has gone, takes its own figures along
// and no others, and not for ever.
func TestMetricsAlone(t *testing.T) {
	s := newSite(t)
	s.account("bob", sample()[:1])
	srv, address := s.serveMetrics(msgEnded, msgUnreachable)
	client := srv.connect()
	keeper := srv.role(roleKeeper, 0)
	must(t, syscall.Kill(keeper, syscall.SIGSTOP))
	for _, most := range []time.Duration{answerTime, time.Second} { // the second need not wait
		begin := time.Now()
		f, text := scrape(t, address)
		if took := time.Since(begin); took > most {
			t.Errorf("a scrape took %v", took)
		}
		if up, there := f["sidepop_keeper_up"]; up != 0 || !there || f[`sidepop_connections{listener="pop3"}`] != 1 {
			t.Errorf("with a keeper that hangs:\n%s", text)
		}
		if strings.Contains(text, "sidepop_logins_total") {
			t.Error("figures of the keeper")
		}
	}
	must(t, syscall.Kill(keeper, syscall.SIGCONT))
	up := func() bool { f, _ := scrape(t, address); return f["sidepop_keeper_up"] == 1 }
	await(t, "the keeper's figures", up)
	srv.kill(roleKeeper)
	srv.role(roleKeeper, keeper)
	await(t, "the next keeper's figures", up)
	client.ok(t, "QUIT")
}

// TestMetricsOfDeafFront: without the front the command still has the keeper's.
func TestMetricsOfDeafFront(t *testing.T) {
	s := newSite(t)
	s.account("bob", sample()[:1])
	srv, _ := s.serveMetrics()
	front := srv.role(roleFront, 0)
	must(t, syscall.Kill(front, syscall.SIGSTOP))
	f := srv.commandMetrics()
	must(t, syscall.Kill(front, syscall.SIGCONT))
	if _, there := f["sidepop_sessions"]; f["sidepop_front_up"] != 0 || f["sidepop_keeper_up"] != 1 || there {
		t.Errorf("%v", f)
	}
	await(t, "the front's figures", func() bool { return srv.commandMetrics()["sidepop_front_up"] == 1 })
}

// TestHostileScrapers: whoever scrapes slowly, at length or in crowds gets in nobody's
// way but that of others who scrape.
func TestHostileScrapers(t *testing.T) {
	s := newSite(t)
	mails := sample()[:5]
	a := s.account("bob", mails)
	srv, address := s.serveMetrics()
	hold := func(n int, say string) {
		for range n {
			c, err := net.Dial("tcp", address)
			must(t, err)
			t.Cleanup(func() { _ = c.Close() })
			go func() { _, _ = io.WriteString(c, say) }()
		}
	}
	hold(100, "")
	hold(50, "GET /metrics HTTP/1.1\r\nX: ")
	hold(50, "GET /metrics HTTP/1.1\r\nX: "+strings.Repeat("x", 1<<20))
	for range 5 {
		if took := srv.fetchOne(a, mails[0]); took > patience {
			t.Errorf("a session took %v", took)
		}
	}
	front := srv.role(roleFront, 0)
	if n := len(descriptors(t, front)); n > 60 {
		t.Errorf("the front has %d descriptors", n)
	}
	if f := srv.commandMetrics(); f["sidepop_front_up"] != 1 {
		t.Errorf("%v", f)
	}
}
