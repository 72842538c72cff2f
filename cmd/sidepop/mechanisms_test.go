package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"sidepop/auth"
	"sidepop/cmd/sidepop/internal/config"
	"sidepop/pop3"
)

// keys256 are SCRAM-SHA-256 keys of the password "pencil" (RFC 7677, section 3).
const keys256 = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

// TestOffer: passwords need a secure connection; APOP, CRAM-MD5 and SCRAM secrets
// that they can use, and the operator's word.
func TestOffer(t *testing.T) {
	const plain, keys, hash = "a:{PLAIN}x\n", "b:" + keys256 + "\n", "c:{SHA1}L55TUjtiq8FBorTWAZ0jy6g129A=\n"
	const scram256, scrams = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 ", "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 "
	for _, tt := range []struct {
		users    string
		md5      bool // APOP and CRAM-MD5
		scram    config.SCRAM
		apop     bool
		anywhere string // mechanisms that send no password, those with -PLUS only with TLS
		cram     bool
	}{
		{"", true, config.SCRAMAlways, false, "", false},
		{hash, true, config.SCRAMAlways, false, "", false},
		{plain, false, config.SCRAMAuto, false, scrams, false},
		{plain, true, config.SCRAMAuto, true, scrams, true},
		{plain, true, config.SCRAMNever, true, "", true},
		{keys, true, config.SCRAMAuto, false, scram256, false},
		{keys + plain, true, config.SCRAMAuto, true, scram256, true},
		{keys + plain, true, config.SCRAMAlways, true, scrams, true},
		{keys + plain + hash, true, config.SCRAMAuto, true, "", true},
		{keys + hash, false, config.SCRAMAlways, false, scram256, false},
		{"a:!{PLAIN}x\n" + keys, true, config.SCRAMAuto, false, scram256, false},
	} {
		s := newSite(t, map[string]string{"users": tt.users}, func(c *config.Config) {
			c.Auth.APOP, c.Auth.CRAMMD5, c.Auth.SCRAM, c.Auth.Binding = tt.md5, tt.md5, tt.scram, true
		}, "text")
		for _, secure := range []bool{false, true} {
			want := pop3.Offer{UTF8User: true, APOP: tt.apop, Password: secure}
			names := tt.anywhere
			if secure {
				names += "PLAIN LOGIN "
			} else {
				names = regexp.MustCompile(`\S+-PLUS `).ReplaceAllString(names, "")
			}
			if tt.cram {
				names += "CRAM-MD5"
			}
			if all := strings.Fields(names); len(all) > 0 {
				want.SASL = all
			}
			if got := s.server.Backend.Offer(pop3.Peer{Secure: secure}); !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, secure is %v:\n got %+v\nwant %+v", tt, secure, got, want)
			}
		}
	}
}

// TestChannelBindingIsAChoice: without it there is no -PLUS, and a client that could
// has not been lied to.
func TestChannelBindingIsAChoice(t *testing.T) {
	peer := pop3.Peer{Secure: true, Bindings: []pop3.ChannelBinding{{Type: pop3.BindingExporter, Data: []byte("exported")}}}
	for _, on := range []bool{false, true} {
		s := newSite(t, map[string]string{"users": "a:{PLAIN}pencil\n"}, func(c *config.Config) { c.Auth.Binding = on }, "text")
		if got := slices.Contains(s.server.Backend.Offer(peer).SASL, "SCRAM-SHA-256-PLUS"); got != on {
			t.Errorf("-PLUS is offered: %v, want %v", got, on)
		}
		x, err := s.server.Backend.SASL(t.Context(), peer, "SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := x.Step(t.Context(), []byte("y,,n=a,r=abc")); (err != nil) != on {
			t.Errorf("a client that was not told of -PLUS: %v", err)
		}
	}
}

// What is not offered can't be begun, whoever asks.
func TestOnlyWhatIsOffered(t *testing.T) {
	s := newSite(t, map[string]string{"users": "a:" + keys256 + "\n"}, nil, "text")
	for name, secure := range map[string]bool{"PLAIN": false, "LOGIN": false, "CRAM-MD5": true, "SCRAM-SHA-1": true, "plain": true, "": true, "EXTERNAL": true} {
		if x, err := s.server.Backend.SASL(t.Context(), pop3.Peer{Secure: secure}, name); x != nil || err == nil {
			t.Errorf("%q begins: %v", name, err)
		}
	}
}

// authenticate goes through an exchange, and gives the last line of the server.
func (c *client) authenticate(command string, answer func(challenge string) string) string {
	c.Helper()
	line := c.say(command)
	for strings.HasPrefix(line, "+ ") {
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line[2:]))
		if err != nil {
			c.Fatal(err)
		}
		line = c.say(base64.StdEncoding.EncodeToString([]byte(answer(string(challenge)))))
	}
	return line
}

func (c *client) scram(kind, user, password, identity string) string {
	c.Helper()
	return c.scramWith(kind, user, password, identity, func() {})
}

// scramWith calls before between the server's challenge and the proof.
func (c *client) scramWith(kind, user, password, identity string, before func()) string {
	c.Helper()
	hash := scram.HashGeneratorFcn(sha256.New)
	if kind == "SCRAM-SHA-1" {
		hash = sha1.New
	}
	own, err := hash.NewClient(user, password, identity)
	if err != nil {
		c.Fatal(err)
	}
	conversation := own.NewConversation()
	return c.authenticate("AUTH "+kind, func(challenge string) string {
		if strings.HasPrefix(challenge, "r=") {
			before()
		}
		response, err := conversation.Step(challenge)
		if err != nil {
			c.Fatal(err)
		}
		return response
	})
}

func TestSecretsThatAreNotSent(t *testing.T) {
	const secret = "very secret pencil"
	keys, err := auth.NewHash("scram-sha-256", secret)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, map[string]string{
		"users":             "joe:{PLAIN}" + secret + "\njim:" + keys + "\n",
		"joe/new/1.M1P1.h":  message,
		"jim/new/1.M1P1.h":  message,
		"joe/new/2.M1P1.h":  message,
		"masters":           "admin:{PLAIN}master " + secret + "\n",
		"nobody/new/1.M1.h": message,
	}, func(c *config.Config) { c.Auth.CRAMMD5, c.Auth.SCRAM = true, config.SCRAMAlways }, "text")
	s.server.Backend.(*backend).accounts.Masters.Users = auth.NewPasswd(s.dir+"/masters", nil)
	cram := func(c *client, user, password string) string {
		return c.authenticate("AUTH CRAM-MD5", func(challenge string) string {
			h := hmac.New(md5.New, []byte(password))
			h.Write([]byte(challenge))
			return fmt.Sprintf("%s %x", user, h.Sum(nil))
		})
	}
	scramOf := func(kind, identity string) func(c *client, user, password string) string {
		return func(c *client, user, password string) string { return c.scram(kind, user, password, identity) }
	}
	plainAs := func(identity string) func(c *client, user, password string) string {
		return func(c *client, user, password string) string {
			return c.authenticate("AUTH PLAIN", func(string) string { return identity + "\x00" + user + "\x00" + password })
		}
	}
	const two, one, refused = "+OK 2 messages", "+OK 1 messages", "-ERR [AUTH] authentication failed"
	for _, tt := range []struct {
		name                   string
		log                    func(c *client, user, password string) string
		user, password, answer string
	}{
		{"CRAM-MD5", cram, "joe", secret, two},
		{"CRAM-MD5", cram, "joe", "wrong", refused},
		{"CRAM-MD5", cram, "jim", secret, refused},
		{"SCRAM-SHA-1", scramOf("SCRAM-SHA-1", ""), "joe", secret, two},
		{"SCRAM-SHA-1", scramOf("SCRAM-SHA-1", ""), "jim", secret, refused},
		{"SCRAM-SHA-256", scramOf("SCRAM-SHA-256", ""), "joe", secret, two},
		{"SCRAM-SHA-256", scramOf("SCRAM-SHA-256", ""), "jim", secret, one},
		{"SCRAM-SHA-256", scramOf("SCRAM-SHA-256", "jim"), "jim", secret, one},
		{"SCRAM-SHA-256", scramOf("SCRAM-SHA-256", ""), "jim", "wrong", refused},
		{"SCRAM-SHA-256", scramOf("SCRAM-SHA-256", ""), "nobody", secret, refused},
		{"SCRAM-SHA-256", scramOf("SCRAM-SHA-256", "joe"), "jim", secret, refused},
		{"SCRAM-SHA-256", scramOf("SCRAM-SHA-256", "joe"), "admin", "master " + secret, two},
		{"SCRAM-SHA-256", scramOf("SCRAM-SHA-256", "joe"), "admin", "wrong", refused},
		{"SCRAM-SHA-256", scramOf("SCRAM-SHA-256", ""), "admin", "master " + secret, refused},
		{"PLAIN", plainAs("jim"), "admin", "master " + secret, one},
		{"PLAIN", plainAs("nobody"), "admin", "master " + secret, refused},
		{"PLAIN", plainAs("jim"), "joe", secret, refused},
	} {
		c := s.dial()
		if got := tt.log(c, tt.user, tt.password); !strings.HasPrefix(got, tt.answer) {
			t.Errorf("%s, %s, %q: %q, want %q", tt.name, tt.user, tt.password, got, tt.answer)
		}
		c.expect("QUIT", "+OK")
	}
	log := s.ended()
	for _, line := range []string{
		`master=admin`, `as \"joe\"`, `as \"nobody\"`, "no such user",
	} {
		if !strings.Contains(log, line) {
			t.Errorf("%s is not in the log:\n%s", line, log)
		}
	}
	if n := strings.Count(log, "master login "); n != 2 {
		t.Errorf("%d master logins in the log, want 2", n)
	}
	if strings.Contains(log, secret) {
		t.Errorf("the secret is in the log:\n%s", log)
	}
}

// The secret of salts stays the same from one start to the next, and is mended.
func TestSalts(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, saltsFile)
	var before []byte
	for _, c := range []struct {
		name   string
		change func()
		same   bool
	}{
		{"first start", func() {}, false},
		{"another start", func() {}, true},
		{"cut short", func() { os.WriteFile(file, before[:5], 0o600) }, false},
		{"deleted", func() { os.Remove(file) }, false},
	} {
		c.change()
		if _, err := openSalts(dir); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		now, err := os.ReadFile(file)
		fi, statErr := os.Stat(file)
		if err != nil || statErr != nil || fi.Mode().Perm() != 0o600 || len(now) != saltsOctets || bytes.Equal(now, before) != c.same {
			t.Errorf("%s: %x, before %x, %v, %v", c.name, now, before, fi, err)
		}
		before = now
	}
	if _, err := openSalts(dir + "/none"); err == nil || strings.Contains(err.Error(), string(before)) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// TestSCRAMWaitsBeforeItLooks: an address that is denied gets no challenge, and one that
// takes challenges and gives up waits for the next.
func TestSCRAMWaitsBeforeItLooks(t *testing.T) {
	deny, err := auth.ParseNetworks([]string{"127.0.0.2"})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, map[string]string{"users": "a:{PLAIN}pencil\n"}, func(c *config.Config) {
		c.Auth.Deny = deny
		c.Limits.LoginFailures = 10
	}, "text")
	first := "AUTH SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString([]byte("n,,n=a,r=abc"))
	if got := s.dialFrom("127.0.0.2").say(first); !strings.HasPrefix(got, "-ERR [AUTH]") {
		t.Errorf("an address that is denied is answered %q", got)
	}
	c := s.dial()
	for given := range 4 {
		begin := time.Now()
		if got := c.say(first); !strings.HasPrefix(got, "+ ") {
			t.Errorf("after %d challenges: %q", given, got)
		}
		if took := time.Since(begin); (took >= time.Second) != (given == 3) {
			t.Errorf("after %d challenges given up the next takes %v", given, took)
		}
		if got := c.say("*"); !strings.HasPrefix(got, "-ERR") {
			t.Errorf("given up: %q", got)
		}
	}
	if n := s.server.Backend.(*backend).guard.Stats().UnderWay; n != 0 {
		t.Errorf("%d attempts are left", n)
	}
}
