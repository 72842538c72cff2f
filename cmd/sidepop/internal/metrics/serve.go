package metrics

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/netutil"
)

const (
	// maxScrapers is how many connections are open at once, per listener: Prometheus
	// has one a server, and there are two servers where that matters. Others wait in
	// the listener. Each is a descriptor, which the front has to spare.
	maxScrapers = 16

	// requestTime is how long a request may take to come: it is one packet.
	requestTime = 5 * time.Second

	// askTime is how long the figures may take to be made: less than the 10 s for
	// which Prometheus waits.
	askTime = 5 * time.Second

	// answerTime is how long a request that has come may take, askTime included.
	answerTime = 10 * time.Second

	// maxHeader is the size of a request's header, in octets; net/http reads some
	// 4 KiB more. Prometheus sends 300.
	maxHeader = 4 << 10
)

// Path is where the figures are.
const Path = "/metrics"

// Server serves figures over HTTP: GET [Path], and nothing else. A connection has one
// request. What is asked for at the same moment is made for one after the other, so
// that scrapers can't make much work.
type Server struct {
	http http.Server
	text func(context.Context) []byte
	turn chan struct{} // has an element while figures are made
}

// NewServer serves what text gives. Whatever happens, text has to be done soon after
// its context.
func NewServer(text func(context.Context) []byte) *Server {
	s := &Server{text: text, turn: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, s.answer)
	s.http = http.Server{
		Handler:        mux,
		ReadTimeout:    requestTime,
		WriteTimeout:   answerTime,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       log.New(io.Discard, "", 0), // what scrapers do wrong they are told
	}
	s.http.SetKeepAlivesEnabled(false)
	return s
}

// Serve accepts connections until Close, and returns [http.ErrServerClosed] then.
func (s *Server) Serve(l net.Listener) error {
	return s.http.Serve(netutil.LimitListener(l, maxScrapers))
}

// Close ends everything at once: a scrape that fails is made up for by the next.
func (s *Server) Close() error { return s.http.Close() }

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		http.Error(w, "too many ask at once: try again later", http.StatusServiceUnavailable)
		return
	}
	text := s.text(ctx)
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // a scraper that has gone misses nothing
}
