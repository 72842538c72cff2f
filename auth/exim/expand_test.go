package exim

import (
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	for _, tc := range []struct {
		text, home, want string // want begins with "!": what the error names
	}{
		{"$home/Maildir", "", "~/Maildir"},
		{"${home}/Maildir/", "", "~/Maildir"},
		{"$home", "", "~"},
		{"${home}-mail", "", "%h-mail"},
		{"/var/mail/$local_part", "", "/var/mail/%u"},
		{"/var/mail/$local_part_data", "", "/var/mail/%u"},
		{"/var/mail/${local_part_verified}", "", "/var/mail/%u"},
		{"/var/mail/${lc:$local_part}", "", "/var/mail/%u"},
		{"/var/mail/${lc:${local_part}}", "", "/var/mail/%u"},
		{"/srv/$domain/${lc:$domain}/$local_part/Maildir", "", "/srv/%d/%d/%u/Maildir"},
		{"/srv/$home", "", "/srv/%h"},
		{"/srv/100%/$local_part", "", "/srv/100%%/%u"},
		{"/srv/a b/$local_part", "", "/srv/a b/%u"},
		{"$home/Maildir", "/srv/mail/%u", "/srv/mail/%u/Maildir"},
		{"/", "", "/"},

		{"", "", "!path from /"},
		{"Maildir", "", "!path from /"},
		{"$local_part", "", "!path from /"},
		{"~/Maildir", "", `!"~"`},
		{"$home/$local_part_suffix", "", "!$local_part_suffix"},
		{"$homedir/Maildir", "", "!$homedir"},
		{"${home/Maildir", "", `!"${home/Maildir"`},
		{"${lc:$home}/Maildir", "", "!${lc:$home}"},
		{"${lc:Maildir}", "", "!${lc:Maildir}"},
		{"${lc:$local_part/x}", "", "!${lc:$local_part/x}"},
		{"${lc:$", "", "!$"},
		{"/srv/$1", "", "!$1"},
		{"/srv/$", "", "!$"},
		{"/srv/${", "", "!${"},
		{"/srv/{x}", "", `!"{"`},
		{`/srv/\$home`, "", `!"\\"`},
		{"${if exists{$home/mail}{$home/mail}{$home/Maildir}}", "", "!${if exists"},
		{"${lookup{$local_part}lsearch{/etc/boxes}}", "", "!${lookup"},
		{"/var/mail/${substr_0_1:$local_part}/$local_part", "", "!${substr_0_1:"},
	} {
		got, err := template(tc.text, tc.home)
		if fault, ok := strings.CutPrefix(tc.want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("%s: got %q, %v, want an error with %s", tc.text, got, err, fault)
			}
			continue
		}
		if got != tc.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", tc.text, got, err, tc.want)
		}
	}
}

// FuzzTemplate looks for options that are turned into paths that sidepop reads
// otherwise than exim.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"$home/Maildir", "/var/mail/${lc:$local_part}", "/srv/100%/$domain/", "${if exists{/x}{/a}{/b}}", "$"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := template(text, "")
		if err != nil {
			return
		}
		// As the expansions of both, for a user x at y with the home /z.
		exim := text
		for _, v := range []struct{ name, value string }{
			{"lc:$local_part", "x"}, {"lc:${local_part}", "x"}, {"lc:$domain", "y"}, {"lc:${domain}", "y"},
			{"local_part_data", "x"}, {"local_part_verified", "x"}, {"local_part", "x"}, {"domain", "y"}, {"home", "/z"},
		} {
			exim = strings.ReplaceAll(strings.ReplaceAll(exim, "${"+v.name+"}", v.value), "$"+v.name, v.value)
		}
		if rest, ok := strings.CutPrefix(got, "~"); ok {
			got = "/z" + rest
		}
		got = strings.NewReplacer("%u", "x", "%d", "y", "%h", "/z", "%%", "%").Replace(got)
		if trimmed := strings.TrimRight(exim, "/"); trimmed != "" {
			exim = trimmed
		} else {
			exim = "/"
		}
		if !strings.Contains(exim, "$") && got != exim {
			t.Errorf("%q: got %q, want %q", text, got, exim)
		}
	})
}
