package index

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sources are Maildirs, one for each source of UIDLs, with the options that take
// them from there.
var sourceTests = []struct {
	about string
	o     Options
	files map[string]string // beside those of common
	want  []string          // UIDLs that must be among those given
}{
	{about: "own"},
	{about: "odd names", want: []string{digest("3. space"), digest("3." + strings.Repeat("x", 100))}},
	{about: "md5", o: Options{Scheme: SchemeMD5}, want: []string{"900150983cd24fb0d6963f7d28e17f72"}},
	{about: "courier scheme", o: Options{Scheme: SchemeCourier}, want: []string{"3.+2B"}},
	{about: "Dovecot 1", files: map[string]string{"dovecot-uidlist": "1 7 9\n2 4.d:2,S\n5 1.a\n"},
		want: []string{"0000000200000007", "0000000500000007"}},
	{about: "Dovecot 3", files: map[string]string{"dovecot-uidlist": "3 V7 N9 G0\n2 :4.d\n3 Psaved :1.a\n4 P :2.b\n5 O2 Pfirst :5.e\n6 O1 :3.+\n7 :gone\n"},
		want: []string{"0000000600000007", "first", "0000000200000007", "saved", "2.b"}},
	{about: "Courier 0", files: map[string]string{"courierpop3dsizelist": "1.a 1\n3.+ 2\n"}, want: []string{"1.a", "3.+2B"}},
	{about: "Courier 1", files: map[string]string{"courierpop3dsizelist": "/1 9\n1.a 1 4\n3.+ 2 0\n"}, want: []string{"UID4", "3.+2B"}},
	{about: "Courier 2", files: map[string]string{"courierpop3dsizelist": "/2 9 7\n1.a 1 4:7\n4.d:2,S 2 5:0\n"}, want: []string{"UID4-7", "UID5"}},
	{about: "Courier 3", files: map[string]string{"courierpop3dsizelist": "/3 9 7\n1.a 1 4:7:0\n4.d:2,S 2 5:8:1\n"}, want: []string{"UID4-7", "UID5-8"}},
	{about: "X-UIDL", o: Options{XUIDL: true}, want: []string{"header", digest("5.f/0/0")}},
	{about: "X-UIDL and Dovecot", o: Options{XUIDL: true}, files: map[string]string{"dovecot-uidlist": "3 V7 N9\n1 :5.e\n2 Psaved :5.f\n3 :1.a\n"},
		want: []string{"header", "saved", "0000000300000007"}},
	{about: "one UIDL twice", files: map[string]string{"dovecot-uidlist": "3 V7 N9\n1 P2.b :1.a\n2 Psame :4.d\n3 Psame :3.+\n"},
		want: []string{"2.b", "same", digest("2.b/0/0"), digest("3.+/0/0")}},
	{about: "bounded lists", o: Options{ListsBefore: time.Unix(4, 0)}, files: map[string]string{"dovecot-uidlist": "3 V7 N9\n1 :1.a\n2 :4.d\n"},
		want: []string{"0000000100000007", "4.d"}},
	{about: "namesakes", files: map[string]string{"new/4.d": "another", "cur/1.a:2,F": "1, once more"},
		want: []string{"4.d", digest("4.d/1/0"), "1.a", digest("1.a/1/0")}},
}

var commonFiles = map[string]string{
	"new/1.a": "1", "new/2.b": "b\nb\n", "cur/4.d:2,S": "dd\n", "cur/3.+": "plus", "new/3. space": "x", "cur/\xff\xfe:2,": "y",
	"new/3." + strings.Repeat("x", 100): "long", "new/abc": "z\n", "cur/5.e:2,": "X-UIDL: header\n\n", "new/5.f": "X-UIDL: header\n\n",
}

// TestForgottenStore deletes the store between logins, restarts, and lets the
// mailbox out of memory. No client can notice any of that.
func TestForgottenStore(t *testing.T) {
	for _, tt := range sourceTests {
		t.Run(tt.about, func(t *testing.T) {
			all := maps.Clone(commonFiles)
			maps.Copy(all, tt.files)
			dir := maildirWith(t, all)
			tt.o.State, tt.o.Measure = t.TempDir(), measure
			x := newIndex(t, tt.o)
			want := listing(t, x, dir)
			if len(want) < len(commonFiles) {
				t.Fatalf("only %q", want)
			}
			for _, id := range tt.want {
				if !slices.ContainsFunc(want, func(s string) bool { return strings.HasPrefix(s, id+" ") }) {
					t.Fatalf("UIDL %s is not among %q", id, want)
				}
			}
			again := func(about string, before func() error) {
				t.Helper()
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
				if err := before(); err != nil {
					t.Fatal(err)
				}
				x = newIndex(t, tt.o)
				sameListing(t, about, listing(t, x, dir), want)
			}
			nothing := func() error { return nil }
			forget := func() error { return errors.Join(os.RemoveAll(tt.o.State), os.Mkdir(tt.o.State, 0o700)) }
			again("restarted", nothing)
			again("forgotten", forget)
			again("restarted after that", nothing)
			if err := x.store.Flush(); err != nil {
				t.Fatal(err)
			}
			x.sweep(time.Now().Add(time.Hour))
			sameListing(t, "out of memory", listing(t, x, dir), want)
			again("damaged", func() error { return damage(tt.o.State) })

			// A message more, and one less: the others keep theirs.
			sum := len(want)
			if err := os.WriteFile(filepath.Join(dir, "new/1900000000.M1P1.late"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			want = listing(t, x, dir)
			if len(want) != sum+1 {
				t.Errorf("%d messages, want %d", len(want), sum+1)
			}
			again("with one more", nothing)
			again("forgotten with one more", forget)
			if err := os.Remove(filepath.Join(dir, "new/2.b")); err != nil {
				t.Fatal(err)
			}
			want = listing(t, x, dir)
			again("with one less", nothing)
			again("forgotten with one less", forget)
		})
	}
}

// damage overwrites the middle of the store's files.
func damage(state string) error {
	entries, err := os.ReadDir(state)
	if err != nil {
		return err
	}
	done := false
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || !fi.Mode().IsRegular() || fi.Size() < 8192 {
			continue
		}
		f, err := os.OpenFile(filepath.Join(state, e.Name()), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(make([]byte, fi.Size()/2), fi.Size()/4)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		done = true
	}
	if !done {
		return fmt.Errorf("nothing to damage in %s", state)
	}
	return nil
}
