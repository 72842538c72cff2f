package helper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// version is the first octet of every packet. Both programs come from one
// build, so there is only one that is spoken.
const version = 1

// maxPacket is the size of the longest packet: an answer whose account has the
// longest home and the most groups, with the most and longest messages.
const maxPacket = 16 << 10

// verb is the second octet of a packet.
type verb uint8

const (
	verbReady        verb = iota + 1 // from the helper, once, before anything else
	verbAuthenticate                 // to the helper
	verbLookup                       // to the helper
	verbAnswer                       // from the helper
	verbAdmit                        // to the helper
)

// The octet of a login's options.
const (
	optionSetCred byte = 1 << iota
	optionOpenSession
	optionsAll = optionSetCred | optionOpenSession
)

// request is a packet to the helper: numbers in network order, texts with
// their length as two octets before them.
//
//	authenticate: id(8) service user password address(1+0, 1+4 or 1+16) options(1)
//	lookup:       id(8) user
//	admit:        id(8) service user address
type request struct {
	id    uint64
	verb  verb
	login Login // of a lookup only the user, and of admit no password and options
}

// reply is a packet from the helper.
//
//	ready:  nothing
//	answer: id(8) outcome(1) [name uid(4) gid(4) home groups(2) group(4)...] messages(1) message...
type reply struct {
	id     uint64
	verb   verb
	answer Answer
}

// encode makes the packet of a request that was checked. The packet may hold
// a password: whoever has written it wipes it.
func (r *request) encode() []byte {
	// It must not grow: what it grew out of would keep the password.
	const fixed = 2 + 8 + 3*2 + 1 + 16 + 1
	l := &r.login
	p := make([]byte, 0, fixed+len(l.Service)+len(l.User)+len(l.Password))
	p = append(p, version, byte(r.verb))
	p = binary.BigEndian.AppendUint64(p, r.id)
	if r.verb == verbLookup {
		return appendText(p, l.User)
	}
	p = appendText(p, l.Service)
	p = appendText(p, l.User)
	if r.verb == verbAuthenticate {
		p = appendText(p, l.Password)
	}
	address := l.Remote.Unmap().WithZone("").AsSlice()
	p = append(p, byte(len(address)))
	p = append(p, address...)
	if r.verb == verbAdmit {
		return p
	}
	options := byte(0)
	if l.SetCred {
		options |= optionSetCred
	}
	if l.OpenSession {
		options |= optionOpenSession
	}
	return append(p, options)
}

// decodeRequest reads a packet to the helper. The password is a copy.
func decodeRequest(packet []byte) (*request, error) {
	d := decoder{rest: packet}
	r := &request{verb: d.header()}
	r.id = d.uint64()
	switch r.verb {
	case verbAuthenticate:
		r.login.Service = d.text()
		r.login.User = d.text()
		r.login.Password = bytes.Clone(d.octets())
		r.login.Remote = d.address()
		options := d.uint8()
		if options&^optionsAll != 0 {
			d.fail("unknown option")
		}
		r.login.SetCred = options&optionSetCred != 0
		r.login.OpenSession = options&optionOpenSession != 0
	case verbLookup:
		r.login.User = d.text()
	case verbAdmit:
		r.login.Service = d.text()
		r.login.User = d.text()
		r.login.Remote = d.address()
	default:
		d.fail("unknown verb")
	}
	err := d.end()
	if err == nil {
		err = r.check()
	}
	if err != nil {
		r.login.Password.Wipe()
		return nil, fmt.Errorf("malformed request: %w", err)
	}
	return r, nil
}

// encode makes the packet of a reply whose answer was checked.
func (r *reply) encode() []byte {
	p := []byte{version, byte(r.verb)}
	if r.verb == verbReady {
		return p
	}
	p = binary.BigEndian.AppendUint64(p, r.id)
	p = append(p, byte(r.answer.Outcome))
	if r.answer.Outcome.hasAccount() {
		a := &r.answer.Account
		p = appendText(p, a.Name)
		p = binary.BigEndian.AppendUint32(p, a.UID)
		p = binary.BigEndian.AppendUint32(p, a.GID)
		p = appendText(p, a.Home)
		p = binary.BigEndian.AppendUint16(p, uint16(len(a.Groups)))
		for _, g := range a.Groups {
			p = binary.BigEndian.AppendUint32(p, g)
		}
	}
	p = append(p, byte(len(r.answer.Messages)))
	for _, m := range r.answer.Messages {
		p = appendText(p, m)
	}
	return p
}

// decodeReply reads a packet from the helper.
func decodeReply(packet []byte) (*reply, error) {
	d := decoder{rest: packet}
	r := &reply{verb: d.header()}
	switch r.verb {
	case verbReady:
	case verbAnswer:
		r.id = d.uint64()
		r.answer.Outcome = Outcome(d.uint8())
		if r.answer.Outcome.hasAccount() {
			r.answer.Account = d.account()
		}
		for range d.uint8() {
			r.answer.Messages = append(r.answer.Messages, d.text())
		}
		if d.err == nil {
			d.err = r.answer.check()
		}
	default:
		d.fail("unknown verb")
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("malformed answer: %w", err)
	}
	return r, nil
}

func appendText[T string | Secret](p []byte, text T) []byte {
	p = binary.BigEndian.AppendUint16(p, uint16(len(text)))
	return append(p, text...)
}

// decoder reads the fields of a packet. After its first error every field is
// empty.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(text string) {
	if d.err == nil {
		d.err = errors.New(text)
	}
	d.rest = nil
}

// header reads what every packet begins with.
func (d *decoder) header() verb {
	if len(d.rest) > maxPacket {
		d.fail("packet is too long")
	}
	if v := d.uint8(); v != version && d.err == nil {
		d.fail(fmt.Sprintf("protocol version %d, and %d is spoken here: install both programs from one release", v, version))
	}
	return verb(d.uint8())
}

// next takes n octets, or nil where there are fewer.
func (d *decoder) next(n int) []byte {
	if n > len(d.rest) {
		d.fail("packet is too short")
		return nil
	}
	octets := d.rest[:n]
	d.rest = d.rest[n:]
	return octets
}

func (d *decoder) uint8() uint8 {
	if octets := d.next(1); octets != nil {
		return octets[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if octets := d.next(2); octets != nil {
		return binary.BigEndian.Uint16(octets)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if octets := d.next(4); octets != nil {
		return binary.BigEndian.Uint32(octets)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if octets := d.next(8); octets != nil {
		return binary.BigEndian.Uint64(octets)
	}
	return 0
}

func (d *decoder) octets() []byte { return d.next(int(d.uint16())) }

func (d *decoder) text() string { return string(d.octets()) }

func (d *decoder) address() netip.Addr {
	octets := d.next(int(d.uint8()))
	address, ok := netip.AddrFromSlice(octets)
	if len(octets) > 0 && !ok || address.Is4In6() {
		d.fail("malformed address")
	}
	return address
}

func (d *decoder) account() Account {
	a := Account{Name: d.text(), UID: d.uint32(), GID: d.uint32(), Home: d.text()}
	n := int(d.uint16())
	if 4*n > len(d.rest) {
		d.fail("packet is too short")
		return a
	}
	for range n {
		a.Groups = append(a.Groups, d.uint32())
	}
	return a
}

// end says whether the packet was read without error and to its end.
func (d *decoder) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.fail("octets after the end of the message")
	}
	return d.err
}
