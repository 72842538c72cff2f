package wire

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"sidepop/pop3"
)

// TestLists: what the backend lists arrives, however many packets it takes, and
// who stops early has a connection in order.
func TestLists(t *testing.T) {
	const messages = 30_000
	uidl := func(i int) string { return fmt.Sprintf("%d.%s", i, strings.Repeat("u", i%249)) }
	octets := func(i int) int64 { return int64(i) << (i % 40) }
	d := &scriptedDrop{
		messages: messages,
		octets: func(first, n int) iter.Seq2[int64, error] {
			return count(first, n, octets)
		},
		uidls: func(first, n int) iter.Seq2[string, error] { return count(first, n, uidl) },
	}
	k := newKeeper(t, dropFor(d))
	m := logIn(t, &Client{Path: k.path})
	defer m.Close()
	for _, span := range [][2]int{{0, messages}, {0, 1}, {messages - 1, 1}, {17, 1000}, {messages - 3000, 3000}} {
		first, n := span[0], span[1]
		i := first
		for got, err := range m.UIDLs(background, first, n) {
			if err != nil || got != uidl(i) {
				t.Fatalf("UIDL %d: %q, %v", i, got, err)
			}
			i++
		}
		if i != first+n {
			t.Errorf("%d UIDLs", i-first)
		}
		i = first
		for got, err := range m.Octets(background, first, n) {
			if err != nil || got != octets(i) {
				t.Fatalf("octets %d: %d, %v", i, got, err)
			}
			i++
		}
		if i != first+n {
			t.Errorf("%d sizes", i-first)
		}
		for range m.UIDLs(background, first, n) {
			break
		}
	}
}

// count yields what value says of n messages.
func count[T any](first, n int, value func(int) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for i := first; i < first+n; i++ {
			if !yield(value(i), nil) {
				return
			}
		}
	}
}

// TestListErrors: an error comes where the backend has it, and a listing that
// can't be sent is one.
func TestListErrors(t *testing.T) {
	at := func(bad int, err error, value func(int) string) func(int, int) iter.Seq2[string, error] {
		return func(first, n int) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for i := first; i < first+n; i++ {
					if i == bad && err != nil {
						yield("", err)
						return
					}
					if !yield(value(i), nil) {
						return
					}
				}
			}
		}
	}
	name := func(i int) string { return fmt.Sprint(i) }
	for what, test := range map[string]struct {
		uidls func(int, int) iter.Seq2[string, error]
		good  int // so many arrive
		want  error
	}{
		"first":    {at(0, errors.New("the reason"), name), 0, pop3.ErrTemporary},
		"later":    {at(20_000, errors.New("the reason"), name), 20_000, pop3.ErrTemporary},
		"gone":     {at(5, pop3.ErrGone, name), 5, pop3.ErrGone},
		"empty":    {at(7, nil, func(i int) string { return strings.Repeat("x", 7-i) }), 7, pop3.ErrTemporary},
		"too long": {at(7, nil, func(i int) string { return strings.Repeat("x", maxUIDL-3+i) }), 4, pop3.ErrTemporary},
		"nothing":  {func(int, int) iter.Seq2[string, error] { return func(func(string, error) bool) {} }, 0, pop3.ErrTemporary},
	} {
		t.Run(what, func(t *testing.T) {
			k := newKeeper(t, dropFor(&scriptedDrop{messages: 30_000, uidls: test.uidls}))
			m := logIn(t, &Client{Path: k.path})
			defer m.Close()
			good := 0
			var last error
			for _, err := range m.UIDLs(background, 0, 30_000) {
				if last != nil {
					t.Error("something after the error")
				}
				if last = err; err == nil {
					good++
				}
			}
			if good != test.good || !errors.Is(last, test.want) || !Told(last) {
				t.Errorf("%d, then %v", good, last)
			}
			if told := k.events.String(); (test.want == pop3.ErrGone) != (told == "") || strings.Contains(told, "\n") {
				t.Errorf("told: %s", told)
			}
		})
	}
}

// TestCommit: the sets arrive as they are, however many packets they take.
func TestCommit(t *testing.T) {
	const messages = 200_000
	var all, even, odd []int
	for i := range messages {
		all = append(all, i)
		if i%2 == 0 {
			even = append(even, i)
		} else {
			odd = append(odd, i)
		}
	}
	for _, test := range []struct {
		remove, retrieved []int
		failed            int
		err               error
		told              string
	}{
		{nil, nil, 0, nil, ""},
		{[]int{5}, nil, 0, nil, ""},
		{nil, []int{messages - 1}, 0, nil, ""},
		{[]int{9, 3, 7}, []int{8, 2}, 0, nil, ""},
		{all, nil, 0, nil, ""},
		{even, odd, 0, nil, ""},
		{even, nil, 7, errors.New("the reason"), `failed "alice" QUIT: the reason`},
		{[]int{1}, nil, 0, pop3.ErrGone, `failed "alice" QUIT: the message was removed by another program`},
		{[]int{1}, nil, 1, nil, ""},
	} {
		var sets noted[[2][]int]
		k := newKeeper(t, dropFor(&scriptedDrop{messages: messages, commit: func(_ context.Context, a, b []int) (int, error) {
			sets.set([2][]int{a, b})
			return test.failed, test.err
		}}))
		m := logIn(t, &Client{Path: k.path})
		failed, err := m.Commit(background, test.remove, test.retrieved)
		if failed != test.failed || (err != nil) != (test.err != nil) || err != nil && !Told(err) {
			t.Errorf("%d, %v", failed, err)
		}
		remove, retrieved := sets.get()[0], sets.get()[1]
		if !slices.Equal(remove, slices.Sorted(slices.Values(test.remove))) || !slices.Equal(retrieved, slices.Sorted(slices.Values(test.retrieved))) {
			t.Errorf("removed %.50v, retrieved %.50v", remove, retrieved)
		}
		if told := k.events.String(); told != test.told {
			t.Errorf("told: %s", told)
		}
		if n := len(k.Sessions()); n > 0 {
			waitFor(t, "end", func() bool { return len(k.Sessions()) == 0 }) // before the front closes
		}
		_ = m.Close()
	}
}

// TestFreeAfterCommit: a client that comes back at once after a removal finds
// the maildrop free.
func TestFreeAfterCommit(t *testing.T) {
	b := alice()
	b.Accounts = pop3.NewAccounts(1, 0)
	k := newKeeper(t, b)
	c := &Client{Path: k.path}
	for i := range 3 {
		m := logIn(t, c)
		if n, _ := m.Stat(); n != 3-i {
			t.Errorf("%d messages", n)
		}
		if failed, err := m.Commit(background, []int{0}, nil); failed != 0 || err != nil {
			t.Errorf("%d, %v", failed, err)
		}
		defer m.Close()
	}
}
