package wire

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sidepop/pop3"
)

// marker ends a secret that is longer than the answers that may overwrite it in
// a buffer that is used once more.
const marker = "wipe-me-out"

var marked = strings.Repeat("x", 300) + marker

// wipeBackend is one of alice with that secret, which keeps the responses.
type wipeBackend struct {
	pop3.Backend
	responses [][]byte
}

func (b *wipeBackend) Password(_ context.Context, _ pop3.Peer, user, password string) (pop3.Maildrop, error) {
	if user != "alice" || password != marked {
		return nil, pop3.ErrCredentials
	}
	return &scriptedDrop{}, nil
}

func (b *wipeBackend) SASL(_ context.Context, _ pop3.Peer, mechanism string) (pop3.Exchange, error) {
	return &scriptedExchange{step: func(response []byte) ([]byte, pop3.Maildrop, error) {
		b.responses = append(b.responses, response)
		switch {
		case mechanism == "PANIC":
			panic("a defect")
		case len(b.responses) == 1:
			return []byte("once more"), nil, nil
		case mechanism == "FAIL":
			return nil, nil, pop3.ErrCredentials
		}
		return nil, &scriptedDrop{}, nil
	}}, nil
}

// TestWiped: no buffer that a login or a response was in, on either side, nor the
// response itself, holds the secret when it is free, however the login ended.
func TestWiped(t *testing.T) {
	defer func() { buffers = sync.Pool{New: func() any { return new(buffer) }} }()
	password := func(user, path string) func(*testing.T, *keeper) {
		return func(t *testing.T, k *keeper) {
			m, err := (&Client{Path: k.path + path}).Password(background, peer, user, marked)
			if (err == nil) != (user == "alice" && path == "") {
				t.Errorf("%v", err)
			}
			if m != nil {
				_ = m.Close()
			}
		}
	}
	sasl := func(mechanism, path string) func(*testing.T, *keeper) {
		return func(t *testing.T, k *keeper) {
			x, err := (&Client{Path: k.path + path}).SASL(background, peer, mechanism)
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			for challenge := []byte{}; challenge != nil; {
				var m pop3.Maildrop
				if challenge, m, _ = x.Step(background, []byte(marked)); m != nil {
					_ = m.Close()
				}
			}
		}
	}
	raw := func(packet []byte, descriptors ...int) func(*testing.T, *keeper) {
		return func(t *testing.T, k *keeper) {
			f := dialRaw(t, k)
			_ = f.SetWriteBuffer(4 * MaxPacket)
			if _, _, err := f.WriteMsgUnix(packet, unix.UnixRights(descriptors...), nil); err != nil {
				t.Fatal(err)
			}
			if in, err := f.receive(true); err == nil {
				in.free()
			}
		}
	}
	right := loginPacket("alice", marked)
	for name, test := range map[string]struct {
		do        func(*testing.T, *keeper)
		responses int
	}{
		"login":               {password("alice", ""), 0},
		"refused":             {password("bob", ""), 0},
		"no keeper":           {password("alice", "-none"), 0},
		"SASL":                {sasl("LOGIN", ""), 2},
		"SASL refused":        {sasl("FAIL", ""), 2},
		"SASL panics":         {sasl("PANIC", ""), 1},
		"SASL, no keeper":     {sasl("LOGIN", "-none"), 0},
		"keeper's side":       {raw(right), 0},
		"with more":           {raw(append(slices.Clone(right), 0)), 0},
		"with a descriptor":   {raw(right, unix.Stdin), 0},
		"longer than allowed": {raw(append(slices.Clone(right), make([]byte, MaxPacket)...)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var all []*buffer
			buffers = sync.Pool{New: func() any {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, new(buffer))
				return all[len(all)-1]
			}}
			b := &wipeBackend{}
			k := newKeeper(t, b)
			test.do(t, k)
			k.stop()
			if len(all) == 0 || len(b.responses) != test.responses {
				t.Fatalf("%d buffers, %d responses", len(all), len(b.responses))
			}
			for _, buffer := range all {
				if bytes.Contains(buffer.packet[:], []byte(marker)) {
					t.Error("a buffer holds the secret")
				}
			}
			for i, response := range b.responses {
				if !bytes.Equal(response, make([]byte, len(marked))) {
					t.Errorf("response %d is as it was", i+1)
				}
			}
		})
	}
}
