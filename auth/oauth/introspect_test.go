package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sidepop/auth"
)

const (
	opaque = "2YotnFZFEjr1zCsicMWpAA"
	client = "sidepop:1" // what must be encoded in HTTP's credentials
	secret = "s3cr:t%+"
)

// asking makes a validator that asks n, and that has keys too if it shall.
func asking(t testing.TB, n http.RoundTripper, change func(*Options)) *Validator {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := validator(t, func(o *Options) {
		*o = Options{IntrospectionURL: "https://id.example.org/introspect", ClientID: client, ClientSecretFile: path}
		if change != nil {
			change(o)
		}
	})
	v.introspect.client.Transport = n
	return v
}

// TestIntrospection has answers of an authorization server beside what becomes of
// the token.
func TestIntrospection(t *testing.T) {
	now := time.Now().Unix()
	active := object{"active": true, "email": "joe@example.org"}
	full := active.with(object{"iss": issuer, "aud": []string{"mail"}, "exp": now + 300, "scope": "mail openid", "client_id": "x", "token_type": "Bearer"})
	ours := func(o *Options) { o.Issuer, o.Audience, o.Scope = issuer, []string{audience}, []string{"mail"} }
	answers := func(o object) func(*http.Request) (int, string, error) { return says(200, toJSON(t, o)) }
	for _, c := range []struct {
		name   string
		answer func(*http.Request) (int, string, error)
		change func(*Options)
		want   error
		why    string
	}{
		{"active", answers(active), nil, nil, ""},
		{"all there is", answers(full), ours, nil, ""},
		{"no issuer", answers(full.with(object{"iss": nil})), ours, nil, ""},
		{"member of another name", answers(object{"active": true, "username": "joe@example.org"}), func(o *Options) { o.UserClaim = "username" }, nil, ""},

		{"inactive", answers(object{"active": false}), nil, auth.ErrCredentials, "it is not active"},
		{"inactive, with a user", answers(full.with(object{"active": false})), ours, auth.ErrCredentials, "it is not active"},
		{"active as text", answers(active.with(object{"active": "true"})), nil, auth.ErrTemporary, "does not say"},
		{"active is missing", answers(full.with(object{"active": nil})), ours, auth.ErrTemporary, "does not say"},
		{"active twice", says(200, `{"active":true,"active":false,"email":"joe@example.org"}`), nil, auth.ErrTemporary, "can't be used"},
		{"Active", says(200, `{"Active":true,"email":"joe@example.org"}`), nil, auth.ErrTemporary, "does not say"},
		{"no user", answers(object{"active": true}), nil, auth.ErrCredentials, `no claim "email"`},
		{"expired all the same", answers(full.with(object{"exp": now - 300})), ours, auth.ErrCredentials, "it expired"},
		{"other audience", answers(full.with(object{"aud": "files"})), ours, auth.ErrCredentials, "its audience"},
		{"no audience", answers(full.with(object{"aud": nil})), ours, auth.ErrCredentials, "its audience"},
		{"other issuer", answers(full.with(object{"iss": "x"})), ours, auth.ErrCredentials, "its issuer"},
		{"other scope", answers(full.with(object{"scope": "files"})), ours, auth.ErrScope, "the scope"},
		{"bound to a certificate", answers(full.with(object{"cnf": object{"x5t#S256": "x"}})), ours, auth.ErrCredentials, "bound"},
		{"refresh token", answers(full.with(object{"token_use": "refresh_token"})), ours, auth.ErrCredentials, "refresh token"},

		{"down", fails, nil, auth.ErrTemporary, "introspection at https://id.example.org/introspect: connection refused"},
		{"internal error", says(500, `{"active":true,"email":"joe@example.org"}`), nil, auth.ErrTemporary, "HTTP status 500"},
		{"too busy", says(429, ""), nil, auth.ErrTemporary, "HTTP status 429"},
		{"redirection", says(307, ""), nil, auth.ErrTemporary, "HTTP status 307"},
		{"wrong secret", says(401, `{"error":"invalid_client"}`), nil, auth.ErrPermanent, "does not let the client"},
		{"garbage", says(200, "<html>welcome"), nil, auth.ErrTemporary, "can't be used"},
		{"nothing", says(200, ""), nil, auth.ErrTemporary, "can't be used"},
		{"a list", says(200, "[]"), nil, auth.ErrTemporary, "can't be used"},
		{"without an end", says(200, `{"active":true,"x":"`+strings.Repeat("x", maxAnswerOctets)), nil, auth.ErrTemporary, "more than"},
		{"nested", says(200, strings.Repeat(`{"a":`, 10000)), nil, auth.ErrTemporary, "can't be used"},
		{"no file with the secret", answers(active), func(o *Options) { o.ClientSecretFile = "/nonexistent" }, auth.ErrTemporary, "secret of the OAuth client"},
	} {
		user, err := validate(t, asking(t, &transport{answer: c.answer}, c.change), opaque)
		if c.want == nil {
			if user != "joe@example.org" || err != nil {
				t.Errorf("%s: %q, %v", c.name, user, err)
			}
			continue
		}
		if user != "" || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %q, %v; want %v with %q", c.name, user, err, c.want, c.why)
			continue
		}
		if text := err.Error(); strings.Contains(text, opaque) || strings.Contains(text, secret) {
			t.Errorf("%s: a secret is in the error: %s", c.name, text)
		}
	}
}

// TestRequest looks at what a real server is asked.
func TestRequest(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, password, _ := r.BasicAuth()
		got := fmt.Sprintln(r.Method, r.URL, id, password, r.Header.Get("Content-Type"), r.PostFormValue("token"), r.PostFormValue("token_type_hint"))
		want := fmt.Sprintln("POST", "/ask?x=y", "sidepop%3A1", "s3cr%3At%25%2B", "application/x-www-form-urlencoded", opaque+"+/==", "access_token")
		if got != want {
			t.Errorf("asked:\n got %s\nwant %s", got, want)
		}
		fmt.Fprint(w, `{"active":true,"email":"joe@example.org"}`)
	}))
	defer s.Close()
	v := asking(t, http.DefaultTransport, func(o *Options) { o.IntrospectionURL = s.URL + "/ask?x=y" })
	if user, err := validate(t, v, opaque+"+/=="); user != "joe@example.org" || err != nil {
		t.Error(user, err)
	}
}

// TestRedirection holds that a token does not follow a redirection.
func TestRedirection(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the token was sent elsewhere") }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	v := asking(t, newClient().Transport, func(o *Options) { o.IntrospectionURL = s.URL })
	if _, err := validate(t, v, opaque); !errors.Is(err, auth.ErrTemporary) {
		t.Error(err)
	}
}

// TestKinds says which tokens are asked about where there are keys too.
func TestKinds(t *testing.T) {
	n := &transport{answer: says(200, `{"active":true,"email":"asked@example.org","iss":"`+issuer+`","aud":"mail"}`)}
	v := asking(t, n, func(o *Options) {
		o.Issuer, o.Audience, o.JWKSFile = issuer, []string{audience}, keyFile(t, set(t, allKeys...))
	})
	for _, c := range []struct {
		name, token, user string
		asked             int
	}{
		{"JWT", token(t, nil), "joe@example.org", 0},
		{"expired JWT", token(t, object{"exp": 1}), "", 0},
		{"alg none", encode(`{"alg":"none"}`) + "." + encode(toJSON(t, good())) + ".", "", 0},
		{"HS256", mac(t), "", 0},
		{"opaque", opaque, "asked@example.org", 1},
		{"opaque, in three parts", "a.b.c", "asked@example.org", 1},
		{"encrypted", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0.a.b.c.d", "asked@example.org", 1},
	} {
		user, err := validate(t, v, c.token)
		if user != c.user || (err == nil) != (c.user != "") {
			t.Errorf("%s: %q, %v; want %q", c.name, user, err, c.user)
		}
		if got := n.count(); got != c.asked {
			t.Errorf("%s: asked %d times, want %d", c.name, got, c.asked)
		}
	}
}

// TestSlow has a server that does not answer in time.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := asking(t, &transport{answer: silent}, nil)
		begin := time.Now()
		_, err := validate(t, v, opaque)
		if !errors.Is(err, auth.ErrTemporary) || !strings.Contains(err.Error(), "no answer within 10s") {
			t.Error(err)
		}
		if took := time.Since(begin); took != requestTime {
			t.Errorf("it took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		if _, err = v.Validate(ctx, opaque); !errors.Is(err, auth.ErrTemporary) || time.Since(begin) != time.Second {
			t.Errorf("given up after %v: %v", time.Since(begin), err)
		}
	})
}

// TestAnswers holds that an answer counts for its time, for its token alone, and
// only if it was good.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &transport{answer: says(200, toJSON(t, object{"active": true, "email": "joe", "exp": time.Now().Unix() + 30}))}
		v := asking(t, n, nil)
		for _, step := range []struct {
			name  string
			wait  time.Duration
			token string
			asked int
			right bool
		}{
			{"first", 0, opaque, 1, true},
			{"again", answerTime / 2, opaque, 0, true},
			{"another token", 0, opaque + "x", 1, true},
			{"later", answerTime/2 - time.Second, opaque, 0, true},
			{"at the end of its time", time.Second, opaque, 1, true},
			{"expired meanwhile", answerTime - time.Second, opaque, 0, false},
		} {
			time.Sleep(step.wait)
			_, err := validate(t, v, step.token)
			if (err == nil) != step.right {
				t.Errorf("%s: %v", step.name, err)
			}
			if got := n.count(); got != step.asked {
				t.Errorf("%s: asked %d times, want %d", step.name, got, step.asked)
			}
		}
		n.set(says(200, `{"active":false}`))
		for range 2 {
			if _, err := validate(t, v, opaque+"y"); !errors.Is(err, auth.ErrCredentials) {
				t.Error(err)
			}
		}
		if got := n.count(); got != 2 {
			t.Errorf("what is not active was asked about %d times, want 2", got)
		}
	})
}

// TestAnswersBounded asks about more tokens than are kept.
func TestAnswersBounded(t *testing.T) {
	n := &transport{answer: says(200, `{"active":true,"email":"joe"}`)}
	v := asking(t, n, nil)
	for i := range maxAnswers + 10 {
		if _, err := validate(t, v, fmt.Sprint("token", i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(v.introspect.answers); got != maxAnswers || v.introspect.order.Len() != maxAnswers {
		t.Errorf("%d answers in memory, %d in order, want %d", got, v.introspect.order.Len(), maxAnswers)
	}
	n.count()
	for _, i := range []int{0, maxAnswers} { // the oldest is gone
		_, _ = validate(t, v, fmt.Sprint("token", i))
	}
	if got := n.count(); got != 1 {
		t.Errorf("asked %d times, want 1", got)
	}
	for key := range v.introspect.answers {
		if strings.Contains(string(key[:]), "token") {
			t.Error("a token is kept as it is")
		}
	}
}
