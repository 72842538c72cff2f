package index

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-maildir"
)

func TestParseName(t *testing.T) {
	for _, tt := range []struct {
		name      string
		unique    string
		sec, usec uint32
	}{
		{"1712345677.M1P2.mx1:2,", "1712345677.M1P2.mx1", 1712345677, 1},
		{"1712345677.M1P2.mx1", "1712345677.M1P2.mx1", 1712345677, 1},
		{"1712345677.V801I2fM123456.mx1:2,S", "1712345677.V801I2fM123456.mx1", 1712345677, 123456},
		{"1712345677.M5P2Q3.mx1,S=20,W=22:2,RS", "1712345677.M5P2Q3.mx1,S=20,W=22", 1712345677, 5},
		{"1712345677.MMM7.mx1", "1712345677.MMM7.mx1", 1712345677, 7},
		{"1712345677.M", "1712345677.M", 1712345677, 0},
		{"1712345677.812.M9", "1712345677.812.M9", 1712345677, 0},
		{"1712345677", "1712345677", 1712345677, 0},
		{"0017.x", "0017.x", 17, 0},
		{"99999999999999999999999.M99999999999999999999999.x", "99999999999999999999999.M99999999999999999999999.x", tooLarge, math.MaxUint32},
		{"18446744073709551615.x", "18446744073709551615.x", tooLarge, 0},
		{"18446744073709551614.x", "18446744073709551614.x", tooLarge, 0},
		{"x17.M3", "x17.M3", noNumber, 3},
		{"-17.x", "-17.x", noNumber, 0},
		{"a:1,exp", "a", noNumber, 0},
		{"a:b:c", "a", noNumber, 0},
		{"a:", "a", noNumber, 0},
		{"a::2,S", "a", noNumber, 0},
		{":a:2,S", "a", noNumber, 0},
		{":", ":", noNumber, 0},
		{"::", "::", noNumber, 0},
		{"\xff\x01 \n:2,", "\xff\x01 \n", noNumber, 0},
	} {
		want := key{nums{tt.sec, tt.usec}, tt.unique}
		if got := parseName(tt.name); got != want {
			t.Errorf("parseName(%q) = %+v, want %+v", tt.name, got, want)
		}
	}
}

// sortedNames is in the order of arrange; each has its own unique name.
var sortedNames = []string{
	"0.x",
	"9.M9.x:2,S",
	"10.1.x",
	"10.2.x:2,",
	"10.M2.b",
	"10.M10.a",
	"10.V1I2M11.a",
	"99999999999999999999999.x",
	"Z",
	"a.M0",
	"\xff",
	"a.M1",
}

func TestArrangeOrder(t *testing.T) {
	for range 20 {
		var places []place
		for i, name := range sortedNames {
			places = append(places, place{name, folder(i % int(folders))})
		}
		rand.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
		places = append(places, places[:3]...)
		var got []string
		for _, c := range arrange(places) {
			got = append(got, c.name)
		}
		if !slices.Equal(got, sortedNames) {
			t.Fatalf("got  %q\nwant %q", got, sortedNames)
		}
	}
}

func TestArrangeNeighbours(t *testing.T) {
	cs := arrange([]place{{"1.a:2,S", folderCur}, {"1.ab", folderNew}, {"1.a", folderNew}, {"1.a:2,", folderCur}, {"1.a", folderCur}, {"1.a", folderNew}})
	want := []place{{"1.a", folderNew}, {"1.a", folderCur}, {"1.a:2,", folderCur}, {"1.a:2,S", folderCur}, {"1.ab", folderNew}}
	var got []place
	for _, c := range cs {
		got = append(got, c.place)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if hits := find(cs, parseName("1.a:2,RS")); len(hits) != 4 {
		t.Errorf("find gives %d candidates, want 4", len(hits))
	}
	for _, name := range []string{"0.a", "1.aa", "1.abc", "2.a"} {
		if hits := find(cs, parseName(name)); len(hits) != 0 {
			t.Errorf("find(%q) gives %v", name, hits)
		}
	}
}

// TestUniqueNameIsKey compares with the key of the Maildir library for names
// that it accepts, which it only does as files in cur.
func TestUniqueNameIsKey(t *testing.T) {
	dir := t.TempDir()
	if err := maildir.Dir(dir).Init(); err != nil {
		t.Fatal(err)
	}
	parts := []string{":", ":2,", ":2,S", ":1,x", "2,", "a", ".b", "\xff", " ", ",S=4"}
	r := rand.New(rand.NewPCG(1, 2))
	names := map[string]bool{strings.Repeat("n", 250) + ":2,S": true}
	for len(names) < 1000 {
		var name strings.Builder
		for range 1 + r.IntN(5) {
			name.WriteString(parts[r.IntN(len(parts))])
		}
		names[name.String()] = true
	}
	for name := range names {
		if err := os.WriteFile(filepath.Join(dir, "cur", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The names refused are an error beside the messages accepted.
	messages, _ := maildir.Dir(dir).Messages()
	if len(messages) < 100 {
		t.Fatalf("the library accepts only %d of %d names", len(messages), len(names))
	}
	for _, msg := range messages {
		name := filepath.Base(msg.Filename())
		if got := uniqueName(name); got != msg.Key() {
			t.Errorf("uniqueName(%q) = %q, the library has %q", name, got, msg.Key())
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, name := range sortedNames {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || strings.ContainsAny(name, "/\x00") {
			t.Skip("no file name")
		}
		k := parseName(name)
		if k.unique == "" || !strings.Contains(name, k.unique) {
			t.Fatalf("unique name %q", k.unique)
		}
		// A message keeps its key when it is moved to cur and flagged.
		if !strings.HasPrefix(name, ":") {
			for _, info := range []string{":2,", ":2,FS", ":1,x"} {
				if moved := parseName(k.unique + info); moved != k {
					t.Fatalf("%+v becomes %+v", k, moved)
				}
			}
		}
		for _, s := range []Scheme{SchemeOwn, SchemeMD5, SchemeCourier} {
			if id := s.uidl(k.unique); !validUIDL(id, maxUIDL) {
				t.Fatalf("scheme %d gives %q", s, id)
			}
		}
		if compareKeys(&k, &k) != 0 {
			t.Fatal("differs from itself")
		}
	})
}

func BenchmarkOrder(b *testing.B) {
	places := make([]place, 100_000)
	for i := range places {
		places[i] = place{fmt.Sprintf("%d.M%dP%d.mx1.example.net:2,S", 1712345677+i/7, i*7919%1_000_000, i), folderCur}
	}
	rand.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
	b.ReportAllocs()
	for b.Loop() {
		arrange(places)
	}
}
