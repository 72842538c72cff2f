package pop3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/iotest"

	"sidepop/pop3"
)

// ready has the listings of its maildrops at hand, or says that it does not.
type ready struct {
	pop3.Backend
	absent bool
	err    error                     // of Listing
	change func(io.Reader) io.Reader // of what it gives; nil: none
	asked  []pop3.Listing
	closed int
}

type readyDrop struct {
	pop3.Maildrop
	b *ready
}

func (b *ready) Password(ctx context.Context, p pop3.Peer, user, password string) (pop3.Maildrop, error) {
	m, err := b.Backend.Password(ctx, p, user, password)
	return readyDrop{m, b}, err
}

func (d readyDrop) Listing(ctx context.Context, what pop3.Listing) (io.ReadCloser, error) {
	d.b.asked = append(d.b.asked, what)
	if d.b.absent || d.b.err != nil {
		return nil, d.b.err
	}
	var text bytes.Buffer
	if err := pop3.WriteListing(ctx, &text, d.Maildrop, what); err != nil {
		return nil, err
	}
	r := io.Reader(&text)
	if d.b.change != nil {
		r = d.b.change(r)
	}
	return readyListing{r, d.b}, nil
}

type readyListing struct {
	io.Reader
	b *ready
}

func (l readyListing) Close() error {
	l.b.closed++
	return nil
}

// talkWith is everything that a session with a backend hears.
func talkWith(t *testing.T, b pop3.Backend, commands ...string) string {
	t.Helper()
	c, _ := connect(t, &pop3.Server{Backend: b})
	c.login()
	c.say(commands...)
	all, err := io.ReadAll(c.in)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// TestLister: clients hear the same whether listings are at hand or not, and it
// is asked for one where nothing is deleted and all messages are listed.
func TestLister(t *testing.T) {
	commands := []string{"LIST", "UIDL", "UIDL 2", "DELE 3", "LIST", "UIDL", "RSET", "UIDL", "LIST 1", "LIST", "QUIT"}
	for _, messages := range []int{0, 3, 20_000} {
		want := talkWith(t, alice(make([]string, messages)...), commands...)
		for name, change := range map[string]func(io.Reader) io.Reader{
			"whole": nil, "octet by octet": iotest.OneByteReader, "with its end": iotest.DataErrReader,
		} {
			b := &ready{Backend: alice(make([]string, messages)...), change: change}
			if got := talkWith(t, b, commands...); got != want {
				t.Errorf("%s: %d messages are listed as %.200q, not %.200q", name, messages, got, want)
			}
			asked := "[0 1 1 0]"
			if messages == 0 { // nothing can be deleted
				asked = "[0 1 0 1 1 0]"
			}
			if got := fmt.Sprint(b.asked); got != asked || b.closed != len(b.asked) {
				t.Errorf("%s: asked for %s, closed %d", name, got, b.closed)
			}
		}
		b := &ready{Backend: alice(make([]string, messages)...), absent: true}
		if got := talkWith(t, b, commands...); got != want || len(b.asked) == 0 {
			t.Errorf("not at hand: %d messages are listed as %.200q, not %.200q", messages, got, want)
		}
	}
}

// TestListingAndDotInOneWrite: however the listing fills the buffer.
func TestListingAndDotInOneWrite(t *testing.T) {
	for over := -12; over <= 12; over++ {
		text := strings.Repeat("1 234567\r\n", (2*pop3.OutBuffer+over)/10)
		text += strings.Repeat("9", (2*pop3.OutBuffer+over)%10+3) + "\r\n"
		b := &ready{Backend: alice("a\n"), change: func(io.Reader) io.Reader { return strings.NewReader(text) }}
		c, conn := connect(t, &pop3.Server{Backend: b})
		c.login()
		c.say("LIST")
		c.hear(`\+OK .*`)
		if got := c.multiline(); got != text {
			t.Errorf("%d: %d octets came", over, len(got))
		}
		conn.mu.Lock()
		if last := conn.writes[len(conn.writes)-1]; !bytes.HasSuffix(last, []byte("9\r\n.\r\n")) && !bytes.Equal(last, []byte("\r\n.\r\n")) {
			t.Errorf("%d: the last write is %.100q", over, last)
		}
		conn.mu.Unlock()
	}
}

// TestListerFails: what fails before it begins is refused; what breaks off cuts
// the connection, and no client takes it for the whole.
func TestListerFails(t *testing.T) {
	reason := errors.New("the reason")
	events := newRecord()
	b := &ready{Backend: alice("a\n", "b\n"), err: reason}
	c, _ := connect(t, &pop3.Server{Backend: b, Events: events})
	c.login()
	for _, command := range []string{"LIST", "UIDL"} {
		c.say(command)
		c.hear(`-ERR \[SYS/TEMP\] .*`)
	}
	c.say("NOOP")
	c.hear(`\+OK .*`)
	if log := events.String(); strings.Count(log, "the reason") != 2 {
		t.Errorf("the log is\n%s", log)
	}

	events = newRecord()
	b = &ready{Backend: alice("a\n", "b\n"), change: func(r io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(r, 5), iotest.ErrReader(reason))
	}}
	c, _ = connect(t, &pop3.Server{Backend: b, Events: events})
	c.login()
	c.say("LIST", "NOOP")
	c.hear(`\+OK 2 messages \(6 octets\) follow`)
	if rest, err := io.ReadAll(c.in); string(rest) != "1 3\r\n" || err != nil {
		t.Errorf("goes on with %q, %v", rest, err)
	}
	_ = c.Close()
	if s := events.summary(t); s.Reason != pop3.ReasonMessage || !errors.Is(s.Err, reason) || b.closed != 1 {
		t.Errorf("closed %d, %+v", b.closed, s)
	}
}

// TestWriteListing: in pieces that fit, and never part of one for the whole.
func TestWriteListing(t *testing.T) {
	m, err := alice(make([]string, 12_345)...).Password(t.Context(), pop3.Peer{}, "alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var w pieces
	if err := pop3.WriteListing(t.Context(), &w, m, pop3.ListUIDLs); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for n := 1; n <= 12_345; n++ {
		fmt.Fprintf(&want, "%d %d.memory\r\n", n, n)
	}
	if got := strings.Join(w, ""); got != want.String() || len(w) < 2 {
		t.Errorf("%d octets in %d pieces", len(got), len(w))
	}
	for _, p := range w {
		if len(p) > pop3.OutBuffer {
			t.Errorf("a piece of %d octets", len(p))
		}
	}
	reason := errors.New("the reason")
	for name, short := range map[string]error{"error": reason, "end": nil} {
		d := shortDrop{m, &lister{stop: 12_000, err: short}}
		for _, what := range []pop3.Listing{pop3.ListOctets, pop3.ListUIDLs} {
			if err := pop3.WriteListing(t.Context(), io.Discard, d, what); err == nil || short != nil && err != short {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if err := pop3.WriteListing(t.Context(), failing{reason}, m, pop3.ListOctets); err != reason {
		t.Errorf("writing fails: %v", err)
	}
}

type pieces []string

func (p *pieces) Write(b []byte) (int, error) {
	*p = append(*p, string(b))
	return len(b), nil
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

type shortDrop struct {
	pop3.Maildrop
	l *lister
}

func (d shortDrop) Octets(ctx context.Context, first, n int) iter.Seq2[int64, error] {
	return stopped(d.l, first, d.Maildrop.Octets(ctx, first, n))
}

func (d shortDrop) UIDLs(ctx context.Context, first, n int) iter.Seq2[string, error] {
	return stopped(d.l, first, d.Maildrop.UIDLs(ctx, first, n))
}
