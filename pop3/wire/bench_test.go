package wire

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// fileBackend has one account whose messages are files. Its own work is as
// little as can be, so that what is measured is the wire's.
type fileBackend struct {
	pop3.Backend
	files []string
	uidls []string
	octet int64

	version atomic.Uint64 // 0: the listings are not kept
}

func (b *fileBackend) Password(context.Context, pop3.Peer, string, string) (pop3.Maildrop, error) {
	return &fileDrop{b}, nil
}

type fileDrop struct{ b *fileBackend }

func (d *fileDrop) User() string       { return "alice" }
func (d *fileDrop) Stat() (int, int64) { return len(d.b.uidls), int64(len(d.b.uidls)) * d.b.octet }
func (d *fileDrop) Close() error       { return nil }
func (d *fileDrop) Version() uint64    { return d.b.version.Load() }

func (d *fileDrop) Octets(_ context.Context, first, n int) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for range n {
			if !yield(d.b.octet, nil) {
				return
			}
		}
	}
}

func (d *fileDrop) UIDLs(_ context.Context, first, n int) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, u := range d.b.uidls[first : first+n] {
			if !yield(u, nil) {
				return
			}
		}
	}
}

func (d *fileDrop) Open(context.Context, int) (io.ReadCloser, int64, error) {
	return nil, 0, pop3.ErrTemporary // OpenFiles is there
}

func (d *fileDrop) OpenFiles(_ context.Context, first int, dst []File) (int, error) {
	for i := range dst {
		fd, err := unix.Open(d.b.files[(first+i)%len(d.b.files)], unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil && i > 0 {
			return i, nil
		}
		if err != nil {
			return 0, fmt.Errorf("%w: %w", pop3.ErrGone, err)
		}
		dst[i] = File{FD: fd, Bytes: d.b.octet, Octets: d.b.octet}
	}
	return len(dst), nil
}

func (d *fileDrop) Commit(context.Context, []int, []int) (int, error) { return 0, nil }

func newFileBackend(t testing.TB, messages int) *fileBackend {
	t.Helper()
	b := &fileBackend{octet: 2048}
	folder := t.TempDir()
	for i := range min(messages, 100) {
		file := filepath.Join(folder, fmt.Sprint(i))
		if err := os.WriteFile(file, make([]byte, b.octet), 0o600); err != nil {
			t.Fatal(err)
		}
		b.files = append(b.files, file)
	}
	for i := range messages {
		b.uidls = append(b.uidls, fmt.Sprintf("%010d.V801I%xM%06d.mail", 1700000000+i, i, i%1000000))
	}
	return b
}

// newFileKeeper serves without the ledger, which would hide OpenFiles.
func newFileKeeper(t testing.TB, messages int) *keeper {
	b := newFileBackend(t, messages)
	k := newKeeper(t, b)
	k.SetBackend(b)
	return k
}

var peer = pop3.Peer{
	Session: "ABCDEFGHIJ",
	Remote:  netip.MustParseAddrPort("192.0.2.1:40000"),
	Local:   netip.MustParseAddrPort("192.0.2.2:110"),
	Secure:  true,
}

func logIn(t testing.TB, c *Client) pop3.Maildrop {
	t.Helper()
	t.Cleanup(c.idle.clear)
	m, err := c.Password(context.Background(), peer, "alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// measure reports the processor time of both sides together.
func measure(b *testing.B, unit string, per int, f func()) {
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(processorTime(b)-before)/1e3/float64(b.N*per), "cpu-us/"+unit)
}

func processorTime(b *testing.B) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkLogin(b *testing.B) {
	k := newFileKeeper(b, 10)
	c := &Client{Path: k.path}
	base, cancel := context.WithCancel(background)
	defer cancel()
	measure(b, "login", 1, func() {
		ctx, cancel := context.WithTimeout(base, pop3.DefaultLogin) // as a session has it
		m, err := c.Password(ctx, peer, "alice", "secret")
		cancel()
		if err != nil {
			b.Fatal(err)
		}
		_ = m.Close()
	})
}

// BenchmarkOpen opens messages in order, one by one, reads and closes them.
func BenchmarkOpen(b *testing.B) {
	const messages = 1000
	k := newFileKeeper(b, messages)
	m := logIn(b, &Client{Path: k.path})
	defer m.Close()
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	buf := make([]byte, 64<<10)
	i := 0
	measure(b, "message", 1, func() {
		f, _, err := m.Open(ctx, i%messages)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = f.Read(buf)
		}
		_ = f.Close()
		i++
	})
}

// BenchmarkListing is a session of one listing: it comes value by value, or
// whole, and then it is there or made anew.
func BenchmarkListing(b *testing.B) {
	for what, name := range map[pop3.Listing]string{pop3.ListOctets: "LIST", pop3.ListUIDLs: "UIDL"} {
		for _, messages := range []int{1000, 100_000} {
			for _, how := range []string{"values", "hit", "miss"} {
				b.Run(fmt.Sprintf("%s/%d/%s", name, messages, how), func(b *testing.B) {
					files := newFileBackend(b, messages)
					files.version.Store(1)
					k := newKeeper(b, files)
					k.SetBackend(files)
					c := &Client{Path: k.path}
					measure(b, "list", 1, func() {
						if how == "miss" {
							files.version.Add(1)
						}
						m := logIn(b, c)
						if err := listWhole(m, what, how == "values"); err != nil {
							b.Fatal(err)
						}
						_ = m.Close()
					})
				})
			}
		}
	}
}

// listWhole reads a listing as a session of POP3 does.
func listWhole(m pop3.Maildrop, what pop3.Listing, values bool) error {
	if values {
		return pop3.WriteListing(background, io.Discard, m, what)
	}
	r, err := m.(pop3.Lister).Listing(background, what)
	if err != nil {
		return err
	}
	defer r.Close()
	b := newBuffer() // as long as that of a session
	defer b.free()
	for err == nil {
		_, err = r.Read(b.packet[:])
	}
	if err == io.EOF {
		return nil
	}
	return err
}
