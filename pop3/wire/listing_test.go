package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
	"sidepop/pop3/memory"
)

// versioned is a backend whose maildrops have a version: that of their number
// of messages, which in these tests tells them apart.
type versioned struct{ pop3.Backend }

type versionedDrop struct{ pop3.Maildrop }

func (b versioned) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	m, err := b.Backend.Password(ctx, p, user, password)
	if err != nil {
		return nil, err
	}
	return versionedDrop{m}, nil
}

func (d versionedDrop) Version() uint64 {
	n, _ := d.Stat()
	return uint64(n)
}

// sessionWith is what a client of a server with this backend hears.
func sessionWith(t *testing.T, b pop3.Backend, commands ...string) string {
	t.Helper()
	s := &pop3.Server{Backend: b, Settings: pop3.Settings{AllowPlaintext: true}}
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); s.ServeConn(theirs, false) }()
	defer func() { _ = ours.Close(); <-done }()
	_ = ours.SetDeadline(time.Now().Add(patience))
	go func() {
		_, _ = io.WriteString(ours, strings.Join(append([]string{"USER alice", "PASS secret"}, commands...), "\r\n")+"\r\n")
	}()
	all, err := io.ReadAll(ours)
	if err != nil {
		t.Fatalf("after %d octets: %v", len(all), err)
	}
	return string(all)
}

// TestListingsOverWire: clients hear the same as without the wire, wherever
// listings come from.
func TestListingsOverWire(t *testing.T) {
	script := [][]string{
		{"LIST", "UIDL", "UIDL 2", "LIST 1", "QUIT"},
		{"UIDL", "DELE 3", "LIST", "UIDL", "RSET", "UIDL", "LIST", "QUIT"},
		{"DELE 1", "DELE 7", "UIDL", "QUIT"},
		{"LIST", "UIDL", "STAT", "QUIT"},
	}
	for _, messages := range []int{minListing - 1, minListing + 2, 12_345} {
		direct, behind := memory.New(), memory.New()
		for _, b := range []*memory.Backend{direct, behind} {
			b.Add("alice", "secret", make([]string, messages)...)
		}
		k := newKeeper(t, behind)
		k.SetBackend(versioned{behind})
		k.offers(behind)
		f := newFront(t, k)
		within(t, "offers", f.settings)
		for i, commands := range script {
			want := sessionWith(t, direct, commands...)
			if got := sessionWith(t, f, commands...); got != want {
				t.Errorf("%d messages, session %d: %.300q, not %.300q", messages, i, got, want)
			}
		}
		kept := 4 // of two versions
		if messages < minListing {
			kept = 0
		}
		k.listings.mu.Lock()
		n := len(k.listings.byKey)
		k.listings.mu.Unlock()
		if n != kept {
			t.Errorf("%d messages: %d listings are kept, not %d", messages, n, kept)
		}
		k.stop()
		if n := listingFiles(); n != 0 {
			t.Errorf("%d were left open", n)
		}
	}
}

// listingFiles is how many listings this process has open.
func listingFiles() int { return strings.Count(openFiles(), "memfd:listing") }

// counting is a maildrop of so many messages that counts how often it is asked
// for UIDLs.
func counting(messages int, asked *noted[int]) *scriptedDrop {
	return &scriptedDrop{
		messages: messages,
		uidls: func(first, n int) iter.Seq2[string, error] {
			asked.mu.Lock()
			asked.v++
			asked.mu.Unlock()
			return count(first, n, func(i int) string { return fmt.Sprint("u", i) })
		},
		octets: func(first, n int) iter.Seq2[int64, error] {
			return count(first, n, func(i int) int64 { return int64(i) })
		},
	}
}

// withVersion gives a maildrop a version.
type withVersion struct {
	pop3.Maildrop
	version uint64
}

func (d withVersion) Version() uint64 { return d.version }

// named gives a maildrop another user.
type named struct {
	pop3.Maildrop
	user string
}

func (d named) User() string { return d.user }

// TestKeptListings: which sessions share a listing.
func TestKeptListings(t *testing.T) {
	const messages = 1000
	var want strings.Builder
	for i := range messages {
		fmt.Fprintf(&want, "%d u%d\r\n", i+1, i)
	}
	for _, test := range []struct {
		name  string
		drops func(m pop3.Maildrop) []pop3.Maildrop
		asked int
		whole bool
	}{
		{"same", func(m pop3.Maildrop) []pop3.Maildrop { return []pop3.Maildrop{withVersion{m, 7}, withVersion{m, 7}} }, 1, true},
		{"changed", func(m pop3.Maildrop) []pop3.Maildrop { return []pop3.Maildrop{withVersion{m, 7}, withVersion{m, 8}} }, 2, true},
		{"other user", func(m pop3.Maildrop) []pop3.Maildrop {
			return []pop3.Maildrop{withVersion{m, 7}, withVersion{named{m, "bob"}, 7}}
		}, 2, true},
		{"unknown", func(m pop3.Maildrop) []pop3.Maildrop { return []pop3.Maildrop{withVersion{m, 0}, withVersion{m, 0}} }, 0, false},
		{"without", func(m pop3.Maildrop) []pop3.Maildrop { return []pop3.Maildrop{m, m} }, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked noted[int]
			k := newKeeper(t, alice())
			for range 2 {
				for _, drop := range test.drops(counting(messages, &asked)) {
					k.SetBackend(dropFor(drop))
					m := logIn(t, &Client{Path: k.path})
					for range 2 {
						r, err := m.(pop3.Lister).Listing(background, pop3.ListUIDLs)
						if err != nil || (r != nil) != test.whole {
							t.Fatalf("%v, %v", r, err)
						}
						if r == nil {
							continue
						}
						if got, err := io.ReadAll(r); string(got) != want.String() || err != nil {
							t.Errorf("%d octets, %v", len(got), err)
						}
						_ = r.Close()
					}
					_ = m.Close()
				}
			}
			if n := asked.get(); n != test.asked {
				t.Errorf("asked %d times, not %d", n, test.asked)
			}
		})
	}
}

// TestSameListingAtOnce: sessions that want the same one wait for it.
func TestSameListingAtOnce(t *testing.T) {
	var asked noted[int]
	k := newKeeper(t, alice())
	k.SetBackend(dropFor(withVersion{counting(50_000, &asked), 1}))
	c := &Client{Path: k.path}
	var sessions sync.WaitGroup
	for range 8 {
		m := logIn(t, c)
		sessions.Go(func() {
			defer m.Close()
			r, err := m.(pop3.Lister).Listing(background, pop3.ListUIDLs)
			if err != nil || r == nil {
				t.Errorf("%v, %v", r, err)
				return
			}
			_ = r.Close()
		})
	}
	sessions.Wait()
	if n := asked.get(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestListingErrors: they are answered, told, and not kept; what lists out of
// bounds is one. A panic ends its session alone.
func TestListingErrors(t *testing.T) {
	uidls := func(value func(i int) (string, error)) func(int, int) iter.Seq2[string, error] {
		return func(first, n int) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for i := first; i < first+n && yield(value(i)); i++ {
				}
			}
		}
	}
	for name, test := range map[string]struct {
		uidls func(int, int) iter.Seq2[string, error]
		told  string
	}{
		"error":    {uidls(func(i int) (string, error) { return "u", map[bool]error{i == 900: errors.New("the reason")}[true] }), "the reason"},
		"empty":    {uidls(func(i int) (string, error) { return strings.Repeat("u", 900-i), nil }), "UIDL of"},
		"too long": {uidls(func(i int) (string, error) { return strings.Repeat("u", i+1), nil }), "UIDL of 256"},
		"short":    {func(int, int) iter.Seq2[string, error] { return count(0, 10, func(int) string { return "u" }) }, "too few"},
		"panic":    {uidls(func(i int) (string, error) { panic("a defect") }), "panic"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(t, alice())
			k.SetBackend(dropFor(withVersion{&scriptedDrop{messages: 1000, uidls: test.uidls}, 1}))
			for range 2 {
				m := logIn(t, &Client{Path: k.path})
				if r, err := m.(pop3.Lister).Listing(background, pop3.ListUIDLs); r != nil || !errors.Is(err, pop3.ErrTemporary) {
					t.Errorf("%v, %v", r, err)
				}
				_ = m.Close()
			}
			waitFor(t, "told", func() bool { return strings.Count(k.events.String(), test.told) == 2 })
			k.listings.mu.Lock()
			defer k.listings.mu.Unlock()
			if k.listings.octets != 0 || listingFiles() != 0 {
				t.Errorf("kept: %d octets, %d files", k.listings.octets, listingFiles())
			}
		})
	}
}

// TestListingsAlong: a login brings the listings that are at hand, and what nobody
// asks for is closed.
func TestListingsAlong(t *testing.T) {
	var asked noted[int]
	k := newKeeper(t, alice())
	use := func(messages int, version uint64) {
		k.SetBackend(dropFor(withVersion{counting(messages, &asked), version}))
	}
	use(1000, 1)
	c := &Client{Path: k.path, Ahead: 3}
	along := func(m pop3.Maildrop) (list string) {
		for _, what := range []pop3.Listing{pop3.ListOctets, pop3.ListUIDLs} {
			if m.(*maildrop).ready[what] != nil {
				list += fmt.Sprint(what)
			}
		}
		return list
	}
	read := func(m pop3.Maildrop, what pop3.Listing) string {
		t.Helper()
		r, err := m.(pop3.Lister).Listing(background, what)
		if err != nil || r == nil {
			t.Fatal(r, err)
		}
		defer r.Close()
		all, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(all)
	}
	var first [2]string
	for i, want := range []string{"", "1", "01"} { // as they come to be asked for
		m := logIn(t, c)
		if got := along(m); got != want {
			t.Errorf("login %d brings %q, not %q", i, got, want)
		}
		switch i {
		case 0:
			first[1] = read(m, pop3.ListUIDLs)
		case 1:
			first[0] = read(m, pop3.ListOctets)
		}
		_ = m.Close()
	}
	m, other, third := logIn(t, c), logIn(t, c), logIn(t, c)
	if got := along(m) + " " + along(other) + " " + along(third); got != "01 0 " {
		t.Errorf("with room for three: %q", got)
	}
	for what, want := range first {
		for _, m := range []pop3.Maildrop{m, m, other, third} { // twice too, and where it is not along any more
			if got := read(m, pop3.Listing(what)); got != want {
				t.Errorf("listing %d: %.50q, not %.50q", what, got, want)
			}
		}
	}
	for _, m := range []pop3.Maildrop{m, other, third} {
		_ = m.Close()
	}
	use(1000, 2)
	changed := logIn(t, c)
	use(minListing-1, 1)
	small := logIn(t, c)
	if got := along(changed) + along(small); got != "" {
		t.Errorf("another version, or few messages: %q", got)
	}
	_, _ = changed.Close(), small.Close()
	if n := c.ahead.Load(); n != 0 {
		t.Errorf("%d are still counted", n)
	}
	if n := asked.get(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestSealed: a front that has a listing can't change what others get.
func TestSealed(t *testing.T) {
	var asked noted[int]
	k := newKeeper(t, alice())
	k.SetBackend(dropFor(withVersion{counting(1000, &asked), 1}))
	c := &Client{Path: k.path}
	m := logIn(t, c)
	defer m.Close()
	r, err := m.(pop3.Lister).Listing(background, pop3.ListUIDLs)
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	fd := r.(*message).fd
	before := make([]byte, r.(*message).size)
	if _, err := unix.Pread(fd, before, 0); err != nil {
		t.Fatal(err)
	}
	_, writeErr := unix.Pwrite(fd, []byte("x"), 0)
	_, appendErr := unix.Pwrite(fd, []byte("x"), int64(len(before)))
	_, mapErr := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	_, sealErr := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE)
	for what, err := range map[string]error{
		"write":      writeErr,
		"append":     appendErr,
		"map":        mapErr,
		"cut":        unix.Ftruncate(fd, 0),
		"lengthen":   unix.Ftruncate(fd, 1<<20),
		"punch hole": unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096),
		"seal":       sealErr,
	} {
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if data, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		t.Errorf("map for reading: %v", err)
	} else {
		if err := unix.Mprotect(data, unix.PROT_READ|unix.PROT_WRITE); err == nil {
			t.Error("it can be written once it is mapped")
		}
		_ = unix.Munmap(data)
	}
	_, _ = unix.Seek(fd, 5, io.SeekStart) // it is everybody's position, which nobody uses
	other := logIn(t, c)
	defer other.Close()
	again, err := other.(pop3.Lister).Listing(background, pop3.ListUIDLs)
	if err != nil || again == nil {
		t.Fatal(again, err)
	}
	if got, err := io.ReadAll(again); !bytes.Equal(got, before) || err != nil || asked.get() != 1 {
		t.Errorf("another session gets %.50q, %v", got, err)
	}
	_, _ = r.Close(), again.Close()
}
