package index

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-maildir"
)

// newIndex makes an index in a state folder of its own, or in one given.
func newIndex(t testing.TB, o Options) *Index {
	t.Helper()
	if o.Measure == nil {
		o.Measure = measure
	}
	if o.State == "" {
		o.State = t.TempDir()
	}
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

// listing is everything that a login sees, a line for each message.
func listing(t testing.TB, x *Index, dir string) []string {
	t.Helper()
	m, err := x.Open(t.Context(), dir, "alice", self)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	lines := []string{}
	var sum int64
	for i := range m.Len() {
		g := m.Message(i)
		lines = append(lines, fmt.Sprintf("%s %d %d", g.UIDL, g.Bytes, g.Octets))
		sum += g.Octets
	}
	if sum != m.Octets() {
		t.Errorf("the sum of the octets is %d, and is said to be %d", sum, m.Octets())
	}
	checkVersion(t, m, lines)
	return lines
}

// seenVersions has what was listed under each version, by all tests.
var seenVersions sync.Map

// checkVersion checks that a version never stands for two different listings.
func checkVersion(t testing.TB, m *Mailbox, lines []string) {
	t.Helper()
	if m.Version() == 0 && len(lines) == 0 {
		return
	}
	before, seen := seenVersions.LoadOrStore(m.Version(), slices.Clone(lines))
	if m.Version() == 0 || seen && !slices.Equal(before.([]string), lines) {
		t.Errorf("version %d was %.200q, and is %.200q", m.Version(), before, lines)
	}
}

// naive is what a login has to see, from reading everything, with an index that
// knows nothing.
func naive(t testing.TB, o Options, dir string) []string {
	t.Helper()
	if o.Measure == nil {
		o.Measure = measure
	}
	o.State = ""
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return listing(t, x, dir)
}

// writer is another program at work on a Maildir.
type writer struct {
	testing.TB
	dir string
	r   *rand.Rand
}

func (w *writer) files() (all []string) {
	for _, f := range folderNames {
		names, err := os.ReadDir(filepath.Join(w.dir, f))
		if err != nil {
			continue
		}
		for _, n := range names {
			all = append(all, f+"/"+n.Name())
		}
	}
	return all
}

// step does one thing. Files may vanish under it, since others are at work too.
func (w *writer) step() {
	files, n := w.files(), w.r.IntN(10)
	switch {
	case n < 4 || len(files) == 0:
		d, err := maildir.NewDelivery(w.dir)
		if err != nil {
			return // the Maildir is away
		}
		fmt.Fprint(d, strings.Repeat("x\n", w.r.IntN(50)))
		_ = d.Close()
	case n < 6: // flags, or new to cur
		from := files[w.r.IntN(len(files))]
		_, name := filepath.Split(from)
		name, _, _ = strings.Cut(name, ":")
		info := []string{":2,", ":2,S", ":2,RS", "", ":2,FS"}[w.r.IntN(5)]
		_ = os.Rename(filepath.Join(w.dir, from), filepath.Join(w.dir, "cur", name+info))
	case n < 8:
		_ = os.Remove(filepath.Join(w.dir, files[w.r.IntN(len(files))]))
	case n < 9: // somebody sets the directories' times back to what they were
		f := filepath.Join(w.dir, folderNames[w.r.IntN(2)])
		if fi, err := os.Stat(f); err == nil {
			w.deliverAs(fmt.Sprintf("%d.M%dP1.back", w.r.IntN(1e9), w.r.IntN(1e6)))
			_ = os.Chtimes(f, fi.ModTime(), fi.ModTime())
		}
	default: // the Maildir goes away and comes back
		_ = os.Rename(w.dir, w.dir+".away")
		w.deliverTo(w.dir+".away", fmt.Sprintf("%d.M%dP2.away", w.r.IntN(1e9), w.r.IntN(1e6)))
		_ = os.Rename(w.dir+".away", w.dir)
	}
}

func (w *writer) deliverAs(name string) { w.deliverTo(w.dir, name) }

func (w *writer) deliverTo(dir, name string) {
	_ = os.WriteFile(filepath.Join(dir, "new", name), []byte("x\n"), 0o600)
}

// TestProperty: after whatever other programs have done, a login sees what a
// naive scan sees, with and without a watch, through restarts and with the store
// deleted, for every source of UIDLs.
func TestProperty(t *testing.T) {
	for name, o := range map[string]Options{
		"watched":   {},
		"active":    {Watch: WatchActive, Keep: 30 * time.Millisecond},
		"unwatched": {Watch: WatchNone},
		"md5":       {Scheme: SchemeMD5},
		"dovecot":   {},
		"x-uidl":    {XUIDL: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			w := &writer{t, filepath.Join(t.TempDir(), "Maildir"), rand.New(rand.NewPCG(seed, 0))}
			if err := maildir.Dir(w.dir).Init(); err != nil {
				t.Fatal(err)
			}
			o.State, o.Measure = t.TempDir(), measure
			x, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { x.Close() }()
			for round := range 150 {
				for range w.r.IntN(4) {
					w.step()
				}
				if name == "dovecot" && w.r.IntN(10) == 0 {
					w.writeList()
				}
				got, want := listing(t, x, w.dir), naive(t, o, w.dir)
				if !slices.Equal(got, want) {
					m := x.use(w.dir)
					t.Logf("proven %v proof %+v watched %+v retry %v refs %d epoch %d/%d", m.proven, m.proof.dirs, m.watched, m.retry, m.refs, m.epoch, x.epoch.Load())
					now, _ := proofAt(w.dir, false)
					t.Logf("now %+v at %d", now.dirs, time.Now().UnixNano())
					for _, l := range want {
						if !slices.Contains(got, l) {
							t.Log("missing", l)
						}
					}
					t.Fatalf("round %d:\ngot  %q\nwant %q", round, got, want)
				}
				switch w.r.IntN(15) {
				case 0, 1: // a restart, and mail meanwhile
					if err := x.Close(); err != nil {
						t.Fatal(err)
					}
					w.step()
					if w.r.IntN(2) == 0 {
						if err := os.RemoveAll(o.State); err != nil {
							t.Fatal(err)
						}
						_ = os.Mkdir(o.State, 0o700)
					}
					if x, err = New(o); err != nil {
						t.Fatal(err)
					}
				case 2: // a session removes something
					w.removeSome(x)
				}
			}
		})
	}
}

// writeList lists some of the messages as Dovecot does.
func (w *writer) writeList() {
	list := "3 V7 N1000\n"
	for i, f := range w.files() {
		if w.r.IntN(3) > 0 {
			list += fmt.Sprintf("%d :%s\n", i+1, filepath.Base(f))
		}
	}
	path := filepath.Join(w.dir, "dovecot-uidlist")
	_ = os.WriteFile(path+".new", []byte(list), 0o600)
	_ = os.Rename(path+".new", path)
}

func (w *writer) removeSome(x *Index) {
	m, err := x.Open(w.Context(), w.dir, "", self)
	if err != nil {
		w.Fatal(err)
	}
	defer m.Close()
	var some []int
	for i := range m.Len() {
		if w.r.IntN(4) == 0 {
			some = append(some, i)
		}
	}
	if failed, err := m.Commit(w.Context(), some, nil); failed != 0 || err != nil {
		w.Errorf("%d of %d not removed: %v", failed, len(some), err)
	}
}

// TestDeliveryIsVisible: what was delivered before the login began is seen,
// while several programs deliver without pause.
func TestDeliveryIsVisible(t *testing.T) {
	dir := maildirWith(t, nil)
	x := newIndex(t, Options{})
	var delivered sync.Map
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%d.M%dP%d.visible", time.Now().Unix(), i, rand.IntN(1e9))
				tmp := filepath.Join(dir, "tmp", name)
				if os.WriteFile(tmp, []byte("x\n"), 0o600) != nil || os.Rename(tmp, filepath.Join(dir, "new", name)) != nil {
					t.Error("delivery failed")
					return
				}
				delivered.Store(name, true)
				time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
			}
		})
	}
	for range 200 {
		var before []string
		delivered.Range(func(name, _ any) bool { before = append(before, name.(string)); return true })
		m, err := x.Open(t.Context(), dir, "", self)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]bool, m.Len())
		for i := range m.Len() {
			seen[m.Message(i).UIDL] = true
		}
		m.Close()
		for _, name := range before {
			if !seen[name] {
				t.Fatalf("%s was delivered before the login and is not seen", name)
			}
		}
	}
	close(stop)
	writers.Wait()
}
