package exim

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// debianOthers are what precedes local_user on Debian, with neither procmail nor
// maildrop there.
var debianOthers = []string{
	"router system_aliases: data = ${lookup{$local_part}lsearch{/etc/aliases}}",
	"router userforward: file = $home/.forward (require_files = $local_part_data:$home/.forward)",
	"router lowuid_aliases: data = ${if exists{/etc/exim4/lowuid-aliases}{${lookup{$local_part}lsearch{/etc/exim4/lowuid-aliases}{$value}{:fail: no mail... " +
		"(condition = ${if and{{! match_ip{$sender_host_address}{:@[]}}{<{$local_user_uid}{0}}}{1}{0}})",
}

// TestDebian reads what Debian makes of each dc_localdelivery.
func TestDebian(t *testing.T) {
	for _, tc := range []struct {
		transport string
		want      Delivery
	}{
		{"mail_spool", Delivery{Template: "/var/mail/%u",
			Setting: "transport mail_spool (router local_user): file = /var/mail/$local_part_data"}},
		{"maildir_home", Delivery{Template: "~/Maildir", Maildir: true,
			Setting: "transport maildir_home (router local_user): directory = $home/Maildir, maildir_format"}},
		{"procmail_pipe", Delivery{
			Setting: "transport procmail_pipe (router local_user): command = /usr/bin/procmail"}},
		{"maildrop_pipe", Delivery{
			Setting: "transport maildrop_pipe (router local_user): command = /usr/bin/maildrop"}},
	} {
		t.Run(tc.transport, func(t *testing.T) {
			f := newFake(t)
			f.substitute("routers", "transport = mail_spool", "transport = "+tc.transport)
			f.substitute("routers", "/usr/bin/procmail", f.path("none"))
			f.substitute("routers", "/usr/bin/maildrop", f.path("none"))
			tc.want.File, tc.want.Others = f.path("config"), debianOthers
			checkDelivery(t, f.open().Local(), tc.want)
		})
	}
}

func checkDelivery(t *testing.T, got, want Delivery) {
	t.Helper()
	if got.Template != want.Template || got.Maildir != want.Maildir || got.Setting != want.Setting || got.File != want.File {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !slices.Equal(got.Others, want.Others) {
		t.Errorf("others: got\n%s\nwant\n%s", strings.Join(got.Others, "\n"), strings.Join(want.Others, "\n"))
	}
}

// TestDebianSatellite: all mail goes to another machine.
func TestDebianSatellite(t *testing.T) {
	f := newFake(t)
	content, err := os.ReadFile("testdata/routers-satellite")
	if err != nil {
		t.Fatal(err)
	}
	f.write("routers", string(content))
	e := f.open()
	checkDelivery(t, e.Local(), Delivery{
		Setting: "router hub_user: data = ${local_part}@hub.test",
		File:    f.path("config"),
		Others:  []string{"router real_local: transport = mail_spool (condition = ${if match_ip{$sender_host_address}{:@[]}{1}{0}}, local_part_prefix = real-)", debianOthers[0]},
	})
}

func TestDebianDelivery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "update-exim4.conf.conf")
	if err := os.WriteFile(path, []byte("# dc_localdelivery='a'\ndc_smarthost=''\n dc_localdelivery='maildir_home'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for transport, want := range map[string]string{"maildir_home": "dc_localdelivery='maildir_home'", "a": "", "maildir": ""} {
		if got, ok := debianDelivery(path, transport); got != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v", transport, got, ok)
		}
	}
	if _, ok := debianDelivery(path+"x", "a"); ok {
		t.Error("found in a file that is not there")
	}
}

// local is a router that delivers to all system users.
const local = "local router:\ncheck_local_user\ndriver = accept\nmore\ntransport = box\ndomains = +local_domains\n"

const box = "box transport:\ndriver = appendfile\ndirectory = $home/Maildir\nmaildir_format\n"

func TestRoute(t *testing.T) {
	without := func(option string) string { return strings.Replace(local, option+"\n", "", 1) }
	for _, tc := range []struct {
		name, routers, transports string
		want                      Delivery
		domains                   string // the expression for "x", or "!" and what an error names
	}{
		{"one", local, box,
			Delivery{"~/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "", nil},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"none", "", box,
			Delivery{Setting: "no router has check_local_user and a transport"},
			"!no router of /etc/exim.conf delivers"},
		{"checks addresses only", local + "verify_only\n", box,
			Delivery{Setting: "no router has check_local_user and a transport"}, "!no router"},
		{"copies only", local + "unseen\n", box,
			Delivery{Setting: "no router has check_local_user and a transport", Others: []string{"router local: transport = box, a copy"}}, "!no router"},
		{"names left out", local + "local_parts = ! root : !postmaster\n", box,
			Delivery{"~/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "", nil},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"certain names only", local + "local_parts = a : !b\n", box,
			Delivery{"~/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "",
				[]string{"router local, only with local_parts = a : !b"}},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"conditional before unconditional", strings.ReplaceAll(local, "local router", "some router") + "condition = ${if x}\n" + local, box,
			Delivery{"~/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "",
				[]string{"router some: transport = box (condition = ${if x})"}},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"suffix", local + "local_part_suffix = +*\nlocal_part_suffix_optional\n", box,
			Delivery{"~/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "", nil},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"suffix required", local + "local_part_suffix = +*\n", box,
			Delivery{Setting: "no router has check_local_user and a transport", Others: []string{"router local: transport = box (local_part_suffix = +*)"}}, "!no router"},
		{"lmtp", local, "box transport:\ndriver = lmtp\nsocket = /run/lmtp\n",
			Delivery{"", false, "transport box (router local): socket = /run/lmtp", "", nil},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"file a message", local, "box transport:\ndriver = appendfile\ndirectory = $home/mail\nuser = vmail\n",
			Delivery{"~/mail", false, "transport box (router local): directory = $home/mail, user = vmail", "", nil},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"a condition in the path", local, "box transport:\ndriver = appendfile\ndirectory = ${if exists{/x}{/y}{/z}}\nmaildir_format\n",
			Delivery{"", true, "transport box (router local): directory = ${if exists{/x}{/y}{/z}}, maildir_format", "",
				[]string{`transport box: where its mail is cannot be told without exim ("${if exists{/x}{/y}{/z}}" is not understood): ` +
					`set mailbox in sidepop's configuration to that path, such as mailbox = "~/Maildir"`}},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"home of the router", local + "transport_home_directory = /srv/$local_part\n", box,
			Delivery{"/srv/%u/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "", nil},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"home of the transport", local + "transport_home_directory = /srv/$local_part\n", box + "home_directory = /mail/$local_part\n",
			Delivery{"/mail/%u/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "", nil},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"home in terms of itself", local + "transport_home_directory = $home/mail\n", box,
			Delivery{"", true, "transport box (router local): directory = $home/Maildir, maildir_format", "",
				[]string{`transport box: where its mail is cannot be told without exim ($home/mail has $home in it): ` +
					`set mailbox in sidepop's configuration to that path, such as mailbox = "~/Maildir"`}},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
		{"domains written out", strings.Replace(local, "+local_domains", "a.test : !b.test", 1), box,
			Delivery{"~/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "", nil},
			"${if and{{match_domain{x}{a.test : !b.test}}}{yes}{no}}"},
		{"domains looked up", strings.Replace(local, "+local_domains", "${lookup{x}lsearch{/y}}", 1), box,
			Delivery{"~/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "", nil},
			"!router local: domains = ${lookup{x}lsearch{/y}}: give that list a name"},
		{"what others leave", "dns router:\ndriver = dnslookup\ndomains = ! +here\nno_more\n" +
			"more router:\ndriver = dnslookup\ndomains = elsewhere.test\nmore\n" +
			"aliases router:\ndriver = redirect\ndata = ${lookup{$local_part}lsearch{/etc/aliases}}\nmore\n" + without("domains = +local_domains"), box,
			Delivery{"~/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "",
				[]string{"router aliases: data = ${lookup{$local_part}lsearch{/etc/aliases}}"}},
			"${if and{{!match_domain{x}{! +here}}}{yes}{no}}"},
		{"all domains", without("domains = +local_domains"), box,
			Delivery{"~/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "", nil},
			"!set domains = +local_domains"},
		{"another domain's", "virtual router:\ndriver = accept\ndomains = +virtual\ntransport = v\nmore\n" + local, box,
			Delivery{"~/Maildir", true, "transport box (router local): directory = $home/Maildir, maildir_format", "", nil},
			"${if and{{match_domain{x}{+local_domains}}}{yes}{no}}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &state{config: "/etc/exim.conf", routers: parseDrivers(tc.routers), transports: parseDrivers(tc.transports)}
			d, c := s.route()
			tc.want.File = s.config
			checkDelivery(t, d, tc.want)
			if fault, ok := strings.CutPrefix(tc.domains, "!"); ok {
				if !errors.Is(c.fault, ErrConfig) || !strings.Contains(c.fault.Error(), fault) {
					t.Errorf("domains: got %v, want an error with %q", c.fault, fault)
				}
			} else if got := c.expression("x"); got != tc.domains || c.fault != nil {
				t.Errorf("domains: got %s, %v", got, c.fault)
			}
		})
	}
}

func TestSystemFilter(t *testing.T) {
	f := newFake(t)
	f.substitute("main", "system_filter = ", "system_filter = /etc/exim4/filter")
	if got := f.open().Local().Others[0]; got != "system_filter = /etc/exim4/filter" {
		t.Errorf("got %q", got)
	}
}

// TestParseDrivers reads text that looks like something else.
func TestParseDrivers(t *testing.T) {
	got := parseDrivers("\nbefore = 1\n\na router:\ntext = x router:\nodd = a = b\nempty = \nno_flag\nflag\n\nb transport:\ndriver = pipe")
	if len(got) != 2 || got[0].name != "a" || got[1].name != "b" || got[1].text["driver"] != "pipe" {
		t.Fatalf("got %+v", got)
	}
	a := got[0]
	if a.text["text"] != "x router:" || a.text["odd"] != "a = b" || len(a.text) != 2 || !a.set["flag"] || len(a.set) != 1 {
		t.Errorf("got %+v", a)
	}
}
