package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	oauthUser   = "joe@example.org"
	oauthSecret = "client-secret-1" // of dex's clients, one of them sidepop
	oauthClient = "mail"
	otherClient = "files"

	// buildTime is for all that dex consists of, which may have to be fetched.
	buildTime = 5 * time.Minute

	// rotateTime is longer than the least time between two fetches of keys.
	rotateTime = 20 * time.Second

	// pollTime is long enough that few attempts fail: those that do delay others.
	pollTime = 3 * time.Second

	// curlDenied is curl's exit status for a refused login (curl(1)).
	curlDenied = 67
)

// dexProgram is the identity provider, built once.
var dexProgram = sync.OnceValues(func() (path string, err error) {
	if binary.dir == "" {
		return "", fmt.Errorf("sidepop must be built first")
	}
	path = filepath.Join(binary.dir, "dex")
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", path, ".")
	build.Dir = "dex"
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("dex can't be built: %w\n%s", err, tail(out))
	}
	return path, nil
})

// dex is an identity provider that runs.
type dex struct {
	t        *testing.T
	address  string
	password string // of the user
	stop     func()
}

// newDex starts one at an address, with keys of its own.
func newDex(t *testing.T, address, password string) *dex {
	t.Helper()
	sidepop(t)
	path, err := dexProgram()
	if err != nil {
		skip(t, err.Error())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, path, address, oauthUser, password, oauthSecret, oauthClient, otherClient)
	must(t, cmd.Start())
	d := &dex{t: t, address: address, password: password, stop: sync.OnceFunc(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})}
	t.Cleanup(d.stop)
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := d.request("keys", nil); err == nil {
			return d
		} else if time.Since(begin) > startTime {
			t.Fatalf("dex does not answer: %v", err)
		}
	}
}

// request asks for a page, or posts a form as one of the clients.
func (d *dex) request(page string, form url.Values) ([]byte, error) {
	address := "http://" + d.address + "/" + page
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, address, nil)
	if form != nil {
		request, err = http.NewRequestWithContext(d.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	}
	if err != nil {
		return nil, err
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(form.Get("client_id"), oauthSecret)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return body, err
}

// token gets one for a client with the user's password (RFC 6749, section 4.3).
func (d *dex) token(client string) string {
	d.t.Helper()
	body, err := d.request("token", url.Values{
		"grant_type": {"password"}, "username": {oauthUser}, "password": {d.password},
		"scope": {"openid email profile"}, "client_id": {client},
	})
	must(d.t, err)
	var answer struct {
		Token string `json:"access_token"`
	}
	must(d.t, json.Unmarshal(body, &answer))
	if strings.Count(answer.Token, ".") != 2 {
		d.t.Fatalf("dex gave no token: %s", body)
	}
	return answer.Token
}

// serveOAuth is serve with keys more in the table auth.
func (s *site) serveOAuth(keys string, tolerated ...string) *server {
	s.t.Helper()
	srv := s.prepare("", tolerated...)
	text, err := os.ReadFile(srv.config)
	must(s.t, err)
	must(s.t, os.WriteFile(srv.config, []byte(strings.Replace(string(text), "[auth]\n", "[auth]\n"+keys+"\n", 1)), 0o600))
	srv.program = srv.start(exec.Command(sidepop(s.t), "serve", "--config", srv.config))
	s.t.Cleanup(srv.stop)
	srv.awaitReady()
	return srv
}

// curl fetches the first message with a token, from a local address, and gives curl's
// exit status. Response says when the token is sent: "sasl-ir" is at once.
func (s *server) curl(from, user, token, mechanism, response string) (message []byte, status int) {
	s.t.Helper()
	config := fmt.Sprintf("url = pop3://%s/1\nuser = \"%s:\"\noauth2-bearer = %s\nlogin-options = AUTH=%s\ncacert = %s\nssl-reqd\ninterface = %s\n%s\n",
		s.pop3, user, token, mechanism, s.path(caFile), from, response)
	ctx, cancel := context.WithTimeout(s.t.Context(), clientTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "curl", "--silent", "--disable", "--config", "-")
	cmd.Stdin = strings.NewReader(strings.Replace(config, "127.0.0.1", "localhost", 1))
	message, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return message, cmd.ProcessState.ExitCode()
}

// TestOAuth logs in with tokens of a real identity provider, with curl as the
// client: with its keys in a file, at its URL, and by asking it.
func TestOAuth(t *testing.T) {
	need(t, "curl", "curl")
	s := newSite(t)
	mails := sample()[:1]
	s.account(oauthUser, mails)
	address, _ := freePorts(t)
	d := newDex(t, address, "pw-of-dex")
	keys, err := d.request("keys", nil)
	must(t, err)
	must(t, os.WriteFile(s.path("jwks"), keys, 0o600))
	must(t, os.WriteFile(s.path("oauth-secret"), []byte(oauthSecret+"\n"), 0o600))
	common := fmt.Sprintf("oauth_issuer = \"http://%s\"\noauth_audience = [%q]\n", address, oauthClient)
	good, other := d.token(oauthClient), d.token(otherClient)
	damaged := good[:len(good)-10] + "AAAAAAAAAA"

	for name, ways := range map[string]string{
		"file": fmt.Sprintf("oauth_jwks = %q", s.path("jwks")),
		"url":  fmt.Sprintf("oauth_jwks = \"http://%s/keys\"\nnetwork = true", address),
		"introspection": fmt.Sprintf("oauth_introspection = \"http://%s/token/introspect\"\noauth_client_id = %q\n"+
			"oauth_client_secret_file = %q\noauth_user_claim = \"username\"\nnetwork = true", address, oauthClient, s.path("oauth-secret")),
	} {
		t.Run(name, func(t *testing.T) {
			here := *s
			here.t = t
			srv := here.serveOAuth(common + ways)
			for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
				for _, at := range []string{"sasl-ir", "no-sasl-ir"} {
					message, status := srv.curl("127.0.0.1", oauthUser, good, mechanism, at)
					if status != 0 || string(message) != string(mails[0].octets()) {
						t.Errorf("%s, %s: curl's status is %d; %d octets", mechanism, at, status, len(message))
					}
				}
			}
			for i, c := range []struct {
				what, user, token, mechanism string
				status                       int
			}{
				{"case of the name", "Joe@Example.ORG", good, "XOAUTH2", 0},
				{"another name", "root@example.org", good, "XOAUTH2", curlDenied},
				{"another audience", oauthUser, other, "OAUTHBEARER", curlDenied},
				{"wrong signature", oauthUser, damaged, "XOAUTH2", curlDenied},
				{"nonsense", oauthUser, "nonsense", "OAUTHBEARER", curlDenied},
			} {
				// Each from an address of its own, where nobody has failed yet.
				_, status := srv.curl(fmt.Sprintf("127.0.0.%d", 2+i), c.user, c.token, c.mechanism, "sasl-ir")
				if status != c.status {
					t.Errorf("%s: curl's status is %d, want %d", c.what, status, c.status)
				}
			}
			for _, part := range strings.Split(good, ".")[1:] {
				if strings.Contains(srv.readLog(), part) {
					t.Error("a part of a token is in the log")
				}
			}
		})
	}
}

// TestOAuthRotation replaces the identity provider's keys: new tokens are good after
// a short while, and old ones no longer.
func TestOAuthRotation(t *testing.T) {
	need(t, "curl", "curl")
	s := newSite(t)
	s.account(oauthUser, sample()[:1])
	address, _ := freePorts(t)
	srv := s.serveOAuth(fmt.Sprintf("oauth_issuer = \"http://%s\"\noauth_audience = [%q]\noauth_jwks = \"http://%[1]s/keys\"\nnetwork = true\n",
		address, oauthClient), msgLoginFailed)
	login := func(token string) int {
		_, status := srv.curl("127.0.0.1", oauthUser, token, "OAUTHBEARER", "sasl-ir")
		return status
	}
	until := func(what, token string) {
		t.Helper()
		for begin := time.Now(); login(token) != 0; time.Sleep(pollTime) {
			if time.Since(begin) > rotateTime {
				t.Fatalf("%s is refused after %v", what, time.Since(begin))
			}
		}
	}
	if status := login("eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.e30.AAAA"); status != curlDenied {
		t.Errorf("without a provider: curl's status is %d, want %d", status, curlDenied)
	}
	first := newDex(t, address, "pw-of-dex")
	old := first.token(oauthClient)
	until("a token of a provider that came later", old)
	first.stop()
	if status := login(old); status != 0 {
		t.Errorf("with a provider that is gone: curl's status is %d, want 0", status)
	}
	second := newDex(t, address, "pw-of-dex")
	until("a token by a new key", second.token(oauthClient))
	if status := login(old); status != curlDenied {
		t.Errorf("a token by an old key: curl's status is %d, want %d", status, curlDenied)
	}
}
