package wire

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// signing bounds the signatures that are made at once, so that a front can't
// take all processors and all memory.
type signing struct {
	slots   chan struct{} // one for each processor
	waiting atomic.Int64
}

func (s *signing) setUp() { s.slots = make(chan struct{}, runtime.GOMAXPROCS(0)) }

var (
	errBusy  = errors.New("too many handshakes wait for a signature")
	errFault = errors.New("the key can't be used")
	errNoKey = errors.New("the keeper has no key for this certificate")
)

// takeSign begins to make a signature, in a goroutine of its own.
func (f *control) takeSign(d *decoder) error {
	request := d.uint(1<<64 - 1)
	var id identity
	copy(id[:], d.fixed(len(id)))
	scheme := d.int(len(schemes) - 1)
	digest := bytes.Clone(d.bytes(maxSigned))
	if err := d.end(); err != nil {
		return err
	}
	s := &f.server.signing
	if s.waiting.Add(1) > maxSigning {
		s.waiting.Add(-1)
		return f.notSigned(request, errBusy)
	}
	f.helpers.Go(func() {
		defer s.waiting.Add(-1)
		select {
		case s.slots <- struct{}{}:
		case <-f.gone:
			return
		}
		signature, err := f.sign(id, scheme, digest)
		<-s.slots
		if err != nil {
			_ = f.notSigned(request, err)
			return
		}
		b := newBuffer()
		defer b.free()
		_ = f.tell(appendBytes(appendUint(b.begin(verbSigned), request), signature))
	})
	return nil
}

func (f *control) sign(id identity, number int, digest []byte) (signature []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			f.server.Events.Failed(f.peer, "", "sign", fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			err = errFault
		}
	}()
	state := f.server.state.Load()
	key := state.key(id, time.Now())
	if key == nil {
		return nil, errNoKey
	}
	if number >= oldSchemes && !state.old {
		return nil, errScheme
	}
	scheme := schemes[number]
	if err := checkScheme(key.Public(), scheme, digest); err != nil {
		return nil, err
	}
	signature, err = key.Sign(rand.Reader, digest, scheme)
	if err == nil && len(signature) > maxSignature {
		err = fmt.Errorf("a signature of %d octets", len(signature))
	}
	return signature, err
}

// notSigned tells why there is no signature. That is no secret.
func (f *control) notSigned(request uint64, err error) error {
	b := newBuffer()
	defer b.free()
	return f.tell(appendBytes(appendUint(b.begin(verbNotSigned), request), cut(err.Error(), maxReason)))
}
