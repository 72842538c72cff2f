package auth

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// spent is how long the process has been at work: what else the machine does while
// something is measured does not change that.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// Whoever measures must not learn which users exist: each kind of failure
// takes about as long as a wrong password.
func TestFailuresTakeTheSameTime(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	// bcrypt with cost 6, about 4 ms: far above what the rest of a login takes.
	const hash = "$2b$06$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e"
	dir := t.TempDir()
	put(t, dir+"/example.org", "joe:"+hash+"\njim:"+hash+"\nlocked:!\nbad:{CRYPT}x\noff:"+hash+"::::::nologin\n")
	p := NewPasswd(dir+"/%d", func(error) {})
	users := []struct {
		name string
		want error
	}{
		{"joe@example.org", ErrCredentials}, // exists: what others are compared with
		{"nobody@example.org", ErrCredentials},
		{"joe@example.net", ErrCredentials},
		{"joe", ErrCredentials},
		{"joe@../example.org", ErrCredentials},
		{"locked@example.org", ErrCredentials},
		{"bad@example.org", ErrPermanent},
		{"off@example.org", ErrCredentials},
	}
	const runs = 9
	times := make([][]time.Duration, len(users))
	for range runs {
		for n, user := range users {
			begin := spent(t)
			if _, err := p.Verify(context.Background(), Login{User: user.name, Password: "wrong"}); !errors.Is(err, user.want) {
				t.Fatalf("%s: %v, want %v", user.name, err, user.want)
			}
			times[n] = append(times[n], spent(t)-begin)
		}
	}
	for n := range times {
		slices.Sort(times[n])
	}
	wrong := times[0][0] // the least of each, without the work of the runtime
	for n, user := range users {
		if least := times[n][0]; least < wrong/3 || least > wrong*3 {
			t.Errorf("%s takes %v, a wrong password %v", user.name, least, wrong)
		}
	}
}

// The same unknown name is always compared with the same user.
func TestDecoysAreStable(t *testing.T) {
	users := parseTable("passwd", "a:{PLAIN}a\nb:{PLAIN}b\nc:{PLAIN}c\nd:{PLAIN}d\n", noWarning(t))
	p := NewPasswd("passwd", noWarning(t))
	seen := make(map[string]bool)
	for n := range 64 {
		name := string(rune('A' + n))
		decoy := p.decoy(users, name)
		for range 3 {
			if again := p.decoy(users, name); again.clear != decoy.clear {
				t.Fatalf("%q is compared with %q and %q", name, decoy.clear, again.clear)
			}
		}
		seen[decoy.clear] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d of 4 users serve as decoys", len(seen))
	}
}

// The keys of a password that is kept as it is are derived while the client waits for
// the salt: for a name that nobody has as well, and once, in whichever source it is.
func TestSaltsTakeTheSameTime(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	first, second := scramSite(t, "joe:{PLAIN}pencil\n").Chain[0], scramSite(t, "jim:{PLAIN}pencil\nhash:{SHA1}L55TUjtiq8FBorTWAZ0jy6g129A=\n").Chain[0]
	m := &Masters{Chain: Chain{first, second}}
	const runs = 15
	users := []string{"joe", "jim", "nobody", "hash", "joe@example.org"}
	times := make([][]time.Duration, len(users))
	for range runs {
		for n, user := range users {
			begin := spent(t)
			challengeOf(t, m, SCRAMSHA256, testSalts, user)
			times[n] = append(times[n], spent(t)-begin)
		}
	}
	for n := range times {
		slices.Sort(times[n])
	}
	known := times[0][0] // as above
	for n, user := range users {
		if least := times[n][0]; least < known*2/3 || least > known*3/2 {
			t.Errorf("%s takes %v, somebody %v", user, least, known)
		}
	}
}
