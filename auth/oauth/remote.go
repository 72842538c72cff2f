package oauth

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"sidepop/auth"
)

const (
	// keysFresh is how long keys are taken for current: a key that the issuer has
	// withdrawn counts no longer, if the issuer can be reached.
	keysFresh = 15 * time.Minute

	// keysStale is how long keys count while the issuer can't be reached. Most
	// rotate them over days and announce the next ones.
	keysStale = 24 * time.Hour

	// RefetchDelay is the least time from one attempt to fetch keys to the next,
	// since anybody can send tokens with keys that don't exist.
	RefetchDelay = 10 * time.Second
)

// remoteKeys are keys at a URL. They are fetched when they are first needed, when
// they are no longer fresh, without anybody waiting then, and when a token names
// one that is not among them.
type remoteKeys struct {
	url    string
	client *http.Client
	warn   func(error)

	flight singleflight.Group

	mu      sync.Mutex
	set     *keySet // nil: none was fetched yet
	fetched time.Time
	tried   time.Time
	fault   error // of the last attempt
}

// find implements [keySource].
func (r *remoteKeys) find(ctx context.Context, id string, algorithm jose.SignatureAlgorithm) ([]any, error) {
	begin := time.Now()
	keys, age := r.known(id, algorithm)
	if keys != nil && age < keysFresh {
		return keys, nil
	}
	fetch := r.flight.DoChan("", r.refetch)
	if keys != nil && age < keysStale {
		return keys, nil
	}
	select {
	case <-fetch:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: given up waiting for the issuer's keys from %s: %w", auth.ErrTemporary, r.url, context.Cause(ctx))
	}
	if keys, age = r.known(id, algorithm); keys != nil && age < keysStale {
		return keys, nil
	}
	return nil, r.missing(begin, id, algorithm)
}

// known gives keys that were fetched, and how long ago.
func (r *remoteKeys) known(id string, algorithm jose.SignatureAlgorithm) (keys []any, age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set == nil {
		return nil, 0
	}
	return r.set.find(id, algorithm), time.Since(r.fetched)
}

// missing says why there is no key for a login that began at a time. Keys from
// before it prove nothing about a key that may be newer.
func (r *remoteKeys) missing(begin time.Time, id string, algorithm jose.SignatureAlgorithm) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.fault != nil:
		return fmt.Errorf("keys of the issuer: %w", r.fault)
	case r.fetched.Before(begin):
		return fmt.Errorf("%w: %s at %s, fetched %v ago, and they are fetched every %v at most",
			auth.ErrTemporary, unknownKey(id, algorithm), r.url, time.Since(r.fetched).Round(time.Second), RefetchDelay)
	}
	return refused("%s at %s", unknownKey(id, algorithm), r.url)
}

// refetch fetches the keys, unless that was tried a short while ago. It is called
// once at a time.
func (r *remoteKeys) refetch() (any, error) {
	r.mu.Lock()
	early := !r.tried.IsZero() && time.Since(r.tried) < RefetchDelay
	if !early {
		r.tried = time.Now()
	}
	r.mu.Unlock()
	if early {
		return nil, nil
	}
	set, err := r.load()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && r.fault == nil && r.set != nil {
		r.warn(fmt.Errorf("OAuth: keys of the issuer can't be fetched, those of %v ago count until they are %v old: %w",
			time.Since(r.fetched).Round(time.Second), keysStale, err))
	}
	if r.fault = err; err == nil {
		r.set, r.fetched = set, time.Now()
	}
	return nil, nil
}

// load implements [keySource]: it fetches them.
func (r *remoteKeys) load() (*keySet, error) {
	// Nobody's context: others may wait for it too.
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, unreachable("JWKS", r.url, err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	status, body, err := do(r.client, request, maxSetOctets)
	switch {
	case err != nil:
		return nil, unreachable("JWKS", r.url, err)
	case status != http.StatusOK:
		return nil, unreachable("JWKS", r.url, fmt.Errorf("HTTP status %d, expected %d", status, http.StatusOK))
	}
	set, err := parseKeys(body)
	if err != nil {
		return nil, unreachable("JWKS", r.url, err)
	}
	return set, nil
}
