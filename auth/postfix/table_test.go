package postfix

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTableRefused(t *testing.T) {
	f := newFake(t, "")
	f.write("substitutes", "/a/ b\n/(x)/\n  is/$1\n")
	f.write("twice", "a x\nA y\n")
	for names, text := range map[string]string{
		"":                                  "no table is named",
		" , ":                               "no table is named",
		"/etc/postfix/pw":                   "write it as type:name, such as hash:/etc/postfix/pw",
		":x":                                "type:name",
		"hash:":                             "type:name",
		"static:x plain":                    "type:name",
		"inline:{}":                         "it has no entry",
		"inline:a=SECRET":                   "braces",
		"unionmap:{inline:a=SECRET}":        "braces",
		"inline:{a=SECRET":                  "braces",
		"inline:{a=SECRET}x":                "braces",
		"inline:{a SECRET}":                 "= is missing",
		"inline:{=SECRET}":                  "a name is missing",
		`inline:{"a=SECRET}`:                "quote",
		"inline:{{a=SECRET}x}":              "braces",
		"static:{x":                         "braces",
		"unionmap:{}":                       "it has no table",
		"unionmap:x":                        "braces",
		"unionmap:{inline:{}}":              "it has no entry",
		"pipemap:{static:x,nothing}":        "type:name",
		"tcp:[::1]:99":                      "takes no tcp table here",
		"proxy:socketmap:unix:/x:y":         "takes no socketmap table here",
		"memcache:/x":                       "takes no memcache table here",
		"regexp:DIR/substitutes":            "line 2: the result is made from what the pattern matched ($1)",
		"pipemap:{pcre:DIR/substitutes}":    "line 2",
		"regexp:{{/(x)/ $1}, {/b/ SECRET}}": "made from what the pattern matched",
		"pcre:{/x/ y":                       "braces",
	} {
		table, err := f.Table(strings.ReplaceAll(names, "DIR", f.dir))
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v %v", names, table, err)
		} else if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("the error shows the table: %v", err)
		}
	}
	table, err := f.Table("texthash:" + f.dir + "/twice")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := table.Lookup(t.Context(), "b"); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "twice: line 2: the key") {
		t.Errorf("a key twice: %v", err)
	}
}

func TestLookup(t *testing.T) {
	f := newFake(t, "")
	f.write("text", "# comment\na@x.example value\n  continued # with no comment\n\nMixed x\n\"q k\"@x  quoted\nÜ@x u\nempty\n")
	f.write("index.db", "a@x.example\tfrom index\nmixed\tm\n")
	f.write("rules", "Mixed\tas it is\n")
	for _, tc := range []struct{ table, key, value string }{
		{"texthash:DIR/text", "a@x.example", "value  continued # with no comment"},
		{"texthash:DIR/text", "A@X.Example", "value  continued # with no comment"},
		{"texthash:DIR/text", "mixed", "x"},
		{"texthash:DIR/text", `"q k"@x`, "quoted"},
		{"texthash:DIR/text", "ü@x", "u"},
		{"texthash:DIR/text", "empty", ""},
		{"texthash:DIR/text", "# comment", ""},
		{"texthash:DIR/text", "continued", ""},
		{"hash:DIR/index", "a@x.example", "from index"},
		{"hash:DIR/index", "MIXED", "m"},
		{"hash:DIR/index", "b", ""},
		{"hash:DIR/index", "warned", ""},
		{"proxy:hash:DIR/index", "mixed", "m"},
		{"proxy:proxy:hash:DIR/index", "mixed", "m"},
		// Patterns say themselves what case means.
		{"regexp:DIR/rules", "Mixed", "as it is"},
		{"regexp:DIR/rules", "mixed", ""},
		{"static:all", "x", "all"},
		{"static:{ with space }", "x", "with space"},
		{"inline:{a=1, {B = 2 and 3} {\"c d\"= 4}}", "a", "1"},
		{"inline:{a=1, {B = 2 and 3} {\"c d\"= 4}}", "b", "2 and 3"},
		{"inline:{a=1, {B = 2 and 3} {\"c d\"= 4}}", `"c d"`, "4"},
		{"inline:{a=1, a=2}", "a", "2"},
		{"inline:{a=1}, hash:DIR/index", "mixed", "m"},
		{"inline:{mixed=1}, hash:DIR/index", "mixed", "1"},
		// What no table can hold is not looked for, even where anything is found.
		{"static:all", "", ""},
		{"static:all", "a\nb", ""},
		{"static:all", "a\x00", ""},
		{"static:all", "a\x7f", ""},
		{"static:all", "\xff", ""},
		{"static:all", strings.Repeat("x", 512), "all"},
		{"static:all", strings.Repeat("x", 513), ""},
		{"hash:DIR/index", "-", ""},
		{"hash:DIR/index", "-v", ""},
	} {
		table, err := f.Table(strings.ReplaceAll(tc.table, "DIR", f.dir))
		if err != nil {
			t.Fatal(err)
		}
		value, ok, err := table.Lookup(t.Context(), tc.key)
		if value != tc.value || ok != (tc.value != "") || err != nil {
			t.Errorf("%s: %.20q: %q %v %v, want %q", tc.table, tc.key, value, ok, err, tc.value)
		}
	}
}

func TestLookupFails(t *testing.T) {
	f := newFake(t, "")
	f.write("index.db", "")
	for _, tc := range []struct {
		table, key string
		is         error
		text       string
	}{
		{"fail:x", "a", ErrTemporary, "fail:x: a table of this type"},
		{"texthash:DIR/none", "a", ErrTemporary, "no such file"},
		{"texthash:DIR", "a", ErrTemporary, "not a regular file"},
		{"hash:DIR/none", "a", ErrTemporary, "fatal: open"},
		{"hash:DIR/index", "crash", ErrTemporary, "segmentation"},
		{"cdb:DIR/index.db", "odd", ErrTemporary, "status 0"},
		{"sdbm:DIR/index.db", "latin1", ErrTemporary, "a value is not UTF-8; postmap: fatal: query error"},
		{"lmdb:DIR/index.db", "empty", ErrConfig, `lmdb:DIR/index.db gives nothing for "empty"`},
		{"inline:{a=}", "a", ErrConfig, "inline:{...} gives nothing"},
		{"unionmap:{static:SECRET, hash:DIR/none}", "a", ErrTemporary, "unionmap:{...}"},
		{"pcre:DIR/none", "a", ErrTemporary, "no such file"},
		{"dbm:DIR/index.db", "noisy", ErrTemporary, "failed with status 1: postmap: fatal: too bad"},
	} {
		table, err := f.Table(strings.ReplaceAll(tc.table, "DIR", f.dir))
		if err != nil {
			t.Fatal(err)
		}
		_, ok, err := table.Lookup(t.Context(), tc.key)
		if ok || !errors.Is(err, tc.is) || !strings.Contains(err.Error(), strings.ReplaceAll(tc.text, "DIR", f.dir)) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v %v", tc.table, ok, err)
		}
	}
}

// What postmap is told is on its standard input, after arguments that do not
// depend on the key.
func TestPostmapArguments(t *testing.T) {
	f := newFake(t, "virtual_mailbox_maps = hash:DIR/index\n")
	f.write("index.db", "a@x\tbox/\n")
	table, err := f.Table("hash:" + f.dir + "/index")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = table.Lookup(t.Context(), "-q A"); err != nil {
		t.Fatal(err)
	}
	if _, err = f.Mailbox(t.Context(), "A@x"); err != nil {
		t.Fatal(err)
	}
	got := string(must(os.ReadFile(f.dir + "/map.runs")))
	want := strings.ReplaceAll("-c DIR -q - -- hash:DIR/index <-q a\n-c DIR -f -q - -- hash:DIR/index <a@x\n", "DIR", f.dir)
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A text table is read when it changes, and when it can be read again.
func TestTextChanges(t *testing.T) {
	f := newFake(t, "")
	path := f.write("text", "a 1\n")
	table := must(f.Table("texthash:" + path))
	for n := range 20 {
		f.write("text", fmt.Sprintf("a %d\n", n))
		if value, _, err := table.Lookup(t.Context(), "a"); value != fmt.Sprint(n) || err != nil {
			t.Fatalf("%d: %q %v", n, value, err)
		}
	}
	if err := os.Rename(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	if value, ok, err := table.Lookup(t.Context(), "a"); ok || !errors.Is(err, ErrTemporary) {
		t.Errorf("without its file: %q %v %v", value, ok, err)
	}
	if err := os.Rename(path+"2", path); err != nil {
		t.Fatal(err)
	}
	if value, _, err := table.Lookup(t.Context(), "a"); value != "19" || err != nil {
		t.Errorf("with its file again: %q %v", value, err)
	}
}

func TestLookupAddress(t *testing.T) {
	f := newFake(t, "")
	f.write("text", "user@a.example 1\nuser+ext@a.example 2\nlocal 3\n@a.example all\n\"j s\"@a.example 4\n")
	table := must(f.Table("texthash:" + f.dir + "/text"))
	for _, tc := range []struct{ address, value, key string }{
		{"USER@a.example", "1", "user@a.example"},
		{"user+ext@a.example", "2", "user+ext@a.example"},
		{"user+other@a.example", "1", "user@a.example"},
		{"j s@a.example", "4", `"j s"@a.example`},
		{`"j s"@a.example`, "4", `"j s"@a.example`},
		{"local@local.example", "3", "local"},
		{"local", "3", "local"},
		{"local+x", "3", "local"},
		{"local@a.example", "", ""},
		{"other@a.example", "", ""}, // not @a.example: that would be anybody's
		{"@a.example", "", ""},
		{"", "", ""},
		{"user@", "", ""},
	} {
		value, key, ok, err := table.LookupAddress(t.Context(), tc.address)
		if value != tc.value || key != tc.key || ok != (tc.key != "") || err != nil {
			t.Errorf("%q: %q %q %v %v", tc.address, value, key, ok, err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	var text strings.Builder
	for n := range 10_000 {
		fmt.Fprintf(&text, "user%d@example.com example.com/user%d/\n", n, n)
	}
	for name, tc := range map[string]struct {
		table string
		cache time.Duration
	}{
		"text":    {"texthash:DIR/text", 0},
		"inline":  {"inline:{user5000@example.com=x}", 0},
		"cached":  {"hash:DIR/index", time.Hour},
		"process": {"hash:DIR/index", -1},
	} {
		b.Run(name, func(b *testing.B) {
			f := newFake(b, "", func(o *Options) { o.CacheTime = tc.cache }) // whose postmap is a script
			f.write("text", text.String())
			f.write("index.db", "user5000@example.com\tbox/\n")
			settle()
			table := must(f.Table(strings.ReplaceAll(tc.table, "DIR", f.dir)))
			for b.Loop() {
				if _, ok, err := table.Lookup(b.Context(), "user5000@example.com"); err != nil || !ok {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
