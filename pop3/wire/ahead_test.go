package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// files is a maildrop of files that counts how they are asked for.
type files struct {
	*fileDrop
	asked noted[string]
}

func (f *files) OpenFiles(ctx context.Context, first int, dst []File) (int, error) {
	f.asked.set(strings.TrimSpace(fmt.Sprintf("%s %d+%d", f.asked.get(), first, len(dst))))
	return f.fileDrop.OpenFiles(ctx, first, dst)
}

// serveFiles serves a maildrop of so many messages, and gives a session of it.
func serveFiles(t *testing.T, messages, ahead int) (*files, *Client, *maildrop) {
	t.Helper()
	f := &files{fileDrop: &fileDrop{newFileBackend(t, messages)}}
	k := newKeeper(t, alice())
	k.SetBackend(dropFor(f))
	c := &Client{Path: k.path, Ahead: ahead}
	m := logIn(t, c).(*maildrop)
	t.Cleanup(func() {
		_ = m.Close()
		if n := c.ahead.Load(); n != 0 {
			t.Errorf("%d descriptors are said to wait", n)
		}
		if told := k.events.String(); told != "" {
			t.Error(told)
		}
	})
	return f, c, m
}

// TestAhead: descriptors come ahead for those who fetch in order, for nobody
// else, and within the budget.
func TestAhead(t *testing.T) {
	span := func(first, n int) (list []int) {
		for i := first; i < first+n; i++ {
			list = append(list, i)
		}
		return list
	}
	for _, test := range []struct {
		name     string
		messages int
		ahead    int
		open     []int
		asked    string
		waiting  int64
	}{
		{"in order", 100, 0, span(0, 40), "0+1 1+4 5+16 21+64", 45},
		{"to the end", 9, 0, span(0, 9), "0+1 1+4 5+4", 0},
		{"one", 100, 0, []int{0}, "0+1", 0},
		{"from the middle", 100, 0, span(50, 7), "50+1 51+4 55+16", 14},
		{"backwards", 100, 0, []int{5, 4, 3, 2}, "5+1 4+1 3+1 2+1", 0},
		{"twice each", 100, 0, []int{0, 0, 1, 1, 2}, "0+1 0+1 1+4 1+1 2+4", 3},
		{"jump", 100, 0, []int{0, 1, 2, 50, 51}, "0+1 1+4 50+1 51+4", 3},
		{"budget", 100, 5, span(0, 15), "0+1 1+4 5+6 11+6", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, c, m := serveFiles(t, test.messages, test.ahead)
			for _, i := range test.open {
				r, octets, err := m.Open(background, i)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(r); err != nil || int64(len(got)) != octets || octets != f.b.octet {
					t.Fatalf("message %d: %d octets, %v", i, len(got), err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
			if got := f.asked.get(); got != test.asked {
				t.Errorf("asked for %s, not %s", got, test.asked)
			}
			if n := c.ahead.Load(); n != test.waiting {
				t.Errorf("%d wait", n)
			}
		})
	}
}

// TestBudgetOfAll: the sessions share one.
func TestBudgetOfAll(t *testing.T) {
	f, c, m := serveFiles(t, 100, 6)
	other := logIn(t, c)
	defer other.Close()
	for _, m := range []pop3.Maildrop{m, other} {
		for i := range 7 {
			r, _, err := m.Open(background, i)
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Close()
		}
	}
	// The first one has 5 left of the 6; so the other can have one.
	if got, want := f.asked.get(), "0+1 1+4 5+7 0+1 1+2 3+2 5+2"; got != want {
		t.Errorf("asked for %s, not %s", got, want)
	}
}

// TestChangingFiles: what is appended is not read, what is cut off is missed,
// and what is removed can be read by who has it open.
func TestChangingFiles(t *testing.T) {
	f, _, m := serveFiles(t, 30, 0)
	open := func(i int) io.ReadCloser {
		t.Helper()
		r, _, err := m.Open(background, i)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open(0)
	if err := os.Truncate(f.b.files[0], f.b.octet+100); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || int64(len(got)) != f.b.octet {
		t.Errorf("grown: %d, %v", len(got), err)
	}
	_ = r.Close()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := r.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	r = open(1)
	if err := os.Truncate(f.b.files[1], 100); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 100 {
		t.Errorf("cut: %d, %v", len(got), err)
	}
	_ = r.Close()
	for _, i := range []int{2, 10} {
		if err := os.Remove(f.b.files[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := 2; i < 10; i++ {
		r := open(i)
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
		_ = r.Close()
	}
	if _, _, err := m.Open(background, 10); !errors.Is(err, pop3.ErrGone) || !Told(err) {
		t.Errorf("gone: %v", err)
	}
	_ = open(11).Close()
}

// badFiles hands over one descriptor that it must not.
type badFiles struct {
	*fileDrop
	open func() (File, error)
	n    int
}

func (b *badFiles) OpenFiles(_ context.Context, _ int, dst []File) (int, error) {
	f, err := b.open()
	dst[0] = f
	return b.n, err
}

// TestReadOnly: only regular files open for reading are handed over, and what is
// not is closed.
func TestReadOnly(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	fifo := filepath.Join(folder, "fifo")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	open := func(path string, flags int) func() (File, error) {
		return func() (File, error) {
			fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
			return File{FD: fd}, err
		}
	}
	for name, bad := range map[string]*badFiles{
		"for writing": {open: open(file, unix.O_WRONLY), n: 1},
		"for both":    {open: open(file, unix.O_RDWR), n: 1},
		"a path":      {open: open(file, unix.O_PATH), n: 1},
		"a folder":    {open: open(folder, unix.O_RDONLY), n: 1},
		"a FIFO":      {open: open(fifo, unix.O_RDONLY), n: 1},
		"a device":    {open: open(os.DevNull, unix.O_RDONLY), n: 1},
		"none":        {open: func() (File, error) { return File{}, nil }, n: 0},
		"not open":    {open: func() (File, error) { return File{FD: 1 << 20}, nil }, n: 1},
		"size":        {open: func() (File, error) { f, err := open(file, unix.O_RDONLY)(); f.Bytes = -1; return f, err }, n: 1},
	} {
		t.Run(name, func(t *testing.T) {
			bad.fileDrop = &fileDrop{newFileBackend(t, 3)}
			k := newKeeper(t, dropFor(bad))
			k.SetBackend(dropFor(bad))
			m := logIn(t, &Client{Path: k.path})
			defer m.Close()
			before := openFiles()
			if _, _, err := m.Open(background, 0); !errors.Is(err, pop3.ErrTemporary) || !Told(err) {
				t.Errorf("%v", err)
			}
			if told := k.events.String(); !strings.Contains(told, "open") {
				t.Errorf("told: %s", told)
			}
			if after := openFiles(); after != before {
				t.Errorf("open before:\n%s\nand after:\n%s", before, after)
			}
		})
	}
}

// TestCopiedMessages: those that are no files come as copies that nobody can
// change, and a reader that fails is found short.
func TestCopiedMessages(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 20_000)
	k := newKeeper(t, dropFor(&scriptedDrop{messages: 3, open: func(i int) (io.ReadCloser, int64, error) {
		switch i {
		case 0:
			return io.NopCloser(strings.NewReader(content)), 77, nil
		case 1:
			r := io.MultiReader(strings.NewReader(content), iotest.ErrReader(errors.New("the reason")))
			return io.NopCloser(r), 78, nil
		}
		return nil, 0, pop3.ErrGone
	}}))
	m := logIn(t, &Client{Path: k.path})
	defer m.Close()
	r, octets, err := m.Open(background, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Pwrite(r.(*message).fd, []byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing: %v", err)
	}
	if err := unix.Ftruncate(r.(*message).fd, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("truncating: %v", err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != content || octets != 77 {
		t.Errorf("%d octets: %v", len(got), err)
	}
	_ = r.Close()
	r, octets, err = m.Open(background, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != content || octets != 78 {
		t.Errorf("%d octets: %v", len(got), err)
	}
	_ = r.Close()
	if _, _, err := m.Open(background, 2); !errors.Is(err, pop3.ErrGone) {
		t.Errorf("%v", err)
	}
	if told := k.events.String(); told != `failed "alice" open: message 2: the reason` {
		t.Errorf("told: %s", told)
	}
}
