package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sidepop/index"
	"sidepop/pop3"
)

// fake is an index that says what it is told to.
type fake struct {
	list        []index.Info
	messages    []Message
	differences []index.Difference
	err         error

	block chan struct{} // unless nil: told when work has begun, which then goes on to its context's end
	ended chan error    // then told why
}

func (f *fake) work(ctx context.Context, m Maildir, progress func(done, total int)) error {
	if f.block != nil {
		close(f.block)
		<-ctx.Done()
		f.ended <- ctx.Err()
		return ctx.Err()
	}
	if progress != nil {
		progress(1, 3)
		progress(2, 3)
	}
	if m.Path != weird.Path || !reflect.DeepEqual(m.Owner, weird.Owner) {
		return fmt.Errorf("the Maildir is %q of %v", m.Path, m.Owner)
	}
	return f.err
}

func (f *fake) List(context.Context) ([]index.Info, error) { return f.list, f.err }

func (f *fake) Messages(ctx context.Context, m Maildir, each func(Message) error) error {
	for _, one := range f.messages {
		if err := each(one); err != nil {
			return err
		}
	}
	return f.work(ctx, m, nil)
}

func (f *fake) Verify(ctx context.Context, m Maildir, progress func(done, total int)) ([]index.Difference, error) {
	return f.differences, f.work(ctx, m, progress)
}

func (f *fake) Rebuild(ctx context.Context, m Maildir, progress func(done, total int)) (int, error) {
	return 7, f.work(ctx, m, progress)
}

// folder is a short path: a socket's may have 107 bytes.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sidepop-control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func serve(t *testing.T, dir string, x Inspector) *Server {
	t.Helper()
	s, err := Serve(dir, x, nobody{}, func(err error) { t.Errorf("fault: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func dial(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// transcript is everything that an index says.
func transcript(ctx context.Context, x Inspector, m Maildir) (all []string) {
	note := func(v ...any) { all = append(all, fmt.Sprintf("%q", fmt.Sprint(v...))) }
	var mu sync.Mutex
	progress := func(done, total int) {
		mu.Lock()
		defer mu.Unlock()
		note("progress", done, total)
	}
	list, err := x.List(ctx)
	note("list", list, err)
	err = x.Messages(ctx, m, func(one Message) error {
		note("message", one)
		return nil
	})
	note("messages", err)
	differences, err := x.Verify(ctx, m, progress)
	note("verify", differences, err)
	n, err := x.Rebuild(ctx, m, progress)
	note("rebuild", n, err)
	return all
}

// weird is a Maildir whose path has bytes that JSON has not.
var weird = Maildir{"/m/\xff\n", &index.Owner{UID: 1<<32 - 2, GID: 5, Groups: []uint32{5, 6}}}

// TestSame: an index says the same directly and through a server.
func TestSame(t *testing.T) {
	long := strings.Repeat("x\xfe", 2000)
	many := make([]Message, 3000)
	for i := range many {
		many[i] = Message{index.Message{UIDL: fmt.Sprint("<", i, `>&"`), Bytes: 1 << 40, Octets: 1<<40 + 1}, fmt.Sprint(weird.Path, "\xff", i)}
	}
	for _, f := range []*fake{
		{},
		{
			list: []index.Info{
				{Path: weird.Path, User: "\xff@x", Messages: 3, Octets: 1 << 50, Current: true, InUse: true, Watched: true, Done: 1, Total: 2},
				{Path: "/"},
			},
			messages:    many,
			differences: []index.Difference{{Name: "a\xff", What: "b\n\xfe"}, {}, {Name: long, What: long}},
		},
	} {
		dir := folder(t)
		serve(t, dir, f)
		want, got := transcript(t.Context(), f, weird), transcript(t.Context(), dial(t, dir), weird)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("\n got %.2000s\nwant %.2000s", got, want)
		}
	}
	// After an error a result counts for nothing.
	dir := folder(t)
	serve(t, dir, &fake{err: errors.New("no\nway")})
	c := dial(t, dir)
	_, listErr := c.List(t.Context())
	_, verifyErr := c.Verify(t.Context(), weird, func(int, int) {})
	_, rebuildErr := c.Rebuild(t.Context(), weird, func(int, int) {})
	for _, err := range []error{listErr, verifyErr, rebuildErr, c.Messages(t.Context(), weird, nil)} {
		if err == nil || err.Error() != "no\nway" {
			t.Errorf("error: %v", err)
		}
	}
}

// TestIndex is the same with a real index.
func TestIndex(t *testing.T) {
	maildir, dir := t.TempDir(), folder(t)
	for _, name := range []string{"new/1.a", "new/2.b", "cur/3.c:2,S"} {
		if err := os.MkdirAll(filepath.Dir(maildir+"/"+name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(maildir+"/"+name, []byte("Subject: x\n\ny\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x, err := index.New(index.Options{State: dir, Measure: pop3.Measure, Watch: index.WatchNone})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	local := Local{Index: x}
	me := index.ProcessOwner()
	own := Maildir{maildir, &me}
	s := serve(t, dir, local)
	transcript(t.Context(), local, own) // opened, from now on
	want, got := transcript(t.Context(), local, own), transcript(t.Context(), dial(t, dir), own)
	if !reflect.DeepEqual(got, want) || len(got) != 7 || !strings.Contains(got[1], "1.a") {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir + "/control"); err == nil {
		t.Error("the socket is left")
	}
	if _, err := Dial(dir); !errors.Is(err, ErrStopped) {
		t.Errorf("dial after the end: %v", err)
	}
}

// TestRequests has requests beside the status of their answers.
func TestRequests(t *testing.T) {
	dir := folder(t)
	serve(t, dir, &fake{})
	const path = `"L20v/wo="` // /m/\xff\n
	for _, tt := range []struct{ verb, body, want string }{
		{"POST /list", `{}`, "200"},
		{"POST /verify", `{"path":` + path + `}`, "200"},
		{"GET /list", ``, "405"},
		{"POST /frobnicate", `{}`, "404"},
		{"POST /list", ``, "400"},
		{"POST /list", `[]`, "400"},
		{"POST /list", `{"path":` + path + `}`, "400"},
		{"POST /verify", `{}`, "400"},
		{"POST /verify", `{"path":` + path + `} {}`, "400"},
		{"POST /verify", `{"path":` + path + `,"all":true}`, "400"},
		{"POST /verify", `{"path":"/m"}`, "400"},       // not base64
		{"POST /verify", `{"path":"bQ=="}`, "400"},     // m
		{"POST /verify", `{"path":"L20v"}`, "400"},     // /m/
		{"POST /verify", `{"path":"L20vLi4="}`, "400"}, // /m/..
		{"POST /verify", `{"path":"L20A"}`, "400"},     // /m\x00
		{"POST /verify", `{"path":"` + strings.Repeat("L20v", maxRequest/4) + `"}`, "400"},
	} {
		conn, err := net.Dial("unix", dir+"/control")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", tt.verb, len(tt.body), tt.body)
		b := make([]byte, 4096)
		n, err := conn.Read(b)
		if got, want := string(b[:n]), "HTTP/1.1 "+tt.want; err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s %.60s: got %.200s, %v; want %s", tt.verb, tt.body, got, err, want)
		}
		_ = conn.Close()
	}
}

// TestEnds: work ends with the client's context, with the client, and with the
// server, and who still asks is told.
func TestEnds(t *testing.T) {
	m := Maildir{Path: "/m"}
	for _, tt := range []struct {
		name string
		end  func(*Server, *Client, context.CancelFunc) error
		want error
	}{
		{"the client's context", func(_ *Server, _ *Client, cancel context.CancelFunc) error { cancel(); return nil }, context.Canceled},
		{"the server", func(s *Server, _ *Client, _ context.CancelFunc) error { return s.Close() }, ErrEnded},
	} {
		dir := folder(t)
		f := &fake{block: make(chan struct{}), ended: make(chan error, 1)}
		s := serve(t, dir, f)
		c := dial(t, dir)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error)
		go func() {
			_, err := c.Verify(ctx, m, func(int, int) {})
			done <- err
		}()
		<-f.block
		if err := tt.end(s, c, cancel); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := <-done; !errors.Is(err, tt.want) {
			t.Errorf("%s: the client gets %v", tt.name, err)
		}
		if err := <-f.ended; err == nil {
			t.Errorf("%s: the work goes on", tt.name)
		}
	}
}

// TestAnswers has answers of strange servers beside what is said of them.
func TestAnswers(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\n\r\n"
	for _, tt := range []struct {
		answer string
		want   string
	}{
		{"", ErrEnded.Error()},
		{"HTTP/1.1 200", ErrEnded.Error()},
		{head, ErrEnded.Error()},
		{head + `{"progress":{"done":1,"total":2}}` + "\n", ErrEnded.Error()},
		{head + `{"end":{}}` + "\n", "<nil>"},
		{head + `{"mailbox":{}}` + "\n" + `{"end":{}}` + "\n", errAnswer.Error()},
		{head + `{"end":{"rest":1}}` + "\n", errAnswer.Error()},
		{head + `{"end":{}} 1` + "\n", errAnswer.Error()},
		{head + `{}` + "\n", errAnswer.Error()},
		{head + "nonsense\n", errAnswer.Error()},
		{head + strings.Repeat(" ", maxLine+1) + "\n", errAnswer.Error()},
		{"HTTP/1.1 503 x\r\n\r\nbusy\n", "the server refuses: busy"},
	} {
		dir := folder(t)
		l, err := net.Listen("unix", dir+"/control")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				if n, _ := conn.Read(make([]byte, 4096)); n > 0 {
					_, _ = conn.Write([]byte(tt.answer))
				}
				_ = conn.Close()
			}
		}()
		_, err = dial(t, dir).Verify(t.Context(), Maildir{Path: "/m"}, func(int, int) {})
		if got := fmt.Sprint(err); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%.100q: got %s, want %s", tt.answer, got, tt.want)
		}
		_ = l.Close()
	}
}

// TestSocket: it is for its owner, replaces one that was left behind, and
// nothing else.
func TestSocket(t *testing.T) {
	dir := folder(t)
	path := dir + "/control"
	if _, err := Dial(dir); !errors.Is(err, ErrStopped) {
		t.Errorf("nothing there: %v", err)
	}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	if _, err := Dial(dir); !errors.Is(err, ErrStopped) {
		t.Errorf("left behind: %v", err)
	}
	serve(t, dir, &fake{})
	if _, err := dial(t, dir).List(t.Context()); err != nil {
		t.Error(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}

	dir = folder(t)
	if err := os.WriteFile(dir+"/control", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Serve(dir, &fake{}, nobody{}, nil); err == nil {
		t.Error("a file was replaced")
		_ = s.Close()
	}
}

// TestPeers: others than root and the server's user are refused, even where the
// socket lets them in.
func TestPeers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	dir := folder(t)
	serve(t, dir, &fake{})
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(dir+"/control", 0o666)); err != nil {
		t.Fatal(err)
	}
	answer := make(chan string)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		const nobody = 65534
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); e != 0 {
			answer <- e.Error()
			return
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: dir + "/control"})
		}
		if err == nil {
			_, err = unix.Write(fd, []byte("POST /list HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"))
		}
		b := make([]byte, 4096)
		n := 0
		if err == nil {
			n, err = unix.Read(fd, b)
		}
		answer <- fmt.Sprint(string(b[:max(n, 0)]), err)
	}()
	if got := <-answer; !strings.HasPrefix(got, "HTTP/1.1 403 ") {
		t.Errorf("got %s", got)
	}
}

// TestBusy: there is a limit on requests at the same time.
func TestBusy(t *testing.T) {
	dir := folder(t)
	s := serve(t, dir, &fake{})
	for range maxWorks {
		s.works <- struct{}{}
	}
	c := dial(t, dir)
	if _, err := c.List(t.Context()); err == nil || !strings.Contains(err.Error(), "too many requests") {
		t.Errorf("got %v", err)
	}
	<-s.works
	if _, err := c.List(t.Context()); err != nil {
		t.Error(err)
	}
}

// nobody is logged in there.
type nobody struct{}

func (nobody) Sessions(context.Context) ([]Session, *Connections, error) { return nil, nil, nil }

func (nobody) Metrics(context.Context) ([]byte, error) { return nil, nil }

// counter has figures.
type counter struct {
	nobody
	text []byte
	err  error
}

func (c counter) Metrics(context.Context) ([]byte, error) { return c.text, c.err }

// TestMetrics: a text of any length comes as it is.
func TestMetrics(t *testing.T) {
	for _, octets := range []int{0, 1, piece, piece + 1, 1 << 20} {
		want := counter{text: bytes.Repeat([]byte("a\n\"\xff"), octets/4+1)[:octets]}
		dir := folder(t)
		s, err := Serve(dir, &fake{}, want, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		if got, err := dial(t, dir).Metrics(t.Context()); err != nil || !bytes.Equal(got, want.text) {
			t.Errorf("%d octets: %d, %v", octets, len(got), err)
		}
		_ = s.Close()
	}
	dir := folder(t)
	s, err := Serve(dir, &fake{}, counter{err: errors.New("there are none")}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := dial(t, dir).Metrics(t.Context()); err == nil || err.Error() != "there are none" {
		t.Error(err)
	}
}

// someone is logged in here.
type someone struct {
	nobody
	all []Session
	n   *Connections
}

func (s someone) Sessions(context.Context) ([]Session, *Connections, error) { return s.all, s.n, nil }

func TestSessions(t *testing.T) {
	dir := t.TempDir()
	want := someone{
		all: []Session{{"\xff", "192.0.2.1:40000", "none", time.Unix(1, 0).UTC()}, {"bob", "[::1]:1", "TLS1.3", time.Unix(2, 5).UTC()}},
		n:   &Connections{1, 2, 3, 4, 5},
	}
	s, err := Serve(dir, &fake{}, want, func(err error) { t.Errorf("fault: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, n, err := c.Sessions(t.Context())
	if err != nil || !reflect.DeepEqual(all, want.all) || !reflect.DeepEqual(n, want.n) {
		t.Errorf("got %+v, %+v, %v", all, n, err)
	}
}
