package auth

import (
	"strings"
	"testing"
	"time"
)

// maxMatchTime is how long one password may take here: the limits mean one
// second on an idle machine, and instrumentation and neighbours slow it down.
const maxMatchTime = 10 * time.Second

func FuzzSecret(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.field)
	}
	for _, c := range malformedFields {
		f.Add(c.field)
	}
	f.Fuzz(func(t *testing.T, field string) {
		s, err := parseSecret(field)
		if err != nil {
			if len(field) > 24 && strings.Contains(err.Error(), field) {
				t.Errorf("the error quotes the field: %v", err)
			}
			return
		}
		begin := time.Now()
		s.match(vectorPassword)
		if s.match("") {
			t.Error("the empty password matches")
		}
		if taken := time.Since(begin); taken > 2*maxMatchTime {
			t.Errorf("two passwords took %v", taken)
		}
		if s.clear != "" && !s.match(s.clear) {
			t.Error("the password itself does not match")
		}
	})
}

func FuzzLine(f *testing.F) {
	for _, line := range []string{
		"", "#", ":", "joe", "joe:{PLAIN}pw", "joe:{PLAIN}pw:1000:1000:Joe:/home/joe:/bin/sh:userdb_mail=maildir:~/Maildir",
		"joe:{PLAIN}pw::::::allow_nets=10.0.0.0/8,::1,local user=jo nologin", "joe:$1$salt$x:19000:0:99999:7:::",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		rec, err := parseLine(line)
		if err != nil {
			return
		}
		account := rec.account
		if account.Name == "" || account.Home != "" && account.Home[0] != '/' {
			t.Errorf("%+v", account)
		}
		if rec.locked == (rec.secret.match != nil) {
			t.Errorf("locked is %v with a secret that says otherwise", rec.locked)
		}
		if mail, err := account.Expand("/mail/%d/%n"); err == nil && (strings.Contains(mail, "/../") || strings.Count(mail, "/") != 3) {
			t.Errorf("%q expands to %q", account.Name, mail)
		}
	})
}

// FuzzTable reads whole files.
func FuzzTable(f *testing.F) {
	f.Add("joe:{PLAIN}pw\n\n# comment\r\njoe:{PLAIN}pw2\nbad\n", "joe")
	f.Fuzz(func(t *testing.T, content, name string) {
		users := parseTable("passwd", content, func(error) {})
		if found, ok := users.find([]string{name}); ok {
			if typed, _, _ := strings.Cut(found.text, ":"); typed != name || found.number < 1 {
				t.Errorf("%q found %q in line %d", name, found.text, found.number)
			}
		}
		for _, text := range users.usable {
			if rec, err := parseLine(text); err != nil || rec.secret.match == nil {
				t.Errorf("%q cannot serve as a decoy: %v", text, err)
			}
		}
	})
}
