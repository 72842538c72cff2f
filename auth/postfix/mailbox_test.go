package postfix

import (
	"errors"
	"strings"
	"testing"
)

// newMailboxes has entries of every kind, good and bad.
func newMailboxes(t *testing.T) *fake {
	f := newFake(t, "virtual_mailbox_maps = texthash:DIR/boxes, pcre:DIR/rules\n"+
		"virtual_uid_maps = texthash:DIR/uids, static:5000\nvirtual_gid_maps = texthash:DIR/gids\n")
	f.write("boxes", `
user@a.example      a/user/
user+ext@a.example  a/ext/
"j s"@a.example     js/
j\ s@a.example      never/
mixed               mixed/
Upper@a.example     never/
local               l/
local+x             lx/
file@a.example      a/file
odd@a.example       //a/.//b/./
up@a.example        ../x/
up2@a.example       a/../x/
up3@a.example       a/..
dots@a.example      ..a/b../...
@cat.example        all/
low@a.example       x/
zero@a.example      x/
word@a.example      x/
big@a.example       x/
nogid@no.example    x/
gid0@a.example      x/
ö@a.example         umlaut/
postmaster@a.example pm/
`)
	f.write("rules", "pat@a.example\tpat/\n@a.example\tnever/\npat\tnever/\n")
	f.write("uids", "user@a.example 1001\nlow@a.example 99\nzero@a.example 0\nword@a.example x1\nbig@a.example 4294967295\n")
	f.write("gids", "@a.example 2001\n@cat.example 2002\nlocal 2003\ngid0@a.example 0\nuser+ext@a.example 2004\n")
	return f
}

func TestMailbox(t *testing.T) {
	f := newMailboxes(t)
	for _, tc := range []struct {
		address  string
		path     string
		maildir  bool
		uid, gid uint32
		key      string
	}{
		{"user@a.example", "/srv/vmail/a/user", true, 1001, 2001, "user@a.example"},
		{"USER@A.EXAMPLE.", "/srv/vmail/a/user", true, 1001, 2001, "user@a.example"},
		{"user+ext@a.example", "/srv/vmail/a/ext", true, 5000, 2004, "user+ext@a.example"},
		{"user+other+ext@a.example", "/srv/vmail/a/user", true, 5000, 2001, "user@a.example"}, // static: has the whole address too
		{`"j s"@a.example`, "/srv/vmail/js", true, 5000, 2001, `"j s"@a.example`},
		{"j s@a.example", "/srv/vmail/js", true, 5000, 2001, `"j s"@a.example`},
		{`"J\ S"@a.example`, "/srv/vmail/js", true, 5000, 2001, `"j s"@a.example`},
		{"local@mx.example.org", "/srv/vmail/l", true, 5000, 2003, "local"},
		{"local+x@local.example", "/srv/vmail/lx", true, 5000, 2003, "local+x"},
		{"local+y@local.example", "/srv/vmail/l", true, 5000, 2003, "local"},
		{"file@a.example", "/srv/vmail/a/file", false, 5000, 2001, "file@a.example"},
		{"odd@a.example", "/srv/vmail/a/b", true, 5000, 2001, "odd@a.example"},
		{"dots@a.example", "/srv/vmail/..a/b../...", false, 5000, 2001, "dots@a.example"},
		{"any+one@cat.example", "/srv/vmail/all", true, 5000, 2002, "@cat.example"},
		{"Ö@a.example", "/srv/vmail/umlaut", true, 5000, 2001, "ö@a.example"},
		{"pat@a.example", "/srv/vmail/pat", true, 5000, 2001, "pat@a.example"},
	} {
		m, err := f.Mailbox(t.Context(), tc.address)
		if err != nil {
			t.Errorf("%s: %v", tc.address, err)
			continue
		}
		if m.Path != tc.path || m.Maildir != tc.maildir || m.UID != tc.uid || m.GID != tc.gid || m.Key != tc.key || m.Map == "" {
			t.Errorf("%s: %+v", tc.address, m)
		}
	}
}

func TestMailboxFails(t *testing.T) {
	f := newMailboxes(t)
	for _, tc := range []struct {
		address string
		is      error
		text    string
	}{
		{"none@a.example", ErrUnknown, `"none@a.example" is not in virtual_mailbox_maps`},
		{"local@a.example", ErrUnknown, ""},
		{"upper@a.example", ErrUnknown, ""},
		{"pat+x@a.example", ErrUnknown, ""}, // patterns see whole addresses only
		{"pat@local.example", ErrUnknown, ""},
		{"local", ErrUnknown, "is no address"},
		{"@cat.example", ErrUnknown, "is no address"},
		{`""@cat.example`, ErrUnknown, "is no address"},
		{"user@", ErrUnknown, "is no address"},
		{"user@cat.example..", ErrUnknown, "is no address"},
		{"user@.", ErrUnknown, "is no address"},
		{"", ErrUnknown, "is no address"},
		{"user\n@cat.example", ErrUnknown, "is no address"},
		{"user\x00@cat.example", ErrUnknown, "is no address"},
		{"\xff@cat.example", ErrUnknown, "is no address"},
		{strings.Repeat("x", 600) + "@cat.example", ErrUnknown, "is no address"},
		{"up@a.example", ErrConfig, `texthash:DIR/boxes: "up@a.example" has the mailbox "../x/"`},
		{"up2@a.example", ErrConfig, "take the .. out"},
		{"up3@a.example", ErrConfig, "take the .. out"},
		{"low@a.example", ErrConfig, `virtual_uid_maps: texthash:DIR/uids: "low@a.example" has 99: Postfix takes nothing below 100`},
		{"zero@a.example", ErrConfig, "below 100"},
		{"word@a.example", ErrConfig, `"word@a.example" has "x1": write a decimal number`},
		{"big@a.example", ErrConfig, "decimal number"},
		{"nogid@no.example", ErrConfig, `virtual_gid_maps: nothing for "nogid@no.example"`},
		{"gid0@a.example", ErrConfig, "virtual_gid_maps: texthash:DIR/gids: \"gid0@a.example\" has 0: Postfix takes nothing below 1"},
	} {
		m, err := f.Mailbox(t.Context(), tc.address)
		if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), strings.ReplaceAll(tc.text, "DIR", f.dir)) {
			t.Errorf("%.30q: %+v %v", tc.address, m, err)
		}
	}
}

// What is wrong for every address.
func TestMailboxConfig(t *testing.T) {
	for main, text := range map[string]string{
		"virtual_mailbox_base =\n":                                           "virtual_mailbox_base = : make it an absolute path",
		"virtual_mailbox_base = vmail\n":                                     "virtual_mailbox_base = vmail: make it",
		"virtual_mailbox_maps = plain\n":                                     "virtual_mailbox_maps: ",
		"virtual_mailbox_maps = tcp:x:1\n":                                   "no tcp table here",
		"virtual_mailbox_maps = static:x\nvirtual_uid_maps =\n":              "virtual_uid_maps: nothing for",
		"virtual_mailbox_maps = pcre:{{/(.*)@/ $1/}}\n":                      "made from what the pattern matched",
		"virtual_mailbox_maps = pcre:{{/x/ y/} {/a/!/b/ $(1)}}\n":            "made from what the pattern matched",
		"virtual_mailbox_maps = static:x\nvirtual_uid_maps = inline:{x=1 }}": "virtual_uid_maps: ",
	} {
		f := newFake(t, main)
		if m, err := f.Mailbox(t.Context(), "a@b.example"); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %+v %v", main, m, err)
		}
	}
}

func TestStrip(t *testing.T) {
	for _, tc := range []struct{ delimiters, local, bare string }{
		{"", "a+b", ""},
		{"+", "a+b", "a"},
		{"+", "a-b", ""},
		{"+-", "a-b+c", "a"},
		{"+-", "a+b-c", "a"},
		{"-+", "a+b-c", "a"},
		{"+", "+a", ""},
		{"+", "+a+b", ""},
		{"+", "a+", "a"},
		{"+", "a", ""},
		{"-", "mailer-daemon", ""},
		{"-", "mailer-daemon-x", "mailer"},
		{"t", "postmaster", ""},
		{"-", "double-bounce", ""},
		{"-", "owner-list", ""},
		{"+", "owner-list", ""},
		{"+-", "owner-list+x", ""},
		{"+", "owner-list+x", "owner-list"},
		{"-", "list-request", ""},
		{"-", "-request", ""},
		{"-", "x-y-request", ""},
		{"-", "list-requests", "list"},
		{"+-", "a+x-request", ""},
	} {
		f := newFake(t, "recipient_delimiter = "+tc.delimiters+"\n")
		bare, ok := f.config.Load().strip(tc.local)
		if bare != tc.bare || ok != (tc.bare != "") {
			t.Errorf("%q in %q: %q %v", tc.delimiters, tc.local, bare, ok)
		}
	}
	f := newFake(t, "recipient_delimiter = -\nowner_request_special = no\ndouble_bounce_sender = dbl-x\n")
	for local, want := range map[string]string{"owner-list": "owner", "list-request": "list", "double-bounce": "double", "dbl-x": ""} {
		if bare, _ := f.config.Load().strip(local); bare != want {
			t.Errorf("%q: %q", local, bare)
		}
	}
}

func TestQuote(t *testing.T) {
	for local, want := range map[string]string{
		"a": "a", "a.b": "a.b", "a+b": "a+b", "ö": "ö", "a!#$%&'*/=?^_`{|}~": "a!#$%&'*/=?^_`{|}~",
		"": `""`, ".a": `".a"`, "a.": `"a."`, "a..b": `"a..b"`, "a b": `"a b"`, "a@b": `"a@b"`,
		`a"b`: `"a\"b"`, `a\b`: `"a\\b"`, "a(b)": `"a(b)"`, "[a]": `"[a]"`, "a,b;c:d<e>": `"a,b;c:d<e>"`,
	} {
		if got := quote(local); got != want {
			t.Errorf("%q: %q, want %q", local, got, want)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"user@a.example", `"a b"@x`, `"a\"b"@x`, "a+b@c", "a@b@c", "@", `"`, `"a"b@c`, "Ö@x", "ß@x.", `\@x`} {
		f.Add(s)
	}
	instance := newFake(f, "")
	c := instance.config.Load()
	f.Fuzz(func(t *testing.T, s string) {
		a, ok := c.parseAddress(s)
		if !ok {
			return
		}
		if a.local == "" {
			t.Errorf("%q: empty local part", s)
		}
		if bare, ok := c.strip(a.local); ok && (bare == "" || !strings.HasPrefix(a.local, bare) || strings.Contains(bare, "+")) {
			t.Errorf("%q: stripped to %q", s, bare)
		}
		// The quoted form says the same.
		if a.domain == "" || strings.Contains(a.domain, "@") || !usable(quote(a.local)+"@"+a.domain) {
			return
		}
		if again, ok := c.parseAddress(quote(a.local) + "@" + a.domain); !ok || again != a && c.fold(again.String()) != c.fold(a.String()) {
			t.Errorf("%q: %+v, quoted %q: %+v %v", s, a, quote(a.local), again, ok)
		}
	})
}
