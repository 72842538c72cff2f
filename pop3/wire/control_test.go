package wire

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sidepop/pop3"
)

// TestCertificatesWhileRunning: what is pushed holds from then on, also for
// fronts that come later, and across a restart of the keeper.
func TestCertificatesWhileRunning(t *testing.T) {
	b := alice()
	k := newKeeper(t, b)
	f := newFront(t, k)
	const name = "mail.example.org"
	first, second := issue(t, name, keys()["P-256"]), issue(t, name, keys()["RSA"])
	push := func(settings string, c tls.Certificate) {
		t.Helper()
		if err := k.Push(State{Settings: []byte(settings), Certificates: []tls.Certificate{c}}); err != nil {
			t.Fatal(err)
		}
	}
	push("1", first)
	if got := within(t, "settings", f.settings); got != "1" {
		t.Errorf("settings %q", got)
	}
	if err := within(t, "keeper", f.keeper); err != nil {
		t.Errorf("keeper: %v", err)
	}
	if err := handshake(t, f, name, first, tls.VersionTLS13); err != nil {
		t.Error(err)
	}
	// A handshake that has begun ends, though its certificate was replaced.
	begun, err := f.Certificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	push("2", second)
	within(t, "settings", f.settings)
	if err := handshake(t, f, name, second, tls.VersionTLS13); err != nil {
		t.Error(err)
	}
	if _, err := begun.PrivateKey.(crypto.Signer).Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
		t.Errorf("the key before: %v", err)
	}

	k.stop()
	if err := within(t, "keeper gone", f.keeper); !errors.Is(err, pop3.ErrTemporary) {
		t.Errorf("keeper: %v", err)
	}
	if err := handshake(t, f, name, second, tls.VersionTLS13); err == nil || !strings.Contains(err.Error(), "keeper") {
		t.Errorf("without a keeper: %v", err)
	}
	k.Server = &Server{}
	k.serve(b)
	push("3", second)
	if got := within(t, "settings", f.settings); got != "3" {
		t.Errorf("settings %q", got)
	}
	if err := within(t, "keeper back", f.keeper); err != nil {
		t.Errorf("keeper: %v", err)
	}
	if err := handshake(t, f, name, second, tls.VersionTLS13); err != nil {
		t.Error(err)
	}
	later := newFront(t, k)
	within(t, "settings", later.settings)
	if err := handshake(t, later, name, second, tls.VersionTLS12); err != nil {
		t.Error(err)
	}
}

// TestPushLimits: what is too large is refused, and what was in force stays.
func TestPushLimits(t *testing.T) {
	k := newKeeper(t, alice())
	f := newFront(t, k)
	c := issue(t, "x", keys()["P-256"])
	long := c
	for range maxChain {
		long.Certificate = append(long.Certificate, c.Certificate[0])
	}
	large := c
	large.Certificate = append([][]byte{c.Certificate[0]}, make([]byte, MaxPacket))
	for _, s := range []State{
		{Settings: make([]byte, MaxSettings+1)},
		{Certificates: make([]tls.Certificate, MaxCertificates+1)},
		{Certificates: []tls.Certificate{{}}},
		{Certificates: []tls.Certificate{{Certificate: c.Certificate}}},
		{Certificates: []tls.Certificate{{Certificate: [][]byte{{1}}, PrivateKey: c.PrivateKey}}},
		{Certificates: []tls.Certificate{long}},
		{Certificates: []tls.Certificate{large}},
		{Plain: pop3.Offer{SASL: make([]string, maxOffered+1)}},
		{Secure: pop3.Offer{SASL: []string{strings.Repeat("X", maxMechanism+1)}}},
	} {
		if err := k.Push(s); err == nil {
			t.Errorf("pushed: %.100v", s)
		}
	}
	most := State{
		Settings: []byte(strings.Repeat("s", MaxSettings)),
		Plain:    pop3.Offer{APOP: true},
		Secure:   pop3.Offer{Password: true, UTF8User: true, SASL: []string{"PLAIN", "LOGIN"}, LoginDelay: time.Minute},
	}
	for range 50 {
		most.Certificates = append(most.Certificates, c)
	}
	if err := k.Push(most); err != nil {
		t.Fatal(err)
	}
	if got := within(t, "settings", f.settings); got != string(most.Settings) {
		t.Errorf("settings of %d octets", len(got))
	}
	if got := fmt.Sprint(f.Offer(pop3.Peer{}), f.Offer(pop3.Peer{Secure: true})); got != fmt.Sprint(most.Plain, most.Secure) {
		t.Errorf("offers: %s", got)
	}
}

// counted is Counts with some number in them.
func counted(n uint64) (c Counts) {
	c.Listeners[1].Open = n
	return c
}

// TestCounts: the front that came last is asked.
func TestCounts(t *testing.T) {
	k := newKeeper(t, alice())
	if _, err := k.Counts(background); !errors.Is(err, ErrNoFront) {
		t.Errorf("without a front: %v", err)
	}
	first := &Client{Path: k.path, Counts: func() Counts { return counted(1) }}
	stop := run(first)
	defer stop()
	counts := func() (c Counts) {
		ctx, cancel := context.WithTimeout(background, patience)
		defer cancel()
		c, _ = k.Counts(ctx)
		return c
	}
	waitFor(t, "the first", func() bool { return counts() == counted(1) })
	var want Counts
	for i, n := range want.fields() {
		*n = uint64(i) + 2
	}
	want.LoggedIn = 1<<64 - 1
	second := &Client{Path: k.path, Counts: func() Counts { return want }}
	stopSecond := run(second)
	waitFor(t, "the second", func() bool { return counts() == want })
	stopSecond()
	waitFor(t, "the first again", func() bool { return counts() == counted(1) })

	silent := dialRaw(t, k)
	silent.say(request(verbControl))
	soon := func() error {
		ctx, cancel := context.WithTimeout(background, 10*time.Millisecond)
		defer cancel()
		_, err := k.Counts(ctx)
		return err
	}
	var heard atomic.Bool
	var asking sync.WaitGroup
	asking.Go(func() { // the first, until the keeper knows of the silent one
		for !heard.Load() {
			_ = soon()
		}
	})
	stopAsking := func() { heard.Store(true); asking.Wait() }
	defer stopAsking()
	silent.hear(verbAskCounts)
	stopAsking()
	if err := soon(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent front: %v", err)
	}
	// An answer that comes late is no mistake.
	silent.say(appendCounts(request(verbCounts, 1), counted(1)))
	_ = silent.Close()
	waitFor(t, "the first once more", func() bool { return counts() == counted(1) })
}

// TestCountsOfDeafFront: the question returns in time although nothing more can be
// sent.
func TestCountsOfDeafFront(t *testing.T) {
	k := newKeeper(t, alice())
	state := State{Certificates: slices.Repeat([]tls.Certificate{issue(t, "x", keys()["RSA"])}, MaxCertificates)}
	if err := k.Push(state); err != nil {
		t.Fatal(err)
	}
	deaf := dialRaw(t, k)
	deaf.say(request(verbControl))
	deaf.hear(verbState) // and not what follows
	for range 3 {
		ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
		begun := time.Now()
		if _, err := k.Counts(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > sendWait/2 {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		cancel()
	}
}

// run keeps the control connection of c until stop is called.
func run(c *Client) (stop func()) {
	ctx, cancel := context.WithCancel(background)
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

// TestHostileControl: a keeper that talks nonsense on the control connection
// changes nothing that was in force.
func TestHostileControl(t *testing.T) {
	offer := func(p []byte) []byte { p, _ = appendOffer(p, pop3.Offer{Password: true}); return p }
	right := appendUint(offer(offer(appendBytes(request(verbState), "right"))), 0)
	for name, bad := range map[string][][]byte{
		"end":                nil,
		"state with more":    {append(right[:len(right):len(right)], 0)},
		"certificate alone":  {appendBytes(request(verbIdentity), "x")},
		"no certificate":     {append(right[:len(right)-1:len(right)-1], 1), request(verbIdentity)},
		"garbage":            {append(right[:len(right)-1:len(right)-1], 1), appendBytes(request(verbIdentity), "x")},
		"too many":           {appendUint(right[:len(right)-1:len(right)-1], MaxCertificates+1)},
		"state in a state":   {append(right[:len(right)-1:len(right)-1], 1), right},
		"signature":          {appendBytes(request(verbSigned, 1), "x")},
		"session's answer":   {rightLogin},
		"counts with more":   {request(verbAskCounts, 1, 1)},
		"figures unasked":    {appendBytes(request(verbFiguresAre, 0, 0), "x")},
		"other version":      {{version + 1, byte(verbState)}},
		"settings too long":  {appendBytes(request(verbState), make([]byte, MaxSettings+1))},
		"mechanism too long": {appendUint(appendBytes(append(appendBytes(request(verbState), ""), 0, 0, 0, 0, 1), strings.Repeat("X", maxMechanism+1)), 0)},
	} {
		t.Run(name, func(t *testing.T) {
			connections := 0
			k := newRawKeeper(t, func(c *conn) {
				connections++
				if in, err := c.receive(false); err == nil {
					in.free()
				}
				_ = c.send(right, nil)
				if connections == 1 {
					for _, p := range bad {
						_ = c.send(p, nil)
					}
					return
				}
				_, _ = c.receive(false) // until the front goes
			})
			keeper := make(chan error, 100)
			settings := make(chan string, 100)
			c := &Client{Path: k.path, Keeper: func(err error) { keeper <- err }, Pushed: func(s []byte) { settings <- string(s) }}
			stop := run(c)
			defer stop()
			for i, want := range []bool{true, false, true} {
				if err := within(t, "keeper", keeper); (err == nil) != want {
					t.Errorf("%d: %v", i, err)
				}
			}
			for range 2 {
				if got := within(t, "settings", settings); got != "right" {
					t.Errorf("settings %q", got)
				}
			}
			if c.HasCertificates() {
				t.Error("certificates")
			}
		})
	}
}
