package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// inChild runs the test that calls it once more, in a process of its own without
// capabilities, in which what is true of the whole process can be changed. It
// says whether this is that process.
func inChild(t *testing.T) bool {
	t.Helper()
	const variable = "WIRE_TEST_CHILD"
	if os.Getenv(variable) != "" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"=1")
	if os.Geteuid() == 0 { // a user that has nothing under way
		const nobodyElse = 61944
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyElse, Gid: nobodyElse}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v: %s", err, out)
	}
	return false
}

// allowFiles sets how many descriptors this process may have.
func allowFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	limit.Cur = n
	if err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)); err != nil {
		t.Fatal(err)
	}
}

// TestTooManyUnderWay: when the kernel passes no more descriptors for the
// keeper, that request fails, is told as the keeper's own fault, and the session
// goes on.
func TestTooManyUnderWay(t *testing.T) {
	if !inChild(t) {
		return
	}
	const allowed, packets, each = 200, 3, 100
	b := newFileBackend(t, minListing)
	b.version.Store(1)
	k := newKeeper(t, b)
	k.SetBackend(b)
	f := dialRaw(t, k)
	f.say(loginPacket("alice", "secret"))
	f.hear(verbLoggedIn)
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	descriptors := make([]int, each)
	for i := range descriptors {
		descriptors[i] = int(file.Fd())
	}
	hoard, _ := pair(t)
	for range packets {
		if err := hoard.send([]byte(errUntaken), unix.UnixRights(descriptors...)); err != nil {
			t.Fatal(err)
		}
	}
	allowFiles(t, allowed)
	for _, ask := range [][]byte{request(verbOpen, 0, 1), request(verbListing, 0)} {
		f.say(ask)
		if err := f.hear(verbFailed).error(); !errors.Is(err, pop3.ErrTemporary) {
			t.Errorf("%v", err)
		}
	}
	told := k.events.String()
	for _, want := range []string{`failed "alice" open: 1 desc`, `failed "alice" listing: 1 desc`, unix.ETOOMANYREFS.Error()} {
		if !strings.Contains(told, want) || strings.Contains(told, "broken") {
			t.Errorf("told: %s", told)
		}
	}
	allowFiles(t, 10*allowed)
	f.say(request(verbOpen, 0, 1))
	f.hear(verbOpened)
}

// TestUntakenAnswers: with an answer untaken there are no descriptors.
func TestUntakenAnswers(t *testing.T) {
	for _, first := range [][]byte{request(verbOpen, 0, 2), request(verbListing, 0), request(verbOctets, 0, 1)} {
		for _, second := range [][]byte{request(verbOpen, 0, 1), request(verbListing, 1)} {
			k := newKeeper(t, alice())
			k.SetBackend(versioned{alice()})
			f := dialRaw(t, k)
			f.logIn()
			for range 2 { // no harm in asking one after the other
				f.say(first)
				f.hear(verb(first[1]) - verbOctets + verbOctetsAre)
			}
			f.say(first)
			f.say(second)
			waitFor(t, "told", func() bool { return k.events.String() == fmt.Sprintf(`broken "alice": %v`, errUntaken) })
			f.hear(verb(first[1]) - verbOctets + verbOctetsAre)
			f.hearEnd()
		}
	}
}

// TestTakenAnswers: those who ask when they have the answer are not taken for
// such as don't, however fast they are.
func TestTakenAnswers(t *testing.T) {
	const sessions, rounds = 8, 300
	b := newFileBackend(t, minListing)
	b.version.Store(1)
	k := newKeeper(t, b)
	k.SetBackend(b)
	c := &Client{Path: k.path}
	var running sync.WaitGroup
	for range sessions {
		m := logIn(t, c).(*maildrop)
		running.Go(func() {
			defer m.Close()
			for i := range rounds {
				r, _, err := m.Open(background, i%minListing)
				if err != nil {
					t.Error(err)
					return
				}
				_ = r.Close()
				m.ahead.drop(c)
				var listing io.ReadCloser
				if listing, err = m.Listing(background, pop3.Listing(i%2)); err != nil || listing == nil {
					t.Errorf("%v, %v", listing, err)
					return
				}
				_ = listing.Close()
			}
		})
	}
	running.Wait()
	if told := k.events.String(); told != "" {
		t.Error(told)
	}
}
