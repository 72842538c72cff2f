package oauth

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// requestTime bounds a request, from looking up the name to the last octet of
	// the answer. A client that logs in waits for it.
	requestTime = 10 * time.Second

	// maxConnections bounds those to one host: as many logins ask at once, others
	// wait for them.
	maxConnections = 16

	// idleTime is shorter than servers usually keep idle connections.
	idleTime = 30 * time.Second
)

// newClient makes a client that follows no redirection: a token goes only to where
// the operator wants it to.
func newClient() *http.Client {
	return &http.Client{
		Timeout: requestTime,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:   true,
			MaxConnsPerHost:     maxConnections,
			MaxIdleConnsPerHost: maxConnections,
			IdleConnTimeout:     idleTime,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// do makes a request and reads the whole answer, of at most so many octets.
func do(client *http.Client, request *http.Request, most int64) (status int, body []byte, err error) {
	answer, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, most+1))
	switch {
	case err != nil:
		return 0, nil, err
	case int64(len(body)) > most:
		return 0, nil, fmt.Errorf("an answer of more than %d octets", most)
	}
	return answer.StatusCode, body, nil
}
