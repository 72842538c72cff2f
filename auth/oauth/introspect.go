package oauth

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sidepop/auth"
)

const (
	// answerTime is how long an answer counts: programs log in several times in a
	// row, and a token that is withdrawn is good for no longer (RFC 7662, section 4).
	answerTime = time.Minute

	// maxAnswers bounds the answers in memory, which take some 2 KiB each; the
	// oldest gives way.
	maxAnswers = 5000

	// maxAnswerOctets bounds an answer. Groups can make it long.
	maxAnswerOctets = 64 << 10

	// maxSecretOctets bounds the file with the client's secret.
	maxSecretOctets = 4 << 10
)

// introspector asks the authorization server about tokens (RFC 7662).
type introspector struct {
	url, clientID, secretFile string

	client *http.Client
	key    [sha256.Size]byte // of the hashes, this process's alone

	mu      sync.Mutex
	answers map[digest]*list.Element // of *answer
	order   list.List                // the oldest first
}

// digest is a keyed hash of a token.
type digest [sha256.Size]byte

// answer is what was said of a token that is active.
type answer struct {
	token  digest
	claims *claims
	since  time.Time
}

func newIntrospector(o Options, client *http.Client) *introspector {
	i := &introspector{
		url: o.IntrospectionURL, clientID: o.ClientID, secretFile: o.ClientSecretFile,
		client:  client,
		answers: make(map[digest]*list.Element),
	}
	rand.Read(i.key[:]) // never fails
	return i
}

// ask says what the authorization server knows of a token, or knew a short while
// ago. It fails for one that is not active.
func (i *introspector) ask(ctx context.Context, token string) (*claims, error) {
	h := hmac.New(sha256.New, i.key[:])
	h.Write([]byte(token))
	key := digest(h.Sum(nil))
	if c := i.find(key); c != nil {
		return c, nil
	}
	begin := time.Now()
	status, body, err := i.post(ctx, token)
	if err != nil {
		return nil, err
	}
	c, err := i.read(status, body)
	if err == nil {
		i.put(&answer{key, c, begin})
	}
	return c, err
}

// post sends a token (RFC 7662, section 2.1).
func (i *introspector) post(ctx context.Context, token string) (status int, body []byte, err error) {
	secret, err := readFile(i.secretFile, maxSecretOctets)
	if err != nil {
		return 0, nil, fmt.Errorf("secret of the OAuth client: %w", err)
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, unreachable("introspection", i.url, err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	// Encoded twice, as RFC 6749, section 2.3.1 has it.
	request.SetBasicAuth(url.QueryEscape(i.clientID), url.QueryEscape(strings.TrimRight(string(secret), "\r\n")))
	if status, body, err = do(i.client, request, maxAnswerOctets); err != nil {
		return 0, nil, unreachable("introspection", i.url, err)
	}
	return status, body, nil
}

// read reads an answer (RFC 7662, sections 2.2 and 2.3).
func (i *introspector) read(status int, body []byte) (*claims, error) {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return nil, fmt.Errorf("%w: introspection at %s: HTTP status %d: the authorization server does not let the client %q ask: look at its id and at the secret in %s",
			auth.ErrPermanent, i.url, status, i.clientID, i.secretFile)
	case status != http.StatusOK:
		return nil, unreachable("introspection", i.url, fmt.Errorf("HTTP status %d, expected %d", status, http.StatusOK))
	}
	c, err := parseClaims(body)
	if err != nil {
		return nil, unreachable("introspection", i.url, fmt.Errorf("the answer can't be used: %w", err))
	}
	switch string(c.all["active"]) {
	case "true":
		return c, nil
	case "false":
		return nil, refused("it is not active, says %s", i.url)
	}
	return nil, unreachable("introspection", i.url, fmt.Errorf(`the answer does not say "active", true or false`))
}

// find gives what was said of a token, or nil.
func (i *introspector) find(key digest) *claims {
	i.mu.Lock()
	defer i.mu.Unlock()
	element := i.answers[key]
	if element == nil {
		return nil
	}
	a := element.Value.(*answer)
	if time.Since(a.since) >= answerTime {
		i.remove(element)
		return nil
	}
	return a.claims
}

func (i *introspector) put(a *answer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if old := i.answers[a.token]; old != nil {
		i.remove(old)
	}
	if i.order.Len() >= maxAnswers {
		i.remove(i.order.Front())
	}
	i.answers[a.token] = i.order.PushBack(a)
}

func (i *introspector) remove(element *list.Element) {
	delete(i.answers, element.Value.(*answer).token)
	i.order.Remove(element)
}
