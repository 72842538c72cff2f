package helper

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recorder keeps what a pool tells.
type recorder struct {
	mu    sync.Mutex
	lines []string
	said  []string // "died: ...", "unavailable: ...", "available"
}

func (r *recorder) add(to *[]string, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*to = append(*to, text)
}

func (r *recorder) Logged(_ int, line string) { r.add(&r.lines, line) }
func (r *recorder) Died(err error)            { r.add(&r.said, "died: "+err.Error()) }
func (r *recorder) Unavailable(err error)     { r.add(&r.said, "unavailable: "+err.Error()) }
func (r *recorder) Available()                { r.add(&r.said, "available") }

func (r *recorder) all() (lines, said []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines), slices.Clone(r.said)
}

// noPause makes a program with the race detector end without its usual second
// of rest.
const noPause = "GORACE=atexit_sleep_ms=0"

// open makes a pool whose program is one of programs.
func open(t testing.TB, program string, change func(*Options)) (*Pool, *recorder) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	events := &recorder{}
	o := Options{Command: []string{self}, Env: []string{programEnv + "=" + program, noPause}, Events: events}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, events
}

func login(user string) *Login {
	return &Login{Service: "sidepop", User: user, Password: Secret("right")}
}

// accepted logs in and gives the process that answered.
func accepted(t *testing.T, p *Pool, user string) (pid uint32) {
	t.Helper()
	a, err := p.Authenticate(t.Context(), login(user))
	if err != nil || a.Outcome != Accepted || a.Account.Name != user {
		t.Fatalf("%s: got %+v, error %v", user, a, err)
	}
	return a.Account.UID
}

// fails asks for a login that has to fail temporarily.
func fails(t *testing.T, p *Pool, user string) error {
	t.Helper()
	a, err := p.Authenticate(t.Context(), login(user))
	if !errors.Is(err, ErrTemporary) {
		t.Fatalf("%s: got %+v, error %v", user, a, err)
	}
	if strings.Contains(err.Error(), "right") {
		t.Errorf("the error has the password: %v", err)
	}
	return err
}

// underWay waits until so many requests are.
func underWay(t *testing.T, p *Pool, n int) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		entered := 0
		for h := range p.processes {
			entered += len(h.calls)
		}
		p.mu.Unlock()
		if entered == n {
			return
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%d requests are under way, not %d", entered, n)
		}
	}
}

func TestAnswers(t *testing.T) {
	p, events := open(t, "right", nil)
	pid := accepted(t, p, "joe")
	a, err := p.Authenticate(t.Context(), &Login{Service: "s", User: "joe", Password: Secret("wrong")})
	if err != nil || a.Outcome != Credentials || a.Account.Name != "" {
		t.Errorf("wrong password: got %+v, error %v", a, err)
	}
	a, err = p.Authenticate(t.Context(), &Login{Service: "s", User: "service", Password: Secret("x"),
		Remote: netip.MustParseAddr("192.0.2.1"), OpenSession: true})
	if err != nil || !slices.Equal(a.Messages, []string{"s", "192.0.2.1", "false true"}) {
		t.Errorf("request arrived as %+v, error %v", a, err)
	}
	a, err = p.Admit(t.Context(), &Login{Service: "s", User: "joe", Password: Secret("x"), Remote: netip.MustParseAddr("192.0.2.1"), SetCred: true})
	if err != nil || a.Outcome != Denied || !slices.Equal(a.Messages, []string{"s", "joe", "192.0.2.1", "0 false false"}) {
		t.Errorf("admission arrived as %+v, error %v", a, err)
	}
	if a, err = p.Lookup(t.Context(), "joe"); err != nil || a.Outcome != Found || a.Account.UID != pid {
		t.Errorf("lookup: got %+v, error %v", a, err)
	}
	if a, err = p.Lookup(t.Context(), "nobody there"); err != nil || a.Outcome != Unknown {
		t.Errorf("lookup of nobody: got %+v, error %v", a, err)
	}
	p.Close()
	if lines, said := events.all(); lines != nil || said != nil {
		t.Errorf("was told %q, %q", lines, said)
	}
}

// TestAmbientCaps: the program has the capabilities that it is given, and no
// others where the process that starts it gives none by uid 0.
func TestAmbientCaps(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("SIDEPOP_TEST_REQUIRE_ALL") == "1" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	for want, capabilities := range map[string][]uintptr{
		"CapAmb:\t0000000000000000": nil,
		"CapAmb:\t0000000000000009": {unix.CAP_CHOWN, unix.CAP_FOWNER},
	} {
		p, _ := open(t, "right", func(o *Options) { o.AmbientCaps = capabilities })
		a, err := p.Lookup(t.Context(), "capabilities")
		if err != nil || !slices.Contains(a.Messages, strings.ReplaceAll(want, "\t", "?")) {
			t.Errorf("given %d: got %q, error %v", capabilities, a.Messages, err)
		}
	}
}

// TestInheritance: what the program has from this process.
func TestInheritance(t *testing.T) {
	t.Setenv("SIDEPOP_TEST_OTHER", "x")
	opened, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	p, _ := open(t, "right", nil)
	a, err := p.Lookup(t.Context(), "environment")
	want := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", programEnv + "=right", noPause}
	if err != nil || !slices.Equal(a.Messages, want) {
		t.Errorf("environment %q, error %v", a.Messages, err)
	}
	a, err = p.Lookup(t.Context(), "descriptors")
	if err != nil || len(a.Messages) != 4 || a.Messages[0] != "0 /dev/null" {
		t.Errorf("descriptors %q, error %v", a.Messages, err)
	}
	for _, d := range a.Messages[min(3, len(a.Messages)):] {
		if !strings.Contains(d, "socket:") { // at another number: Inherited has moved it
			t.Errorf("descriptor %q", d)
		}
	}
	if a, err = p.Lookup(t.Context(), "folder"); err != nil || a.Account.Home != "/" {
		t.Errorf("working directory %q, error %v", a.Account.Home, err)
	}
	if a, err = p.Lookup(t.Context(), "session"); err != nil || a.Account.GID != a.Account.UID {
		t.Errorf("process %d is in session %d, error %v", a.Account.UID, a.Account.GID, err)
	}
}

func TestUnacceptable(t *testing.T) {
	p, _ := open(t, "dies at start", nil)
	for name, l := range map[string]Login{
		"no user":       {Service: "s", Password: Secret("secret")},
		"no password":   {Service: "s", User: "joe"},
		"NUL":           {Service: "s", User: "joe", Password: Secret("secret\x00x")},
		"NUL in name":   {Service: "s", User: "joe\x00secret", Password: Secret("x")},
		"long password": {Service: "s", User: "joe", Password: Secret(strings.Repeat("secret", 100))},
		"long name":     {Service: "s", User: strings.Repeat("secret", 100), Password: Secret("x")},
		"path":          {Service: "../secret", User: "joe", Password: Secret("x")},
	} {
		_, err := p.Authenticate(t.Context(), &l)
		if !errors.Is(err, ErrRequest) || errors.Is(err, ErrTemporary) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	if _, err := p.Admit(t.Context(), &Login{Service: "../secret", User: "joe"}); !errors.Is(err, ErrRequest) {
		t.Errorf("admission to a path: got error %v", err)
	}
	if _, err := p.Lookup(t.Context(), ""); !errors.Is(err, ErrRequest) {
		t.Errorf("lookup of nobody: got error %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"no command":    {Events: &recorder{}},
		"relative":      {Command: []string{"sidepop-pam"}, Events: &recorder{}},
		"no events":     {Command: []string{"/bin/true"}},
		"many requests": {Command: []string{"/bin/true"}, Events: &recorder{}, MaxInFlight: 513},
		"negative":      {Command: []string{"/bin/true"}, Events: &recorder{}, RequestTimeout: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
