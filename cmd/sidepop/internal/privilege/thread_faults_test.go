package privilege

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// thread is a thread of a kernel where calls fail.
type thread struct {
	is    credentials
	fails map[int]bool // by the number of the call that changes something, from 0
	n     int
	trace []string
}

func (k *thread) fail(call string, to any) bool {
	k.n++
	k.trace = append(k.trace, fmt.Sprint(call, " ", to))
	return k.fails[k.n-1]
}

func (k *thread) calls() *calls {
	set := func(call string, id *uint32) func(uint32) uint32 {
		return func(to uint32) uint32 {
			before := *id
			if to != unchanged && !k.fail(call, to) {
				*id = to
			}
			return before
		}
	}
	return &calls{
		setgroups: func(groups []uint32) error {
			if k.fail("setgroups", groups) {
				return unix.EPERM
			}
			k.is.groups = groups
			return nil
		},
		setfsgid: set("setfsgid", &k.is.gid),
		setfsuid: set("setfsuid", &k.is.uid),
	}
}

func TestAsFaults(t *testing.T) {
	own := credentials{groups: []uint32{0, 4}}
	for _, c := range []struct {
		fails []int
		calls string // all of them
		err   string
		panic string
	}{
		{nil, "setgroups [7], setfsgid 2, setfsuid 1, f, setfsuid 0, setfsgid 0, setgroups [0 4]", "of f", ""},
		{[]int{0}, "setgroups [7]", "setgroups: operation not permitted", ""},
		{[]int{1}, "setgroups [7], setfsgid 2, setfsuid 0, setfsgid 0, setgroups [0 4]", "setfsgid: the thread has 0", ""},
		{[]int{2}, "setgroups [7], setfsgid 2, setfsuid 1, setfsuid 0, setfsgid 0, setgroups [0 4]", "setfsuid: the thread has 0", ""},
		{[]int{4}, "setgroups [7], setfsgid 2, setfsuid 1, f, setfsuid 0", "", "user id 0 can't be restored, the thread has 1"},
		{[]int{5}, "setgroups [7], setfsgid 2, setfsuid 1, f, setfsuid 0, setfsgid 0", "", "group id 0 can't be restored, the thread has 2"},
		{[]int{6}, "setgroups [7], setfsgid 2, setfsuid 1, f, setfsuid 0, setfsgid 0, setgroups [0 4]", "", "groups can't be restored: operation not permitted"},
		{[]int{1, 4}, "setgroups [7], setfsgid 2, setfsuid 0, setfsgid 0, setgroups [0 4]", "", "groups can't be restored"},
	} {
		k := &thread{is: own, fails: make(map[int]bool)}
		for _, n := range c.fails {
			k.fails[n] = true
		}
		ended := make(chan int)
		var err error
		var panicked any
		go func() {
			defer func() {
				panicked = recover()
				ended <- unix.Gettid()
			}()
			err = k.calls().as(&credentials{uid: 1, gid: 2, groups: []uint32{7}}, &own, func() error {
				k.fail("f", nil)
				return errors.New("of f")
			})
		}()
		tid := <-ended
		for i := range k.trace {
			k.trace[i] = strings.TrimSuffix(k.trace[i], " <nil>")
		}
		if got := strings.Join(k.trace, ", "); got != c.calls {
			t.Errorf("failing %v: calls %s\nwant %s", c.fails, got, c.calls)
		}
		if c.panic == "" {
			if panicked != nil || err == nil || !strings.Contains(err.Error(), c.err) || fmt.Sprint(k.is) != fmt.Sprint(own) {
				t.Errorf("failing %v: error %v, panic %v, left %v", c.fails, err, panicked, k.is)
			}
			continue
		}
		if text := fmt.Sprint(panicked); !strings.Contains(text, c.panic) || !strings.Contains(text, "this thread ends") {
			t.Errorf("failing %v: panic %q", c.fails, text)
		}
		// The thread has ended, or is about to.
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid)); errors.Is(err, os.ErrNotExist) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("failing %v: the thread is still there", c.fails)
			}
		}
	}
}

// TestGroupsThatNeedNoChange: groups are set where they make a difference, and only
// there.
func TestGroupsThatNeedNoChange(t *testing.T) {
	const ids = "setfsgid 2, setfsuid 1, f, setfsuid 0, setfsgid 0"
	for _, c := range []struct{ own, user, calls string }{
		{"", "", ids},
		{"", "2", ids},
		{"", "2 7", "setgroups [2 7], " + ids + ", setgroups []"},
		{"", "7", "setgroups [7], " + ids + ", setgroups []"},
		{"0", "", "setgroups [], " + ids + ", setgroups [0]"},
		{"0", "2", "setgroups [2], " + ids + ", setgroups [0]"},
		{"2", "2", "setgroups [2], " + ids + ", setgroups [2]"},
		{"?", "2", "setgroups [2], " + ids + ", setgroups []"},
	} {
		own := credentials{groups: groups(t, c.own), unsure: c.own == "?"}
		k := &thread{is: own}
		err := k.calls().as(&credentials{uid: 1, gid: 2, groups: groups(t, c.user)}, &own, func() error {
			k.trace = append(k.trace, "f")
			return nil
		})
		if got := strings.Join(k.trace, ", "); err != nil || got != c.calls {
			t.Errorf("process in %q, user in %q: %s, %v; want %s", c.own, c.user, got, err, c.calls)
		}
	}
}

func groups(t *testing.T, list string) (all []uint32) {
	t.Helper()
	for _, field := range strings.Fields(strings.Trim(list, "?")) {
		g, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, uint32(g))
	}
	return all
}
