package auth

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"sidepop/auth/internal/version"
)

// maxRemembered bounds the logins in memory, about 8 MB; the oldest one gives
// way.
const maxRemembered = 20_000

// loginKey is a keyed hash of a login.
type loginKey [sha256.Size]byte

// memory has logins that were right, for a time. Of a login it keeps a hash that
// needs the process's secret to be computed, and of a password nothing else. A
// login counts from its own address alone, since its source may have judged by
// that. Logins that are asked about at the same time are not joined: sources bear
// them anyway, and one answer for several would need the password for longer.
type memory struct {
	secret [sha256.Size]byte

	mu      sync.Mutex
	logins  map[loginKey]*list.Element // of *remembered
	order   list.List                  // the oldest first
	paths   []string                   // of the files
	files   version.Version            // as they were for all logins in memory
	changes uint64                     // of files
}

type remembered struct {
	key     loginKey
	account Account
	since   time.Time
}

// moment says what a login that is looked up now would rely on.
type moment struct {
	changes uint64
	settled bool // a further change of a file would show
}

func newMemory() *memory {
	m := &memory{logins: make(map[loginKey]*list.Element)}
	rand.Read(m.secret[:]) // never fails
	return m
}

// key is the hash of all that a source judges by.
func (m *memory) key(l Login) (key loginKey) {
	address, _ := l.Remote.MarshalBinary() // never fails
	parts := [...]string{l.User, l.Identity, l.Password, string(address)}
	octets := 0
	for _, part := range parts {
		octets += binary.MaxVarintLen64 + len(part)
	}
	text := make([]byte, 0, octets) // wiped below, so it must not grow
	for _, part := range parts {
		text = binary.AppendUvarint(text, uint64(len(part)))
		text = append(text, part...)
	}
	h := hmac.New(sha256.New, m.secret[:])
	h.Write(text)
	clear(text)
	h.Sum(key[:0])
	return key
}

// find gives the account of a login that was right at most age ago and since the
// last change of a file, or nil. The moment is for put, if the login turns out to
// be right.
func (m *memory) find(key loginKey, age time.Duration, paths []string) (*Account, moment) {
	files, settled := version.Look(paths...)
	m.mu.Lock()
	defer m.mu.Unlock()
	if files != m.files || !slices.Equal(paths, m.paths) {
		m.clear()
		m.paths, m.files = slices.Clone(paths), files
	}
	now := moment{m.changes, settled}
	element := m.logins[key]
	if element == nil {
		return nil, now
	}
	r := element.Value.(*remembered)
	if time.Since(r.since) >= age {
		m.remove(element)
		return nil, now
	}
	return r.account.clone(), now
}

// put remembers a login that was found right after a moment, unless files have
// been seen to change since then, or might have changed without a trace.
func (m *memory) put(key loginKey, account *Account, at moment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !at.settled || at.changes != m.changes {
		return
	}
	if old := m.logins[key]; old != nil {
		m.remove(old)
	}
	if m.order.Len() >= maxRemembered {
		m.remove(m.order.Front())
	}
	m.logins[key] = m.order.PushBack(&remembered{key, *account.clone(), time.Now()})
}

// clear forgets all logins, those too that are being asked about now. With mu held.
func (m *memory) clear() {
	m.changes++
	clear(m.logins)
	m.order.Init()
}

func (m *memory) remove(element *list.Element) {
	delete(m.logins, element.Value.(*remembered).key)
	m.order.Remove(element)
}

// clone gives a copy that has nothing in common with the account.
func (a *Account) clone() *Account {
	c := *a
	c.Groups = slices.Clone(a.Groups)
	for _, id := range []**uint32{&c.UID, &c.GID} {
		if *id != nil {
			value := **id
			*id = &value
		}
	}
	return &c
}
