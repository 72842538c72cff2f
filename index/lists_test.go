package index

import (
	"bufio"
	"slices"
	"strings"
	"testing"
)

// parseList collects what a parser makes of a list.
func parseList(parse listParser, list string) ([]listed, *lineReader, error) {
	lines := &lineReader{r: bufio.NewReaderSize(strings.NewReader(list), maxListLine)}
	var all []listed
	err := parse(lines, func(l listed) { all = append(all, l) })
	return all, lines, err
}

type listTest struct {
	about    string
	list     string
	want     []listed
	bad      int
	firstBad int
	err      error
}

func testList(t *testing.T, parse listParser, tests []listTest) {
	for _, tt := range tests {
		got, lines, err := parseList(parse, tt.list)
		if err != tt.err || !slices.Equal(got, tt.want) || lines.bad != tt.bad || lines.firstBad != tt.firstBad {
			t.Errorf("%s:\ngot  %+v, %d bad from line %d, error %v\nwant %+v, %d bad from line %d, error %v",
				tt.about, got, lines.bad, lines.firstBad, err, tt.want, tt.bad, tt.firstBad, tt.err)
		}
	}
}

func TestParseDovecot(t *testing.T) {
	const header = "3 V1795322374 N5 G0123456789abcdef0123456789abcdef\n"
	testList(t, parseDovecot, []listTest{
		{about: "version 3", list: header + "1 :1712345677.M1P2.mx1\n2 S20 W22 :b\n",
			want: []listed{{"1712345677.M1P2.mx1", "000000016b027206", rank{0, 1}, true}, {"b", "000000026b027206", rank{0, 2}, true}}},
		{about: "saved UIDLs", list: header + "1 PUID7-9 :a\n2 P :b\n3 O4 Px:y G12 :c\n",
			want: []listed{{"a", "UID7-9", rank{0, 1}, false}, {"b", "b", rank{0, 2}, false}, {"c", "x:y", rank{4, 3}, false}}},
		{about: "names with flags and spaces", list: header + "1 :a:2,S\n2 : b c\n",
			want: []listed{{"a", "000000016b027206", rank{0, 1}, true}, {" b c", "000000026b027206", rank{0, 2}, true}}},
		{about: "large numbers", list: "3 V4294967295\n4294967295 :a\n",
			want: []listed{{"a", "ffffffffffffffff", rank{0, 4294967295}, true}}},
		{about: "unknown keys", list: "3 N9 X V1 Zed\n1 Zz Ax:y :a\n",
			want: []listed{{"a", "0000000100000001", rank{0, 1}, true}}},
		{about: "no final newline", list: header + "1 :a",
			want: []listed{{"a", "000000016b027206", rank{0, 1}, true}}},
		{about: "UIDs must ascend", list: header + "2 :a\n2 :b\n1 :c\n3 :d\n", bad: 2, firstBad: 3,
			want: []listed{{"a", "000000026b027206", rank{0, 2}, true}, {"d", "000000036b027206", rank{0, 3}, true}}},
		{about: "malformed lines", bad: 14, firstBad: 2, want: []listed{{"z", "000000636b027206", rank{0, 99}, true}},
			list: header + "\n1\n1 \n1 a\n1 :\n1 P\n1  :a\n1 Px\nx :a\n-1 :a\n0 :a\n4294967296 :a\n1 p :a\n1 O :a\n99 :z\n"},
		{about: "a line too long", list: header + "1 :" + strings.Repeat("x", maxListLine) + "\n2 :b\n", bad: 1, firstBad: 2,
			want: []listed{{"b", "000000026b027206", rank{0, 2}, true}}},
		{about: "a last line too long", list: header + "1 :" + strings.Repeat("x", 3*maxListLine), bad: 1, firstBad: 2},
		{about: "version 1", list: "1 1795322374 5\n1 1712345677.M1P2.mx1:2,S\n2 :b\n3 c d\n",
			want: []listed{{"1712345677.M1P2.mx1", "000000016b027206", rank{0, 1}, true}, {"b", "000000026b027206", rank{0, 2}, true}, {"c d", "000000036b027206", rank{0, 3}, true}}},
		{about: "header only", list: header},
		{about: "empty", list: "", err: errHeader},
		{about: "version 2", list: "2 V1 N2\n1 :a\n", err: errHeader},
		{about: "no validity", list: "3 N5\n1 :a\n", err: errHeader},
		{about: "validity 0", list: "3 V0 N5\n1 :a\n", err: errHeader},
		{about: "validity too large", list: "3 V4294967296 N5\n1 :a\n", err: errHeader},
		{about: "version 1 without validity", list: "1 x 5\n1 a\n", err: errHeader},
		{about: "version alone", list: "3\n", err: errHeader},
		{about: "empty first line", list: "\n" + header + "1 :a\n", err: errHeader},
		{about: "header too long", list: strings.Repeat("3", maxListLine+1) + "\n" + header, bad: 1, firstBad: 1, err: errHeader},
	})
}

func TestParseCourier(t *testing.T) {
	testList(t, parseCourier, []listTest{
		{about: "version 3", list: "/3 2 1795322432\n1712345677.M1P2.mx1:2, 23 1:1795322432:0\n",
			want: []listed{{unique: "1712345677.M1P2.mx1", uidl: "UID1-1795322432"}}},
		{about: "each line has its own validity", list: "/3 9 7\na 1 2:5:1\nb 1 3:0:0\nc 1 0:5:0\nd+e:2,S 1 0:0:0\n",
			want: []listed{{unique: "a", uidl: "UID2-5"}, {unique: "b", uidl: "UID3"}, {unique: "c", uidl: "c"}, {unique: "d+e", uidl: "d+2Be"}}},
		{about: "spaces in names", list: "/3 9 7\n a  b:2,S 1 2:5:0\n", want: []listed{{unique: " a  b", uidl: "UID2-5"}}},
		{about: "version 2", list: "/2 2 7\na:2, 23 1:7\n", want: []listed{{unique: "a", uidl: "UID1-7"}}},
		{about: "version 1", list: "/1 3\na:2, 23 1\nb 4 0\n", want: []listed{{unique: "a", uidl: "UID1"}, {unique: "b", uidl: "b"}}},
		{about: "version 0", list: "a:2,S 23\nb c 4\n", want: []listed{{unique: "a", uidl: "a"}, {unique: "b c", uidl: "b+20c"}}},
		{about: "malformed lines", list: "/3 2 7\n\na\na 1\na 1 2\na 1 2:3\na 1 2:3:4:5\na x 2:3:0\na 1 x:3:0\na 1 2:x:0\n 1 2:3:0\na 1 -2:3:0\nz 1 2:3:0\n",
			bad: 11, firstBad: 2, want: []listed{{unique: "z", uidl: "UID2-3"}}},
		{about: "malformed lines of version 0", list: "a\nb x\nc 1\n", bad: 2, firstBad: 1, want: []listed{{unique: "c", uidl: "c"}}},
		{about: "empty", list: ""},
		{about: "unknown version", list: "/4 2 7\na 1 2:3:0\n", err: errHeader},
		{about: "no validity", list: "/3 2\na 1 2:3:0\n", err: errHeader},
		{about: "next is no number", list: "/1 x\na 1 2\n", err: errHeader},
		{about: "slash alone", list: "/\n", err: errHeader},
	})
}

func TestOrders(t *testing.T) {
	ranks := map[string]rank{"9.x": {1, 9}, "7.x": {2, 3}, "5.M10.b": {0, 8}, "8.x": {0, 7}}
	var entries []*entry
	for _, name := range []string{"5.M9.a", "5.M10.b", "7.x", "8.x", "9.x", "none", "0.y"} {
		e := newEntry(candidate{parseName(name), place{name: name}}, SchemeOwn)
		e.rank = ranks[name]
		entries = append(entries, e)
	}
	for _, tt := range []struct {
		order order
		want  []string
	}{
		{orderDelivery, []string{"0.y", "5.M9.a", "5.M10.b", "7.x", "8.x", "9.x", "none"}},
		{orderCourier, []string{"0.y", "none", "5.M10.b", "5.M9.a", "7.x", "8.x", "9.x"}},
		{orderDovecot, []string{"9.x", "7.x", "8.x", "5.M10.b", "0.y", "5.M9.a", "none"}},
	} {
		slices.SortFunc(entries, tt.order.compare)
		var got []string
		for _, e := range entries {
			got = append(got, e.unique)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("order %d: got %q, want %q", tt.order, got, tt.want)
		}
	}
}

func fuzzList(f *testing.F, parse listParser) {
	f.Fuzz(func(t *testing.T, list string) {
		got, lines, err := parseList(parse, list)
		if err != nil && (err != errHeader || len(got) > 0) {
			t.Fatalf("error %v after %d messages", err, len(got))
		}
		if len(got)+lines.bad > lines.number {
			t.Fatalf("%d messages and %d bad lines in %d", len(got), lines.bad, lines.number)
		}
		for _, l := range got {
			if l.unique == "" || uniqueName(l.unique) != l.unique && !strings.HasPrefix(l.unique, ":") {
				t.Fatalf("unique name %q", l.unique)
			}
			if id := usable(l.uidl, l.unique); !validUIDL(id, maxUIDL) {
				t.Fatalf("UIDL %q", id)
			}
		}
	})
}

func FuzzParseDovecot(f *testing.F) { fuzzList(f, parseDovecot) }
func FuzzParseCourier(f *testing.F) { fuzzList(f, parseCourier) }
