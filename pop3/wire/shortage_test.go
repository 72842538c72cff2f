package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// childVariable says to a test that it runs in a process of its own, in which what
// holds for the whole process can be changed.
const childVariable = "WIRE_TEST_CHILD"

// runChild runs the test that calls it once more, in such a process.
func runChild(t *testing.T, value string, attributes *syscall.SysProcAttr) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childVariable+"="+value)
	cmd.SysProcAttr = attributes
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v: %s", err, out)
	}
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
	if os.Getenv(childVariable) == "" {
		var attributes *syscall.SysProcAttr
		if os.Geteuid() == 0 { // without capabilities, and a user that has nothing under way
			const nobodyElse = 61944
			attributes = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyElse, Gid: nobodyElse}}
		}
		runChild(t, "keeper", attributes)
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
	f.say(request(verbListing, 1))
	f.hear(verbListingIs)
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
	another := dialRaw(t, k)
	another.say(loginPacket("alice", "secret"))
	d := another.hear(verbLoggedIn)
	_, messages, _, sizes := d.string(maxName), d.int(maxMessages), d.uint(maxOctets), []uint64{d.uint(maxOctets), d.uint(maxOctets)}
	if d.end() != nil || messages != minListing || !slices.Equal(sizes, []uint64{0, 0}) {
		t.Errorf("a login: %d messages, listings %v, %v", messages, sizes, d.end())
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
		for _, second := range [][]byte{request(verbOpen, 0, 1), request(verbListing, 1), request(verbLeave)} {
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

// allowMore lets this process open n descriptors more than it has open.
func allowMore(t *testing.T, n int) {
	t.Helper()
	fd := 0
	for free := 0; ; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			if free == n {
				break
			}
			free++
		}
	}
	allowFiles(t, uint64(fd))
}

// TestFrontWithoutRoom: a front that may have few more descriptors gets messages
// one at a time, and listings as values. If there is no room for one, that
// request fails, and says why. The session goes on.
func TestFrontWithoutRoom(t *testing.T) {
	if path := os.Getenv(childVariable); path != "" {
		frontWithoutRoom(t, path)
		return
	}
	f := &files{fileDrop: &fileDrop{newFileBackend(t, minListing)}}
	f.b.version.Store(1)
	k := newKeeper(t, alice())
	k.SetBackend(dropFor(f))
	runChild(t, k.path, nil)
	if got, want := f.asked.get(), "0+1 1+4 1+1 2+1 3+4 3+1 4+1 4+1 4+1 5+4"; got != want {
		t.Errorf("asked for %s, not %s", got, want)
	}
	if told := k.events.String(); told != "" {
		t.Error(told)
	}
}

func frontWithoutRoom(t *testing.T, path string) {
	const plenty = 100
	c := &Client{Path: path}
	m := logIn(t, c).(*maildrop)
	open := func(first, last int) (err error) {
		for i := first; i <= last && err == nil; i++ {
			var r io.ReadCloser
			if r, _, err = m.Open(background, i); err == nil {
				_ = r.Close()
			}
		}
		return err
	}
	listing := func() (whole bool) {
		r, err := m.Listing(background, pop3.ListUIDLs)
		if err != nil {
			t.Fatal(err)
		}
		if r != nil {
			_ = r.Close()
		}
		return r != nil
	}
	before := openFiles()
	if err := open(0, 0); err != nil {
		t.Error(err)
	}
	allowMore(t, 3)
	if err := open(1, 3); err != nil {
		t.Errorf("with room for three: %v", err)
	}
	allowMore(t, 0)
	for range 2 {
		if err := open(4, 4); !errors.Is(err, pop3.ErrTemporary) || Told(err) || !strings.Contains(err.Error(), "RLIMIT_NOFILE") {
			t.Errorf("without room: %v", err)
		}
	}
	if listing() {
		t.Error("a whole listing without room")
	}
	allowMore(t, plenty)
	if after := openFiles(); after != before {
		t.Errorf("open before:\n%s\nand after:\n%s", before, after)
	}
	if err := open(4, 5); err != nil || !listing() {
		t.Errorf("with room again: %v", err)
	}
	if failed, err := m.Commit(background, []int{0}, nil); failed != 0 || err != nil {
		t.Errorf("%d failed, %v", failed, err)
	}
	if n := c.ahead.Load(); n != 0 {
		t.Errorf("%d are said to wait", n)
	}
	_ = m.Close()
	c.idle.clear()
}
