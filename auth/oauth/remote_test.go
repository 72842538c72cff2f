package oauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sidepop/auth"
)

// transport answers requests in place of a network.
type transport struct {
	mu       sync.Mutex
	requests int
	answer   func(*http.Request) (status int, body string, err error)
}

// RoundTrip implements [http.RoundTripper].
func (n *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.requests++
	answer := n.answer
	n.mu.Unlock()
	status, body, err := answer(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
}

func (n *transport) set(answer func(*http.Request) (int, string, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = answer
}

// count gives the number of requests since it was called last.
func (n *transport) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	requests := n.requests
	n.requests = 0
	return requests
}

func says(status int, body string) func(*http.Request) (int, string, error) {
	return func(*http.Request) (int, string, error) { return status, body, nil }
}

func fails(*http.Request) (int, string, error) { return 0, "", errors.New("connection refused") }

// silent answers nothing until the request is given up.
func silent(r *http.Request) (int, string, error) {
	<-r.Context().Done()
	return 0, "", r.Context().Err()
}

// remote makes a validator with keys at a URL of n.
func remote(t *testing.T, n *transport, warn func(error)) *Validator {
	v := validator(t, func(o *Options) { o.JWKSURL, o.Warn = "https://id.example.org/keys", warn })
	v.keys.(*remoteKeys).client.Transport = n
	return v
}

// lasting is a token by a key that outlives the test.
func lasting(t *testing.T, key string) string {
	return sign(t, "RS256", key, `{"alg":"RS256","kid":"`+key+`"}`, toJSON(t, good().with(object{"exp": 1 << 40})))
}

// TestRotation is the life of keys at a URL, with what each login must find and how
// often keys are fetched for it.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &transport{answer: fails}
		var warnings []string
		v := remote(t, n, func(err error) { warnings = append(warnings, err.Error()) })
		for _, step := range []struct {
			name    string
			wait    time.Duration
			answer  func(*http.Request) (int, string, error) // from now on; nil: as before
			key     string
			want    error
			fetches int
		}{
			{"nothing is fetched before it is needed", 0, nil, "rsa", auth.ErrTemporary, 1},
			{"the issuer is down", 5 * time.Second, nil, "rsa", auth.ErrTemporary, 0},
			{"it is up, but was asked just now", 0, says(200, set(t, "rsa")), "rsa", auth.ErrTemporary, 0},
			{"it is up", RefetchDelay, nil, "rsa", nil, 1},
			{"nobody asks for what is known", time.Minute, nil, "rsa", nil, 0},
			{"unknown key", 0, nil, "rsa2", auth.ErrCredentials, 1},
			{"rotation, just after the keys were fetched", time.Second, says(200, set(t, "rsa", "rsa2")), "rsa2", auth.ErrTemporary, 0},
			{"rotation, some seconds later", RefetchDelay, nil, "rsa2", nil, 1},
			{"the old key", 0, nil, "rsa", nil, 0},
			{"the old key is withdrawn", 0, says(200, set(t, "rsa2")), "rsa", nil, 0},
			{"and counts until they are not fresh", keysFresh - time.Second, nil, "rsa", nil, 0},
			{"and no longer", time.Second, nil, "rsa", auth.ErrCredentials, 1},
			{"the issuer answers nonsense", time.Hour, says(200, "<html>"), "rsa2", nil, 1},
			{"and nobody waits for it", 0, nil, "rsa2", nil, 0},
			{"who needs another key hears of the fault", time.Minute, nil, "rsa", auth.ErrTemporary, 1},
			{"it fails", time.Hour, says(500, set(t, "rsa")), "rsa", auth.ErrTemporary, 1},
			{"it redirects", time.Hour, says(302, set(t, "rsa")), "rsa", auth.ErrTemporary, 1},
			{"it answers without an end", time.Hour, says(200, strings.Repeat(" ", maxSetOctets+1)), "rsa", auth.ErrTemporary, 1},
			{"too long", keysStale, fails, "rsa2", auth.ErrTemporary, 1},
			{"it is up again", RefetchDelay, says(200, set(t, "rsa")), "rsa", nil, 1},
		} {
			time.Sleep(step.wait)
			if step.answer != nil {
				n.set(step.answer)
			}
			begin := time.Now()
			_, err := validate(t, v, lasting(t, step.key))
			if !errors.Is(err, step.want) || (err == nil) != (step.want == nil) {
				t.Errorf("%s: %v, want %v", step.name, err, step.want)
			}
			if took := time.Since(begin); took > requestTime || err == nil && took > 0 {
				t.Errorf("%s: it took %v", step.name, took)
			}
			synctest.Wait()
			if got := n.count(); got != step.fetches {
				t.Errorf("%s: %d fetches, want %d", step.name, got, step.fetches)
			}
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "those of 1h") {
			t.Errorf("warnings: %q", warnings)
		}
	})
}

// TestSilence has an issuer that does not answer any more: one login waits for it, and
// those that follow do not.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &transport{answer: says(200, set(t, "rsa"))}
		v := remote(t, n, nil)
		for i, step := range []struct{ wait, takes time.Duration }{
			{0, 0},
			{keysFresh, requestTime},
			{time.Second, 0},
			{faultTime - time.Second, 0},
			{time.Hour, requestTime},
		} {
			time.Sleep(step.wait)
			begin := time.Now()
			if _, err := validate(t, v, lasting(t, "rsa")); err != nil {
				t.Errorf("%d: %v", i, err)
			}
			if took := time.Since(begin); took != step.takes {
				t.Errorf("%d: it took %v, want %v", i, took, step.takes)
			}
			n.set(silent)
		}
		time.Sleep(requestTime) // for the last request
	})
}

// TestFlight has many logins at the same time wait for one fetch, each as long as it
// may.
func TestFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const logins = 50
		n := &transport{answer: func(*http.Request) (int, string, error) {
			time.Sleep(5 * time.Second)
			return 200, set(t, "rsa"), nil
		}}
		v := remote(t, n, nil)
		raw := lasting(t, "rsa")
		var done sync.WaitGroup
		for range logins {
			done.Go(func() {
				if _, err := v.Validate(t.Context(), raw); err != nil {
					t.Error(err)
				}
			})
			done.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := v.Validate(ctx, raw); !errors.Is(err, auth.ErrTemporary) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("given up: %v", err)
				}
			})
		}
		done.Wait()
		if got := n.count(); got != 1 {
			t.Errorf("%d fetches, want 1", got)
		}
	})
}

// TestFlood has tokens with keys that nobody has: the issuer is asked no more often
// for it.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &transport{answer: says(200, set(t, "rsa"))}
		v := remote(t, n, nil)
		const seconds = 100
		for range seconds {
			if _, err := validate(t, v, lasting(t, "rsa2")); err == nil {
				t.Error("a key that is not there is right")
			}
			if _, err := validate(t, v, lasting(t, "rsa")); err != nil {
				t.Errorf("a good token in the flood: %v", err)
			}
			time.Sleep(time.Second)
		}
		if got, most := n.count(), seconds/int(RefetchDelay.Seconds()); got > most {
			t.Errorf("%d fetches in %d s, want at most %d", got, seconds, most)
		}
	})
}
