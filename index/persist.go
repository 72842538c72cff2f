package index

import (
	"encoding/binary"
	"errors"
	"slices"

	"sidepop/index/store"
)

// What the store has of a mailbox:
//
//	header  version, options that UIDLs depend on, owner, user, proof, sums
//	entry   key: seconds and microseconds as four bytes each, unique name
//	        value: bytes, octets beyond them, place, source, rank, UIDL
//
// Numbers are of variable length (encoding/binary) unless said otherwise.
// Messages that share a unique name are not stored: they are counted again.

// headerVersion changes with the format and with what counting means.
const headerVersion = 2

// errFormat says that the store has something that was not written here.
var errFormat = errors.New("the index store holds a malformed record")

// header is what the store keeps of a mailbox beside its entries.
type header struct {
	options  []byte // those that UIDLs depend on
	owner    *Owner
	user     string
	proof    proof
	proven   bool
	order    order
	messages int
	octets   int64
}

// fingerprint is the options that stored UIDLs depend on. With others a mailbox
// is counted anew.
func (o *Options) fingerprint() []byte {
	b := []byte{byte(o.Scheme), 0}
	if o.XUIDL {
		b[1] = 1
	}
	if !o.ListsBefore.IsZero() {
		b = binary.AppendVarint(b, o.ListsBefore.Unix())
	}
	return b
}

func (h *header) encode() []byte {
	b := []byte{headerVersion}
	b = appendString(b, string(h.options))
	b = appendOwner(b, h.owner)
	b = appendString(b, h.user)
	for _, s := range append(h.proof.dirs[:], h.proof.lists[:]...) {
		for _, n := range []uint64{s.dev, s.ino, uint64(s.size), uint64(s.mtime), uint64(s.ctime)} {
			b = binary.AppendUvarint(b, n)
		}
	}
	proven := uint64(0)
	if h.proven {
		proven = 1
	}
	for _, n := range []uint64{proven, uint64(h.order), uint64(h.messages), uint64(h.octets)} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func decodeHeader(b []byte) (*header, error) {
	if len(b) == 0 || b[0] != headerVersion {
		return nil, errFormat
	}
	r := decoder{b: b[1:]}
	h := &header{options: []byte(r.string()), owner: r.owner(), user: r.string()}
	stamp := func() stamp {
		return stamp{r.number(), r.number(), int64(r.number()), int64(r.number()), int64(r.number())}
	}
	for i := range h.proof.dirs {
		h.proof.dirs[i] = stamp()
	}
	for i := range h.proof.lists {
		h.proof.lists[i] = stamp()
	}
	h.proven = r.number() == 1
	h.order = order(r.number())
	h.messages, h.octets = int(r.number()), int64(r.number())
	if r.bad || len(r.b) > 0 || h.order > orderCourier {
		return nil, errFormat
	}
	return h, nil
}

func (e *entry) encodeKey() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 8+len(e.unique)), e.sec)
	b = binary.BigEndian.AppendUint32(b, e.usec)
	return append(b, e.unique...)
}

func (e *entry) encodeValue() []byte {
	b := make([]byte, 0, 24+len(e.info)+len(e.uidl))
	for _, n := range []uint64{
		uint64(e.bytes), uint64(e.bare), uint64(e.folder), uint64(e.colons), uint64(e.source),
		uint64(e.rank.pop3), uint64(e.rank.uid),
	} {
		b = binary.AppendUvarint(b, n)
	}
	return appendString(appendString(b, e.info), e.uidl)
}

func decodeEntry(key, value []byte) (*entry, error) {
	if len(key) <= 8 {
		return nil, errFormat
	}
	r := decoder{b: value}
	e := &entry{
		nums:   nums{binary.BigEndian.Uint32(key), binary.BigEndian.Uint32(key[4:])},
		unique: string(key[8:]),
		bytes:  int64(r.number()), bare: uint32(r.number()),
		folder: folder(r.number()), colons: uint8(r.number()), source: source(r.number()),
		rank: rank{uint32(r.number()), uint32(r.number())},
		info: r.string(), uidl: r.string(),
	}
	if r.bad || len(r.b) > 0 || e.folder >= folders || e.source == 0 || e.source >= sources || e.bytes < 0 {
		return nil, errFormat
	}
	return e, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads what was appended. After a mistake it gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) string() string {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

// load takes over what the store has of the mailbox. What can't be used is
// dropped: it is derived again.
func (m *mailbox) load() {
	x := m.x
	if x.store == nil {
		return
	}
	var h *header
	var list []*entry
	found, err := x.store.Load(m.path,
		func(b []byte) (err error) {
			if h, err = decodeHeader(b); err == nil {
				list = make([]*entry, 0, h.messages)
			}
			return err
		},
		func(key, value []byte) error {
			e, err := decodeEntry(key, value)
			list = append(list, e)
			return err
		})
	if err == nil && found && (h == nil || string(h.options) != string(x.o.fingerprint())) {
		err = errFormat
	}
	if err != nil {
		x.drop(m.path)
		return
	}
	if !found {
		return
	}
	if !slices.IsSortedFunc(list, compareEntries) {
		slices.SortFunc(list, compareEntries)
	}
	m.setList(list)
	m.owner, m.user, m.stored = h.owner, h.user, true
	m.proof, m.order = h.proof, h.order
	m.proven = h.proven && h.messages == len(list)
	m.away.unknown = h.proof.lists != [lists]stamp{}
	served := list
	if m.order != orderDelivery {
		served = slices.Clone(list)
		slices.SortFunc(served, m.order.compare)
	}
	if m.order != orderDelivery || x.o.XUIDL || slices.ContainsFunc(list, (*entry).special) {
		m.serve(served, assignUIDLs(served))
	}
}

// header is what the store keeps of the mailbox as it is now.
func (m *mailbox) header() []byte {
	h := header{
		options: m.x.o.fingerprint(), owner: m.owner, user: m.user, proof: m.proof, order: m.order,
		proven:   m.proven && len(m.odd) == 0,
		messages: len(m.list), octets: m.octets,
	}
	return h.encode()
}

// save tells the store what an update has changed.
func (m *mailbox) save(u *update) {
	x := m.x
	if x.store == nil {
		return
	}
	s := store.Update{Mailbox: m.path, Header: m.header()}
	if !m.stored || u.recast {
		s.Clear = true
		s.Put = m.encode(m.list)
		m.takeRelocated()
	} else {
		for e := range u.removed {
			s.Delete = append(s.Delete, e.encodeKey())
		}
		for _, e := range u.added {
			if e.odd() {
				s.Delete = append(s.Delete, e.encodeKey())
			}
		}
		s.Put = m.encode(append(u.unsaved, m.takeRelocated()...))
	}
	m.stored = true
	x.store.Update(s)
}

func (m *mailbox) encode(entries []*entry) []store.Entry {
	m.places.RLock()
	defer m.places.RUnlock()
	put := make([]store.Entry, 0, len(entries))
	for _, e := range entries {
		if !e.odd() {
			put = append(put, store.Entry{Key: e.encodeKey(), Value: e.encodeValue()})
		}
	}
	return put
}

// takeRelocated gives the messages of the list whose files have got other names.
func (m *mailbox) takeRelocated() []*entry {
	m.places.Lock()
	relocated := m.relocated
	m.relocated = nil
	m.places.Unlock()
	return slices.DeleteFunc(relocated, func(e *entry) bool { return !slices.Contains(same(m.list, e.key()), e) })
}

// beginSaving makes sure that the store takes what is counted from now on, as
// entries of a list that is not complete.
func (m *mailbox) beginSaving() {
	if m.x.store == nil || m.stored {
		return
	}
	m.x.store.Update(store.Update{Mailbox: m.path, Header: m.header(), Clear: true, Put: m.encode(m.list)})
	m.stored = true
}

// saveCounted saves what was counted of many: a count that is interrupted goes
// on from there. Names beside others of the same unique name are left out, and
// save removes the rest of them.
func (m *mailbox) saveCounted(cs []candidate, results []counted) {
	if m.x.store == nil {
		return
	}
	s := store.Update{Mailbox: m.path}
	for i, r := range results {
		if r.entry != nil && (i == 0 || cs[i-1].unique != cs[i].unique) {
			s.Put = append(s.Put, store.Entry{Key: r.entry.encodeKey(), Value: r.entry.encodeValue()})
		}
	}
	m.x.store.Update(s)
}

// drop forgets a mailbox.
func (x *Index) drop(path string) {
	if x.store != nil {
		x.store.Update(store.Update{Mailbox: path, Drop: true})
	}
}
