package postfix

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestOpenFails(t *testing.T) {
	f := newFake(t, "")
	commands := filepath.Dir(f.dir)
	if _, err := Open(t.Context(), Options{Commands: t.TempDir()}); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "no post") {
		t.Errorf("without tools: %v", err)
	}
	for name, tc := range map[string]struct {
		main, text string
		is         error
	}{
		"refused":      {"broken\n", "main.cf, line 1: broken", ErrConfig},
		"not Postfix":  {"", "does not say what mail_version is", ErrConfig},
		"no number":    {fakeMain + "virtual_minimum_uid = many\n", "virtual_minimum_uid = many: not a number", ErrConfig},
		"negation":     {fakeMain + "mydestination = a, !\n", "mydestination: nothing stands after a !", ErrConfig},
		"two of these": {fakeMain + "virtual_mailbox_domains = !!\n", "virtual_mailbox_domains: nothing stands", ErrConfig},
	} {
		f.write("main.cf", tc.main)
		_, err := Open(t.Context(), Options{Commands: commands, ConfigDir: f.dir})
		if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.write("main.cf", fakeMain)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Options{Commands: commands}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	p, err := Open(t.Context(), Options{Commands: commands})
	if err != nil || p.ConfigDir() != f.dir || p.Version() != "3.7.11" {
		t.Errorf("default instance: %+v %v", p, err)
	}
}

// main.cf is read when it changes, and only then.
func TestConfigChanges(t *testing.T) {
	t.Parallel()
	f := newFake(t, "virtual_mailbox_domains = one.example\n")
	ask := func(domain string) bool {
		t.Helper()
		is, err := f.VirtualDomain(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	settle()
	ask("one.example")
	f.runs("conf")
	for range 5 {
		if !ask("one.example") || ask("two.example") {
			t.Fatal("wrong before the change")
		}
	}
	if n := f.runs("conf"); n != 0 {
		t.Errorf("postconf ran %d times without a change", n)
	}
	for range 3 {
		for _, domains := range [][2]string{{"two", "one"}, {"one", "two"}} {
			f.write("main.cf", fakeMain+"virtual_mailbox_domains = "+domains[0]+".example\n")
			if !ask(domains[0]+".example") || ask(domains[1]+".example") {
				t.Fatal("wrong after the change")
			}
		}
	}
	f.write("main.cf", fakeMain+"broken\n")
	if _, err := f.VirtualDomain(t.Context(), "one.example"); !errors.Is(err, ErrConfig) {
		t.Errorf("broken main.cf: %v", err)
	}
	if f.Version() != "3.7.11" || f.Local().Template != "/var/mail/%u" {
		t.Errorf("what was known is forgotten: %q %+v", f.Version(), f.Local())
	}
	f.write("main.cf", fakeMain+"virtual_mailbox_domains = one.example\n")
	if !ask("one.example") {
		t.Error("main.cf is mended, but not read")
	}
}

func TestFiles(t *testing.T) {
	f := newFake(t, `myorigin = DIR/mailname
mydestination = DIR/domains, lmdb:DIR/dest
virtual_mailbox_domains = texthash:DIR/vdomains
virtual_mailbox_maps = hash:DIR/boxes, unionmap:{pcre:DIR/boxes.pcre, proxy:texthash:DIR/boxes.txt}, btree:DIR/none
virtual_uid_maps = mysql:DIR/uid.cf
virtual_gid_maps = sqlite:DIR/gid.cf, static:1
`)
	f.write("gid.cf", "dbpath = "+f.dir+"/gid.db\nquery = x\n")
	// The table was opened, in vain, before its file was there.
	f.write("main.cf", strings.Replace(string(must(os.ReadFile(filepath.Join(f.dir, "main.cf")))), "gid.cf", "./gid.cf", 1))
	for _, name := range []string{"master.cf", "mailname", "dest.lmdb", "vdomains", "boxes", "boxes.db",
		"boxes.pcre", "boxes.txt", "uid.cf", "gid.db", "more", "passwords.cdb"} {
		f.write(name, "")
	}
	f.write("domains", f.dir+"/more\n")
	if _, err := f.Table("cdb:" + f.dir + "/passwords"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, file := range f.Files() {
		got = append(got, strings.TrimPrefix(file, f.dir+"/"))
	}
	want := []string{"./gid.cf", "boxes.db", "boxes.pcre", "boxes.txt", "dest.lmdb", "domains", "gid.db", "mailname",
		"main.cf", "master.cf", "more", "passwords.cdb", "uid.cf", "vdomains"}
	if !slices.Equal(got, want) {
		t.Errorf("\n%q, want\n%q", got, want)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestLocal(t *testing.T) {
	for _, tc := range []struct {
		main string
		want Delivery
	}{
		{"", Delivery{Template: "/var/mail/%u", Setting: "mail_spool_directory = /var/mail"}},
		{"home_mailbox = Maildir/\n", Delivery{Template: "~/Maildir", Maildir: true, Setting: "home_mailbox = Maildir/"}},
		{"home_mailbox = mail//50%/./in/\n", Delivery{Template: "~/mail/50%%/in", Maildir: true, Setting: "home_mailbox = mail//50%/./in/"}},
		{"home_mailbox = Mailbox\n", Delivery{Template: "~/Mailbox", Setting: "home_mailbox = Mailbox"}},
		{"home_mailbox = /\n", Delivery{Template: "~/", Maildir: true, Setting: "home_mailbox = /"}},
		{"mail_spool_directory = /var/100%/\n", Delivery{Template: "/var/100%%/%u", Maildir: true, Setting: "mail_spool_directory = /var/100%/"}},
		{"mail_spool_directory = /\n", Delivery{Template: "/%u", Maildir: true, Setting: "mail_spool_directory = /"}},
		// A Maildir in the spool comes before a file at home.
		{"home_mailbox = Mailbox\nmail_spool_directory = /m/\n", Delivery{Template: "/m/%u", Maildir: true, Setting: "mail_spool_directory = /m/"}},
		{"home_mailbox = Maildir/\nmail_spool_directory = /m/\n", Delivery{Template: "~/Maildir", Maildir: true, Setting: "home_mailbox = Maildir/"}},
		{"mailbox_command = /usr/bin/procmail -a \"$EXTENSION\"\nmailbox_transport = lmtp:unix:x\nmailbox_command_maps = hash:/c\nmailbox_transport_maps = hash:/t\nlocal_transport = lmtp:unix:y\n",
			Delivery{Template: "/var/mail/%u", Setting: "mail_spool_directory = /var/mail", Others: []string{
				"local_transport = lmtp:unix:y", "mailbox_transport_maps = hash:/t", "mailbox_transport = lmtp:unix:x",
				"mailbox_command_maps = hash:/c", "mailbox_command = /usr/bin/procmail -a \"$EXTENSION\""}}},
	} {
		f := newFake(t, tc.main)
		got := f.Local()
		tc.want.File = f.dir + "/main.cf"
		if got.Template != tc.want.Template || got.Maildir != tc.want.Maildir || got.Setting != tc.want.Setting ||
			got.File != tc.want.File || !slices.Equal(got.Others, tc.want.Others) {
			t.Errorf("%q:\n%+v, want\n%+v", tc.main, got, tc.want)
		}
	}
}
