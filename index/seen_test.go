package index

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// files gives the files of new and cur with their content.
func files(t testing.TB, dir string) []string {
	t.Helper()
	all := []string{}
	for _, f := range folderNames {
		entries, err := os.ReadDir(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, f, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, f+"/"+e.Name()+"="+string(b))
		}
	}
	return all
}

// TestMarkSeen marks the message 1.a, whose file is from, as seen.
func TestMarkSeen(t *testing.T) {
	for _, tt := range []struct {
		about, from string
		beside      string // a file made after the login
		moved       string // what the message is called meanwhile
		off         bool
		want        []string
	}{
		{about: "new", from: "new/1.a", want: []string{"cur/1.a:2,S=1"}},
		{about: "new with flags", from: "new/1.a:2,F", want: []string{"cur/1.a:2,FS=1"}},
		{about: "cur", from: "cur/1.a:2,", want: []string{"cur/1.a:2,S=1"}},
		{about: "cur without info", from: "cur/1.a", want: []string{"cur/1.a:2,S=1"}},
		{about: "in order", from: "cur/1.a:2,DFRT", want: []string{"cur/1.a:2,DFRST=1"}},
		{about: "before all", from: "cur/1.a:2,Tab", want: []string{"cur/1.a:2,STab=1"}},
		{about: "after all", from: "cur/1.a:2,FR", want: []string{"cur/1.a:2,FRS=1"}},
		{about: "out of order already", from: "cur/1.a:2,TF", want: []string{"cur/1.a:2,STF=1"}},
		{about: "seen", from: "cur/1.a:2,RS", want: []string{"cur/1.a:2,RS=1"}},
		{about: "seen in new", from: "new/1.a:2,S", want: []string{"new/1.a:2,S=1"}},
		{about: "another info", from: "cur/1.a:1,exp", want: []string{"cur/1.a:1,exp=1"}},
		{about: "no info at all", from: "cur/1.a:", want: []string{"cur/1.a:=1"}},
		{about: "exim's tag", from: "new/1.a:S=12", want: []string{"new/1.a:S=12=1"}},
		{about: "colons before", from: "cur/::1.a:2,F", want: []string{"cur/::1.a:2,FS=1"}},
		{about: "moved meanwhile", from: "new/1.a", moved: "cur/1.a:2,R", want: []string{"cur/1.a:2,RS=1"}},
		{about: "target is there", from: "new/1.a", beside: "cur/1.a:2,S", want: []string{"new/1.a=1", "cur/1.a:2,S=beside"}},
		{about: "off", from: "new/1.a", off: true, want: []string{"new/1.a=1"}},
	} {
		dir := maildirWith(t, map[string]string{tt.from: "1", "cur/2.b:2,": "2"})
		x := newIndex(t, Options{MarkSeen: !tt.off})
		m, err := x.Open(t.Context(), dir, "", self)
		if err != nil {
			t.Fatal(err)
		}
		if tt.beside != "" {
			if err := os.WriteFile(filepath.Join(dir, tt.beside), []byte("beside"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if tt.moved != "" {
			rename(t, dir, tt.from, tt.moved)
		}
		if failed, err := m.Commit(t.Context(), nil, []int{0}); failed > 0 || err != nil {
			t.Errorf("%s: %d failed, %v", tt.about, failed, err)
		}
		got, want := files(t, dir), append(slices.Clone(tt.want), "cur/2.b:2,=2")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tt.about, got, want)
		}
		// The session can go on, and so can the next one.
		if s := content(t, m, 0); s != "1" {
			t.Errorf("%s: the message holds %q", tt.about, s)
		}
		m.Close()
		sameListing(t, tt.about, listing(t, x, dir), naive(t, Options{}, dir))
	}
}

// TestMarkSeenGone marks messages that are gone, without cur, and without new.
func TestMarkSeenGone(t *testing.T) {
	dir := maildirWith(t, map[string]string{"new/1.a": "1", "new/2.b": "2", "new/3.c": "3"})
	x := newIndex(t, Options{MarkSeen: true})
	if err := os.Remove(filepath.Join(dir, "cur")); err != nil {
		t.Fatal(err)
	}
	m, err := x.Open(t.Context(), dir, "", self)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := os.Remove(filepath.Join(dir, "new/1.a")); err != nil {
		t.Fatal(err)
	}
	if failed, err := m.Commit(t.Context(), []int{1}, []int{0, 1, 2}); failed > 0 || err != nil {
		t.Errorf("%d failed, %v", failed, err)
	}
	checkFile(t, filepath.Join(dir, "new/3.c"), "3")
	if _, err := os.Lstat(filepath.Join(dir, "cur")); err == nil {
		t.Error("cur was made")
	}
	if err := os.Mkdir(filepath.Join(dir, "cur"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, want := listing(t, x, dir), []string{"3.c 1 1"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
}
