package auth

import (
	"encoding/base64"
	"errors"
	"testing"
)

// TestExamplesOfRFCs has whole exchanges as the documents of the mechanisms give them:
// what the server says, and what the client answers, "C: " and "S: ", with names and
// passwords that are those of the accounts here. SCRAM's are in TestSCRAMVectors, those
// with tokens in TestBearerExamples, APOP's in TestAPOP.
func TestExamplesOfRFCs(t *testing.T) {
	m := scramSite(t, "tim:{PLAIN}tanstaaftanstaaf\nKurt:{PLAIN}xipj3plmq\nUrsel:{PLAIN}other\ntest:{PLAIN}test\nfred@example.com:!\n")
	masters := *m
	masters.Users = m.Chain[0].Source.(*Passwd)
	const none = "\xffnone" // the client says nothing with its command
	in := func(source Source, begin func(VerifyFunc) *Exchange) func(to **Account) *Exchange {
		return func(to **Account) *Exchange {
			return begin(func(l Login) (err error) { *to, err = source.Verify(t.Context(), l); return err })
		}
	}
	cram := func(verify VerifyFunc) *Exchange {
		e := NewCRAMMD5("", verify)
		e.server.(*cramServer).challenge = "<1896.697170952@postoffice.reston.mci.net>"
		return e
	}
	external := func(to **Account) *Exchange {
		return NewExternal([]string{"fred@example.com"}, func(l Login) (err error) { *to, err = m.AdmitAs(t.Context(), l); return err })
	}
	for _, c := range []struct {
		source  string
		begin   func(to **Account) *Exchange
		client  []string // its responses, in base64
		server  []string // its challenges, in base64
		account string   // whose mail it comes to
		want    error
	}{
		{"RFC 4616, section 4, the first", in(m, NewPlain), []string{none, "AHRpbQB0YW5zdGFhZnRhbnN0YWFm"}, []string{""}, "tim", nil},
		{"RFC 4616, section 4, the second", in(m, NewPlain), []string{"VXJzZWwAS3VydAB4aXBqM3BsbXE="}, nil, "", ErrDenied},
		{"the same with a master user", in(&masters, NewPlain), []string{"VXJzZWwAS3VydAB4aXBqM3BsbXE="}, nil, "Ursel", nil},
		{"RFC 5034, section 6, at once", in(m, NewPlain), []string{"dGVzdAB0ZXN0AHRlc3Q="}, nil, "test", nil},
		{"RFC 5034, section 6, when asked", in(m, NewPlain), []string{none, "dGVzdAB0ZXN0AHRlc3Q="}, []string{""}, "test", nil},
		{"RFC 2195, section 2", in(m, cram), []string{none, "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"},
			[]string{"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"}, "tim", nil},
		{"RFC 4422, appendix A.2, when asked", external, []string{none, ""}, []string{""}, "fred@example.com", nil},
		{"RFC 4422, appendix A.2, with an identity", external, []string{"ZnJlZEBleGFtcGxlLmNvbQ=="}, nil, "fred@example.com", nil},
	} {
		var account *Account
		e := c.begin(&account)
		var challenge []byte
		var done bool
		var err error
		for i, text := range c.client {
			var response []byte
			if text != none {
				response = fromBase64(t, text)
			}
			challenge, done, err = e.Next(response)
			if i < len(c.server) {
				if got := base64.StdEncoding.EncodeToString(challenge); got != c.server[i] || done || err != nil {
					t.Errorf("%s: the server says %q, %v, %v; want %q", c.source, got, done, err, c.server[i])
				}
			}
		}
		name := ""
		if account != nil {
			name = account.Name
		}
		if done != (c.want == nil) || !errors.Is(err, c.want) || name != c.account {
			t.Errorf("%s: %v, %v, %q; want %q, %v", c.source, done, err, name, c.account, c.want)
		}
	}
}
