package wire

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
)

// rightsSpace is the size of the control message with MaxOpen descriptors.
const rightsSpace = unix.SizeofCmsghdr + MaxOpen*4

// buffer holds one packet. It belongs to whoever is making or taking that
// packet apart.
type buffer struct {
	packet [MaxPacket]byte
	rights [rightsSpace]byte
	secret int // so many octets of packet are wiped before somebody else gets it
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) free() {
	clear(b.packet[:b.secret])
	b.secret = 0
	buffers.Put(b)
}

// begin starts a packet. What is appended fits: it is bounded, or conn.send
// refuses it.
func (b *buffer) begin(v verb) []byte { return append(b.packet[:0], version, byte(v)) }

func appendUint[T ~int | ~int64 | ~uint16 | ~uint64](p []byte, x T) []byte {
	return binary.AppendUvarint(p, uint64(x))
}

func appendBool(p []byte, x bool) []byte {
	if x {
		return append(p, 1)
	}
	return append(p, 0)
}

func appendBytes[T string | []byte](p []byte, s T) []byte {
	return append(binary.AppendUvarint(p, uint64(len(s))), s...)
}
