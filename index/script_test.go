package index

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestScripts runs testdata/watch/*.txt with every choice of Options.Watch. Each
// has operations of other programs, one a line, in a folder of its own, and what
// a login to the Maildir M sees. Besides the operations of script.do there are
//
//	option NAME VALUE     before all else: scheme, xuidl, markseen
//	login [UIDL=BYTES...] a login sees these messages, in this order, and
//	                      what reading everything anew gives; each can be read
//	fails TEXT            a login fails with an error that has TEXT in it
//	sync                  waits until the index has dealt with all events
//	indexed [UNIQUE...]   the index has these messages, without a login. Not
//	                      asked where nothing is watched.
//	counted N             so many messages were counted since the last time this
//	                      was asked, by the index. Not asked where nothing is watched.
//	told TEXT             a file was skipped since the last time, for that reason
//	settle                waits until a change of the folders can be told from
//	                      those before
//	commit UIDL...        a session removes them
//	seen UIDL...          a session marks them as seen
//	stop, start           the index
//	forget                the store, while the index is stopped
//	sweep                 lets the mailboxes out of memory
//
// Scripts named user-*.txt are run by a process without privileges.
func TestScripts(t *testing.T) {
	all, err := filepath.Glob("testdata/watch/*.txt")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d scripts, error %v", len(all), err)
	}
	unprivileged := os.Getuid() == 0
	for _, file := range all {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if strings.HasPrefix(name, "user-") && unprivileged {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for mode, watch := range map[string]Watch{"all": WatchAll, "active": WatchActive, "none": WatchNone} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				runScript(t, string(text), watch)
			})
		}
	}
	if unprivileged {
		t.Run("user", runScriptsAsUser)
	}
}

// runScriptsAsUser runs the scripts that need it as nobody, by a copy of this
// binary that nobody can reach.
func runScriptsAsUser(t *testing.T) {
	dir, err := os.MkdirTemp("", "index-user")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	exe := filepath.Join(dir, "index.test")
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(exe, b, 0o755), os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "tmp"), 0o700),
		os.Lchown(filepath.Join(dir, "tmp"), nobody, nobody), os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS("testdata")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(exe, "-test.run=^TestScripts$/^user-", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+filepath.Join(dir, "tmp"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestScripts/user-") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// words are what a line consists of.
var words = regexp.MustCompile(`"[^"]*"|\S+`)

func runScript(t *testing.T, text string, watch Watch) {
	s := &script{T: t, root: home(t, self), o: Options{As: as(), State: t.TempDir(), Watch: watch, CommitDelay: time.Millisecond}}
	s.o.Events = told{skipped: func(path, reason string) { s.skipped <- filepath.Base(path) + ": " + reason }}
	s.o.Measure = s.measured.measure
	s.skipped = make(chan string, 1000)
	defer func() {
		if s.x != nil {
			s.x.Close()
		}
	}()
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		args := words.FindAllString(line, -1)
		for j, arg := range args {
			args[j] = strings.Trim(arg, `"`)
		}
		if len(args) > 0 {
			s.line = i + 1
			s.run(args)
		}
	}
}

type script struct {
	*testing.T
	root     string
	line     int
	o        Options
	x        *Index // nil before the first operation, and while it is stopped
	begun    bool
	measured counter32
	asked    int32 // of measured
	skipped  chan string
}

func (s *script) path(name string) string { return filepath.Join(s.root, name) }

func (s *script) fatal(format string, args ...any) {
	s.Helper()
	s.Fatalf("line %d: %s", s.line, fmt.Sprintf(format, args...))
}

func (s *script) check(err error) {
	s.Helper()
	if err != nil {
		s.fatal("%v", err)
	}
}

func (s *script) run(args []string) {
	s.Helper()
	verb, args := args[0], args[1:]
	if verb == "option" {
		s.option(args[0], args[1])
		return
	}
	if !s.begun {
		s.begun = true
		s.start()
	}
	verbs := map[string]func(args []string){
		"start":   func([]string) { s.start() },
		"stop":    func([]string) { s.check(s.x.Close()); s.x = nil },
		"forget":  func([]string) { s.check(errors.Join(os.RemoveAll(s.o.State), os.Mkdir(s.o.State, 0o700))) },
		"sweep":   func([]string) { s.check(s.x.store.Flush()); s.x.sweep(time.Now().Add(time.Hour)) },
		"settle":  func([]string) { s.check(acting(self, func() error { age(s, s.path("M")); return nil })) },
		"sync":    func([]string) { s.sync() },
		"login":   s.login,
		"fails":   s.fails,
		"indexed": s.indexed,
		"counted": s.counted,
		"told":    s.told,
		"commit":  func(args []string) { s.commit(args, nil) },
		"seen":    func(args []string) { s.commit(nil, args) },
	}
	if do := verbs[verb]; do != nil {
		do(args)
		return
	}
	s.check(acting(self, func() error { return s.do(verb, args) }))
}

func (s *script) option(name, value string) {
	switch name {
	case "scheme":
		s.o.Scheme = map[string]Scheme{"md5": SchemeMD5, "courier": SchemeCourier}[value]
	case "xuidl":
		s.o.XUIDL = value == "on"
	case "markseen":
		s.o.MarkSeen = value == "on"
	default:
		s.fatal("no option %s", name)
	}
}

func (s *script) start() {
	var err error
	s.x, err = New(s.o)
	s.check(err)
}

// watched says whether events keep the mailbox current.
func (s *script) watched() bool { return s.o.Watch != WatchNone }

// sync waits until all events were told and nobody is at work.
func (s *script) sync() {
	if !s.watched() {
		return
	}
	s.check(s.x.watch.Sync(s.Context()))
	eventually(s, fmt.Sprintf("line %d: the index has dealt with all events", s.line), func() bool {
		s.x.mu.Lock()
		defer s.x.mu.Unlock()
		for _, m := range s.x.mailboxes {
			if m.refs > 0 {
				return false
			}
		}
		return len(s.x.work) == 0
	})
}

func (s *script) login(want []string) {
	s.Helper()
	m, err := s.x.Open(s.Context(), s.path("M"), "alice", self)
	s.check(err)
	defer m.Close()
	got := []string{}
	for i := range m.Len() {
		g := m.Message(i)
		got = append(got, fmt.Sprintf("%s=%d", g.UIDL, g.Bytes))
		if b := content(s, m, i); int64(len(b)) != g.Bytes || int64(len(b)+strings.Count(b, "\n")) != g.Octets {
			s.fatal("message %s has %d bytes, the login says %d, and %d octets", g.UIDL, len(b), g.Bytes, g.Octets)
		}
	}
	if !slices.Equal(got, want) {
		s.fatal("a login sees %q, want %q", got, want)
	}
	o := s.o
	o.Measure, o.Events, o.Watch = measure, nil, WatchNone
	if got, want := listing(s, s.x, s.path("M")), naive(s, o, s.path("M")); !slices.Equal(got, want) {
		s.fatal("a login sees %q, and reading everything gives %q", got, want)
	}
}

func (s *script) fails(text []string) {
	s.Helper()
	m, err := s.x.Open(s.Context(), s.path("M"), "alice", self)
	if err == nil {
		m.Close()
		s.fatal("a login sees %d messages and should fail", m.Len())
	}
	if want := strings.Join(text, " "); !strings.Contains(err.Error(), want) {
		s.fatal("a login fails with %q, not %q", err, want)
	}
}

func (s *script) indexed(want []string) {
	s.Helper()
	if !s.watched() {
		return
	}
	m := s.x.use(s.path("M"))
	defer s.x.release(m)
	s.check(m.lock(s.Context()))
	defer m.unlock()
	got := []string{}
	for _, e := range m.list {
		got = append(got, e.unique)
	}
	if !slices.Equal(got, want) {
		s.fatal("the index has %q, want %q", got, want)
	}
}

func (s *script) counted(args []string) {
	s.Helper()
	n := s.measured.n.Load()
	if got := fmt.Sprint(n - s.asked); s.watched() && got != args[0] {
		s.fatal("%s messages were counted, want %s", got, args[0])
	}
	s.asked = n
}

func (s *script) told(want []string) {
	s.Helper()
	select {
	case got := <-s.skipped:
		if got != strings.Join(want, " ") {
			s.fatal("told %q, want %q", got, strings.Join(want, " "))
		}
	default:
		s.fatal("nothing was told, want %q", strings.Join(want, " "))
	}
}

func (s *script) commit(remove, seen []string) {
	s.Helper()
	m, err := s.x.Open(s.Context(), s.path("M"), "alice", self)
	s.check(err)
	defer m.Close()
	numbers := func(ids []string) (all []int) {
		for _, id := range ids {
			i := slices.Index(uidls(m), id)
			if i < 0 {
				s.fatal("there is no message %s among %q", id, uidls(m))
			}
			all = append(all, i)
		}
		return all
	}
	failed, err := m.Commit(s.Context(), numbers(remove), numbers(seen))
	if failed != 0 || err != nil {
		s.fatal("%d not removed: %v", failed, err)
	}
}

// text is what the operations write: so many bytes in lines.
func text(arg string) []byte {
	n := must(strconv.Atoi(arg))
	return []byte(strings.Repeat("line\n", n/5+1)[:n])
}

// do is the operations of other programs.
func (s *script) do(verb string, args []string) error {
	path := s.path(args[0])
	other := func() string { return s.path(args[1]) }
	switch verb {
	case "maildir": // DIR
		return errors.Join(os.MkdirAll(path+"/tmp", 0o700), os.MkdirAll(path+"/new", 0o700), os.MkdirAll(path+"/cur", 0o700))
	case "deliver": // DIR NAME BYTES: into tmp, then to new
		tmp := filepath.Join(path, "tmp", args[1])
		return errors.Join(os.WriteFile(tmp, text(args[2]), 0o600), os.Rename(tmp, filepath.Join(path, "new", args[1])))
	case "write": // FILE BYTES: in place, made anew if needed
		return os.WriteFile(path, text(args[1]), 0o600)
	case "list": // FILE LINE...: for the lists of other servers, replaced as a whole
		return errors.Join(os.WriteFile(path+".new", []byte(strings.Join(args[1:], "\n")+"\n"), 0o600), os.Rename(path+".new", path))
	case "mv": // as rename(2)
		return unix.Rename(path, other())
	case "swap":
		return unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, other(), unix.RENAME_EXCHANGE)
	case "link":
		return os.Link(path, other())
	case "symlink": // FILE TARGET
		return os.Symlink(args[1], path)
	case "fifo":
		return unix.Mkfifo(path, 0o600)
	case "rm":
		return os.Remove(path)
	case "rmtree":
		return os.RemoveAll(path)
	case "mkdir":
		return os.Mkdir(path, 0o700)
	case "chmod": // FILE MODE
		return unix.Chmod(path, uint32(must(strconv.ParseUint(args[1], 8, 32))))
	case "old": // DIR: its times are set back, as to hide a change
		return os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0))
	}
	return fmt.Errorf("unknown operation %s", verb)
}
