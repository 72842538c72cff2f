package index

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-maildir"
)

// measure stands for the protocol's rule: LF becomes CRLF.
func measure(r io.Reader) (int64, error) {
	var octets int64
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		octets += int64(n) + int64(strings.Count(string(buf[:n]), "\n"))
		if err == io.EOF {
			return octets, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// maildirWith makes a Maildir with files, given by path below it and content,
// and makes it old enough for one reading to suffice.
func maildirWith(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := maildir.Dir(dir).Init(); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	age(t, dir)
	return dir
}

// age lets so much time pass that a change of the directories can be told from
// those before. Nothing else makes a change time older.
func age(t testing.TB, dir string) {
	t.Helper()
	for {
		p, err := proofAt(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		if p.settled(time.Now()) {
			return
		}
		time.Sleep(clockGrain / 4)
	}
}

// told are Events of which only what is skipped matters.
type told struct {
	silent
	skipped func(path, reason string)
}

func (e told) Skipped(path, reason string) { e.skipped(path, reason) }

// openOnce opens dir through an index that knows nothing and remembers nothing.
func openOnce(ctx context.Context, dir string, o Options) (*Mailbox, error) {
	x, err := New(o)
	if err != nil {
		return nil, err
	}
	return x.Open(ctx, dir, "", self)
}

// open opens dir and closes it at the end of the test. Things skipped fail it.
func open(t testing.TB, dir string, o Options) *Mailbox {
	t.Helper()
	if o.Measure == nil {
		o.Measure = measure
	}
	if o.Events == nil {
		o.Events = told{skipped: func(path, reason string) { t.Errorf("skipped %q: %s", path, reason) }}
	}
	m, err := openOnce(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func uidls(m *Mailbox) []string {
	ids := []string{}
	for i := range m.Len() {
		ids = append(ids, m.Message(i).UIDL)
	}
	return ids
}

// content reads message i.
func content(t testing.TB, m *Mailbox, i int) string {
	t.Helper()
	f, err := m.OpenMessage(i)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil || int64(len(b)) != f.Size() {
		t.Errorf("message %d: %d bytes of %d, error %v", i, len(b), f.Size(), err)
	}
	return string(b)
}

func rename(t testing.TB, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	dir := maildirWith(t, map[string]string{
		"new/20.M1P1.h":          "A: b\n\nx\n",
		"cur/10.M1P1.h:2,S":      "",
		"cur/10.M2P1.h":          "1",
		"new/15.M1P1.h:2,":       "12\n",
		"cur/17.M1P1.h:1,x":      "\n",
		"cur/18.M1P1.h:2,Sxyz,=": "1234",
		"cur/.hidden":            "no",
		"tmp/11.M1P1.h":          "no",
	})
	m := open(t, dir, Options{})
	want := []Message{
		{"10.M1P1.h", 0, 0}, {"10.M2P1.h", 1, 1}, {"15.M1P1.h", 3, 4}, {"17.M1P1.h", 1, 2}, {"18.M1P1.h", 4, 4}, {"20.M1P1.h", 8, 11},
	}
	var got []Message
	for i := range m.Len() {
		got = append(got, m.Message(i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if m.Octets() != 22 {
		t.Errorf("%d octets, want 22", m.Octets())
	}
	if s := content(t, m, 5); s != "A: b\n\nx\n" {
		t.Errorf("message 5 is %q", s)
	}
}

// TestOpenDelivered takes mail that the Maildir library has delivered and moved.
func TestOpenDelivered(t *testing.T) {
	dir := maildirWith(t, nil)
	deliver := func(text string) {
		d, err := maildir.NewDelivery(dir)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(d, text)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	deliver("one\n")
	messages, err := maildir.Dir(dir).Unseen()
	if err != nil {
		t.Fatal(err)
	}
	if err := messages[0].SetFlags([]maildir.Flag{maildir.FlagSeen, maildir.FlagReplied}); err != nil {
		t.Fatal(err)
	}
	deliver("two\n")
	m := open(t, dir, Options{})
	if m.Len() != 2 || !slices.Contains(uidls(m), messages[0].Key()) {
		t.Fatalf("UIDLs %q, want two with %q", uidls(m), messages[0].Key())
	}
}

func TestOpenDirectories(t *testing.T) {
	base := t.TempDir()
	path := func(name string) string { return filepath.Join(base, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	full := maildirWith(t, map[string]string{"new/1.a": "x"})
	must(os.Symlink(full, path("link")))
	must(os.Symlink(path("nowhere"), path("dangling")))
	must(os.WriteFile(path("mbox"), []byte("From x\n"), 0o600))
	must(os.MkdirAll(path("bare"), 0o700))
	must(os.MkdirAll(path("newonly/new"), 0o700))
	must(os.WriteFile(path("newonly/new/1.a"), nil, 0o600))
	must(os.MkdirAll(path("curlink/new"), 0o700))
	must(os.Symlink(filepath.Join(full, "new"), path("curlink/cur")))
	must(os.MkdirAll(path("newfile/cur"), 0o700))
	must(os.WriteFile(path("newfile/new"), nil, 0o600))

	for _, tt := range []struct {
		dir      string
		messages int
		err      string
	}{
		{dir: "link", messages: 1},
		{dir: "absent", messages: 0},
		{dir: "absent/further", messages: 0},
		{dir: "bare", messages: 0},
		{dir: "newonly", messages: 1},
		{dir: "dangling", err: "open Maildir BASE/dangling: the symbolic link leads nowhere; is a file system not mounted?"},
		{dir: "mbox", err: "open Maildir BASE/mbox: it is a file, perhaps an mbox, where a Maildir is needed; convert it"},
		{dir: "mbox/further", err: "open Maildir: open BASE/mbox/further: not a directory"},
		{dir: "curlink", err: "open Maildir: BASE/curlink/cur must be a directory itself, no symbolic link and no file"},
		{dir: "newfile", err: "open Maildir: BASE/newfile/new must be a directory itself, no symbolic link and no file"},
	} {
		m, err := openOnce(t.Context(), path(tt.dir), Options{Measure: measure})
		if err != nil {
			if got := strings.ReplaceAll(err.Error(), base, "BASE"); got != tt.err {
				t.Errorf("%s: error %q, want %q", tt.dir, got, tt.err)
			}
			continue
		}
		if tt.err != "" || m.Len() != tt.messages {
			t.Errorf("%s: %d messages, want %d and error %q", tt.dir, m.Len(), tt.messages, tt.err)
		}
		if failed, err := m.Commit(t.Context(), nil, nil); failed != 0 || err != nil {
			t.Errorf("%s: removing nothing: %d, %v", tt.dir, failed, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenCancelled(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "x", "new/2.a": "x"})
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := openOnce(ctx, dir, Options{Measure: func(r io.Reader) (int64, error) {
		calls++
		cancel()
		return measure(r)
	}})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("error %v after %d messages", err, calls)
	}
}

func TestMeasureFails(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "x", "new/2.a": "xx", "new/3.a": "xxx"})
	var skipped []string
	m := open(t, dir, Options{
		Measure: func(r io.Reader) (int64, error) {
			n, err := measure(r)
			if n == 2 {
				err = errors.New("odd")
			}
			return n, err
		},
		Events: told{skipped: func(path, reason string) { skipped = append(skipped, filepath.Base(path)+" "+reason) }},
	})
	if got := uidls(m); !slices.Equal(got, []string{"1.a", "3.a"}) || !slices.Equal(skipped, []string{"2.a odd"}) {
		t.Errorf("messages %q, skipped %q", got, skipped)
	}
}

func TestDuplicateUniqueNames(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "new", "cur/1.a:2,S": "cur", "cur/2.b:2,S": "b", "cur/0.c": "c"})
	if err := os.Link(filepath.Join(dir, "cur/2.b:2,S"), filepath.Join(dir, "new/2.b")); err != nil {
		t.Fatal(err)
	}
	want := []string{"0.c", "1.a", digest("1.a/1/0"), "2.b"}
	m := open(t, dir, Options{})
	if got := uidls(m); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	// Moving the first to cur changes nothing.
	rename(t, dir, "new/1.a", "cur/1.a:2,")
	m2 := open(t, dir, Options{})
	if got := uidls(m2); !slices.Equal(got, want) || content(t, m2, 1) != "new" || content(t, m2, 2) != "cur" {
		t.Errorf("after moving: got %q, want %q", got, want)
	}
	// The session that began before must not take one for the other.
	if _, err := m.OpenMessage(1); !errors.Is(err, ErrGone) {
		t.Errorf("open of a moved file with a namesake: %v", err)
	}
	rename(t, dir, "cur/1.a:2,", "cur/1.a:2,S")
	if _, err := m.OpenMessage(2); !errors.Is(err, ErrGone) {
		t.Errorf("open of an overwritten file with a namesake: %v", err)
	}
	if failed, err := m.Commit(t.Context(), []int{1, 2, 3}, nil); failed != 0 || err != nil {
		t.Errorf("remove: %d, %v", failed, err)
	}
	// The linked message is gone under both its names, the moved one is not.
	if got := uidls(open(t, dir, Options{})); !slices.Equal(got, []string{"0.c", "1.a"}) {
		t.Errorf("left: %q", got)
	}
}
