package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// violation is what the other side did that it must not.
type violation string

func (v violation) Error() string { return "protocol violated: " + string(v) }

// isViolation tells a violation from a connection that ended.
func isViolation(err error) bool {
	var v violation
	return errors.As(err, &v)
}

const (
	errShort     violation = "packet too short"
	errTrailing  violation = "octets after the end of a packet"
	errVersion   violation = "another version of the protocol"
	errNumber    violation = "number not in its shortest form"
	errRange     violation = "number out of range"
	errLength    violation = "length out of range"
	errOctets    violation = "octets that are not allowed in an identifier or a name"
	errTruncated violation = "packet too long"
	errRights    violation = "descriptors where none are expected"
	errTurn      violation = "verb out of turn"
	errUntaken   violation = "descriptors are asked for, or the session is left, before the last answer was taken"
)

// decoder takes a packet apart. After a mistake, which is kept in err, it gives
// zero values.
type decoder struct {
	packet []byte
	at     int // what comes before is taken
	err    error
}

// decode begins with a packet.
func decode(packet []byte) (verb, *decoder, error) {
	switch {
	case len(packet) < 2:
		return 0, nil, errShort
	case packet[0] != version:
		return 0, nil, fmt.Errorf("%w: %d, and this is %d", errVersion, packet[0], version)
	}
	return verb(packet[1]), &decoder{packet: packet, at: 2}, nil
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.at = len(d.packet)
}

// end is called when everything was taken.
func (d *decoder) end() error {
	if d.more() {
		d.fail(errTrailing)
	}
	return d.err
}

// more says whether anything is left, in packets that end with a list.
func (d *decoder) more() bool { return d.at < len(d.packet) }

// uint is a number of at most limit.
func (d *decoder) uint(limit uint64) uint64 {
	rest := d.packet[d.at:]
	x, n := binary.Uvarint(rest)
	switch {
	case n == 0:
		d.fail(errShort)
	case n < 0:
		d.fail(errRange)
	case n > 1 && rest[n-1] == 0:
		d.fail(errNumber)
	case x > limit:
		d.fail(errRange)
	default:
		d.at += n
		return x
	}
	return 0
}

func (d *decoder) int(limit int) int { return int(d.uint(uint64(max(limit, 0)))) }

func (d *decoder) bool() bool { return d.uint(1) == 1 }

// fixed is n octets, which stay in the packet.
func (d *decoder) fixed(n int) []byte {
	if n > len(d.packet)-d.at {
		d.fail(errShort)
		return nil
	}
	d.at += n
	return d.packet[d.at-n : d.at : d.at]
}

// bytes is at most limit octets, which stay in the packet.
func (d *decoder) bytes(limit int) []byte {
	n := d.uint(MaxPacket)
	if n > uint64(limit) {
		d.fail(errLength)
		return nil
	}
	return d.fixed(int(n))
}

func (d *decoder) string(limit int) string { return string(d.bytes(limit)) }
