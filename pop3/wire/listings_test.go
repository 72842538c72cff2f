package wire

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"sidepop/pop3"
)

// ofSize writes so many octets, in pieces.
func ofSize(size int) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.CopyBuffer(w, io.LimitReader(zeros{}, int64(size)), make([]byte, 1000))
		return err
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func keyOf(version int) listingKey { return listingKey{"alice", uint64(version), pop3.ListUIDLs} }

// newListings keeps 4,000 octets, of which one listing may have 1,000.
func newListings(t *testing.T) *listings {
	l := &listings{}
	l.setUp(4000)
	t.Cleanup(func() {
		l.close()
		if l.octets != 0 || l.held != 0 || len(l.byKey) != 0 || l.order.Len() != 0 {
			t.Errorf("after the end: %d octets, %d held, %d listings, %d in order", l.octets, l.held, len(l.byKey), l.order.Len())
		}
		if n := listingFiles(); n != 0 {
			t.Errorf("%d were left open", n)
		}
	})
	return l
}

// hold is hold of a listing of some size, with whether it was written now.
func hold(t *testing.T, l *listings, version, size int) (e *listing, written bool) {
	t.Helper()
	e, err := l.hold(background, keyOf(version), func(w io.Writer) error {
		written = true
		return ofSize(size)(w)
	})
	if err != nil {
		t.Fatal(err)
	}
	return e, written
}

func (l *listings) versions() (list []int) {
	for at := l.order.Front(); at != nil; at = at.Next() {
		if e := at.Value.(*listing); e.fd >= 0 {
			list = append(list, int(e.key.version))
		}
	}
	return list
}

// TestEviction: what was not used for the longest time goes, and nothing that is
// held; never is there more than the limit.
func TestEviction(t *testing.T) {
	l := newListings(t)
	var held []*listing
	for _, step := range []struct {
		do      string // hold: until the end; use: hold and release
		version int
		size    int
		written bool
		none    bool
		kept    string
	}{
		{"use", 1, 1000, true, false, "[1]"},
		{"use", 2, 1000, true, false, "[2 1]"},
		{"hold", 3, 1000, true, false, "[3 2 1]"},
		{"use", 4, 1000, true, false, "[4 3 2 1]"},
		{"use", 1, 1000, false, false, "[1 4 3 2]"},
		{"use", 5, 1000, true, false, "[5 1 4 3]"},
		{"use", 6, 1, true, false, "[6 5 1 3]"},
		{"use", 7, 1000, true, false, "[7 6 5 3]"},
		{"use", 8, 1001, true, true, "[7 6 5 3]"},  // too large
		{"use", 8, 1001, false, true, "[7 6 5 3]"}, // as is known now
		{"hold", 9, 1000, true, false, "[9 7 6 3]"},
		{"hold", 7, 1000, false, false, "[7 9 6 3]"},
		{"hold", 10, 1000, true, false, "[10 7 9 3]"},
		{"use", 11, 1, true, true, "[10 7 9 3]"}, // all is held
		{"use", 11, 1, false, true, "[10 7 9 3]"},
		{"hold", 3, 1000, false, false, "[3 10 7 9]"},
		{"release", 3, 0, false, false, "[3 10 7 9]"}, // but is held twice
		{"use", 11, 1, false, true, "[3 10 7 9]"},
		{"release", 3, 0, false, false, "[3 10 7 9]"},
		{"use", 11, 1, true, false, "[11 10 7 9]"},
	} {
		if step.do == "release" {
			i := slices.IndexFunc(held, func(e *listing) bool { return e.key == keyOf(step.version) })
			l.release(held[i])
			held = slices.Delete(held, i, i+1)
		} else {
			e, written := hold(t, l, step.version, step.size)
			if written != step.written || (e == nil) != step.none {
				t.Errorf("%+v: %v, written: %v", step, e, written)
			}
			switch {
			case e == nil:
			case step.do == "hold":
				held = append(held, e)
			default:
				l.release(e)
			}
		}
		if got := fmt.Sprint(l.versions()); got != step.kept {
			t.Errorf("%+v: %s are there", step, got)
		}
		if l.octets > l.limit || listingFiles() != len(l.versions()) {
			t.Errorf("%+v: %d octets in %d files", step, l.octets, listingFiles())
		}
	}
	for _, e := range held {
		l.release(e)
	}
}

// TestListingCount: so many and no more, however small they are.
func TestListingCount(t *testing.T) {
	l := newListings(t)
	for v := 1; v <= maxListings+10; v++ {
		e, _ := hold(t, l, v, 1)
		l.release(e)
	}
	if n := len(l.byKey); n != maxListings {
		t.Errorf("%d listings", n)
	}
	if _, written := hold(t, l, 11, 1); written {
		t.Error("the eleventh is gone")
	}
	l.release(l.byKey[keyOf(11)])
	var held []*listing
	for v := range maxListings {
		e, _ := hold(t, l, 10_000+v, 1)
		held = append(held, e)
	}
	if e, written := hold(t, l, 1, 1); e != nil || written {
		t.Error("one more than there may be")
	}
	for _, e := range held {
		l.release(e)
	}
}

// TestUnusedListings: they go after some time, and with the last one the timer.
func TestUnusedListings(t *testing.T) {
	l := newListings(t)
	begun := time.Now()
	first, _ := hold(t, l, 1, 10)
	second, _ := hold(t, l, 2, 10)
	l.release(second)
	if l.timer == nil {
		t.Error("no timer")
	}
	l.expire()
	l.dropUnused(begun)
	if got := fmt.Sprint(l.versions()); got != "[2 1]" {
		t.Errorf("%s are there at once", got)
	}
	l.dropUnused(time.Now())
	if got := fmt.Sprint(l.versions()); got != "[1]" {
		t.Errorf("%s are there later", got)
	}
	l.release(first)
	l.dropUnused(time.Now())
	l.expire()
	if l.order.Len() > 0 || l.timer != nil {
		t.Errorf("%d are there at last, timer: %v", l.order.Len(), l.timer)
	}
}

// TestListingsClosed: nothing is kept any more, and what is held lasts.
func TestListingsClosed(t *testing.T) {
	l := newListings(t)
	held, _ := hold(t, l, 1, 10)
	other, _ := hold(t, l, 2, 10)
	l.release(other)
	l.close()
	if got := fmt.Sprint(l.versions()); got != "[1]" {
		t.Errorf("%s are there", got)
	}
	if e, written := hold(t, l, 1, 10); e != nil || written {
		t.Error("held after the end")
	}
	l.release(held)
}

// TestListingNotWritten: an error, a panic and an end in between leave nothing.
func TestListingNotWritten(t *testing.T) {
	l := newListings(t)
	reason := errors.New("the reason")
	if e, err := l.hold(background, keyOf(1), func(io.Writer) error { return reason }); e != nil || !errors.Is(err, reason) {
		t.Errorf("%v, %v", e, err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = l.hold(background, keyOf(1), func(io.Writer) error { panic(reason) })
	}()
	if n := listingFiles(); n != 0 || l.held != 0 || len(l.writing) != 0 {
		t.Errorf("left: %d files, %d held, %d at work", n, l.held, len(l.writing))
	}
	e, err := l.hold(background, keyOf(2), func(w io.Writer) error {
		l.close()
		return ofSize(10)(w)
	})
	if e != nil || err != nil {
		t.Errorf("closed meanwhile: %v, %v", e, err)
	}
}

// TestManyListings: sessions that want different ones at the same time, for the
// race detector.
func TestManyListings(t *testing.T) {
	l := newListings(t)
	var sessions sync.WaitGroup
	for i := range 8 {
		sessions.Go(func() {
			for j := range 200 {
				v := (i*7 + j) % 12
				e, err := l.hold(background, keyOf(v), ofSize(100*v+1))
				if err != nil {
					t.Error(err)
				}
				if e == nil {
					continue
				}
				if e.key != keyOf(v) || e.size != int64(100*v+1) {
					t.Errorf("%+v for %d", e.key, v)
				}
				if j%50 == 0 {
					l.expire()
				}
				l.release(e)
			}
		})
	}
	sessions.Wait()
	if l.octets > l.limit || l.held != 0 {
		t.Errorf("%d octets, %d held", l.octets, l.held)
	}
}

// TestGreedyFront: however often and for whatever a front asks, the keeper
// keeps no more than its bound and one descriptor for each listing.
func TestGreedyFront(t *testing.T) {
	var asked noted[int]
	k := newKeeper(t, alice())
	k.SetBackend(dropFor(withVersion{counting(1000, &asked), 1}))
	for range 5 {
		f := dialRaw(t, k)
		f.say(loginPacket("alice", "secret"))
		f.hear(verbLoggedIn)
		for range 300 {
			f.say(request(verbListing, int(pop3.ListUIDLs)))
			if size := f.hear(verbListingIs).int(1 << 20); size == 0 {
				t.Fatal("no listing")
			}
		}
		k.listings.mu.Lock()
		e := k.listings.byKey[listingKey{"alice", 1, pop3.ListUIDLs}]
		if e == nil || e.holds < 1 || k.listings.octets != e.size || listingFiles() != 1 {
			t.Errorf("%d octets in %d files", k.listings.octets, listingFiles())
		}
		k.listings.mu.Unlock()
		_ = f.Close()
	}
	if n := asked.get(); n != 1 {
		t.Errorf("the backend was asked %d times", n)
	}
	waitFor(t, "release", func() bool {
		k.listings.mu.Lock()
		defer k.listings.mu.Unlock()
		return k.listings.held == 0
	})
}
