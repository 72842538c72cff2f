package metrics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serveText serves what text gives until the test ends.
func serveText(t *testing.T, text func(context.Context) []byte) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(text)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestServe(t *testing.T) {
	address := serveText(t, func(context.Context) []byte { return []byte("a 1\n") })
	for _, tt := range []struct {
		request string
		status  int
		body    string
	}{
		{"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", http.StatusOK, "a 1\n"},
		{"GET /metrics?name=b HTTP/1.0\r\n\r\n", http.StatusOK, "a 1\n"},
		{"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", http.StatusOK, ""},
		{"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", http.StatusMethodNotAllowed, "Method Not Allowed\n"},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", http.StatusNotFound, "404 page not found\n"},
		{"GET /debug/pprof/ HTTP/1.1\r\nHost: x\r\n\r\n", http.StatusNotFound, "404 page not found\n"},
		{"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge, "431 Request Header Fields Too Large"},
		{"QUIT\r\n\r\n", http.StatusBadRequest, "400 Bad Request"},
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		go func() { _, _ = io.WriteString(c, tt.request) }() // which may be cut off
		method, _, _ := strings.Cut(tt.request, " ")
		r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%.20q: %v", tt.request, err)
		}
		body, _ := io.ReadAll(r.Body)
		if r.StatusCode != tt.status || string(body) != tt.body || !r.Close {
			t.Errorf("%.20q: %d, %q, the connection ends: %v", tt.request, r.StatusCode, body, r.Close)
		}
		if kind := r.Header.Get("Content-Type"); tt.status == http.StatusOK && kind != ContentType {
			t.Errorf("type %q", kind)
		}
		_ = c.Close()
	}
}

// TestServeMany: figures are made for one at a time, and everybody gets them.
func TestServeMany(t *testing.T) {
	var making, most atomic.Int32
	address := serveText(t, func(context.Context) []byte {
		most.Store(max(most.Load(), making.Add(1)))
		defer making.Add(-1)
		time.Sleep(time.Millisecond)
		return []byte("a 1\n")
	})
	var all sync.WaitGroup
	failed := make(chan error, 200)
	for range 200 {
		all.Go(func() {
			r, err := http.Get("http://" + address + Path)
			if err != nil {
				failed <- err
				return
			}
			defer r.Body.Close()
			if body, err := io.ReadAll(r.Body); string(body) != "a 1\n" {
				failed <- fmt.Errorf("%d, %q, %v", r.StatusCode, body, err)
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	if most.Load() != 1 {
		t.Errorf("made %d times at once", most.Load())
	}
}

// TestServeSilent: those who connect and say nothing take places, no more than there
// are, and lose them.
func TestServeSilent(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	t.Parallel()
	address := serveText(t, func(context.Context) []byte { return []byte("a 1\n") })
	for i := range maxScrapers {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nX: ") // the rest never comes
		}
	}
	begin := time.Now()
	r, err := (&http.Client{Timeout: 4 * requestTime}).Get("http://" + address + Path)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if took := time.Since(begin); took < requestTime/2 || took > 2*requestTime {
		t.Errorf("%v", took)
	}
}
