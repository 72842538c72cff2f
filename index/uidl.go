package index

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	// maxUIDL is the longest unique-id (RFC 1939, section 7).
	maxUIDL = 70

	// maxListed is the longest UIDL that is taken from a list. Dovecot gave out
	// longer ones than it should have, and programs have kept them.
	maxListed = 255

	// hashDigits is the length of a UIDL made by hashing: 128 bits, so that
	// nobody finds two names with the same one by chance.
	hashDigits = 32

	// maxHeader is how much of a message is searched for its X-UIDL field.
	// Servers that wrote it put it near the top; 64 KiB holds any header that
	// mail systems let through.
	maxHeader = 64 << 10
)

// Scheme makes a UIDL from a message's unique name. A result that a client
// could not take, by length or characters, is replaced by the first 32 digits
// of the name's SHA-256 in lower-case hexadecimal.
type Scheme uint8

const (
	SchemeOwn     Scheme = iota // the unique name itself
	SchemeMD5                   // its MD5 in lower-case hexadecimal: solid-pop3d, tpop3d
	SchemeCourier               // itself, with quotes, plus signs and what is not printable written +XX: Courier without numbers
)

func (s Scheme) uidl(unique string) string {
	switch s {
	case SchemeMD5:
		sum := md5.Sum([]byte(unique))
		return hex.EncodeToString(sum[:])
	case SchemeCourier:
		return usable(courierName(unique), unique)
	}
	return usable(unique, unique)
}

// claim is the UIDL as entries have it: "" is the unique name itself.
func (s Scheme) claim(unique string) string {
	if uidl := s.uidl(unique); uidl != unique {
		return uidl
	}
	return ""
}

// source is where a UIDL comes from. Where two messages claim the same one, it
// goes to the lower source, and within a source to the message that comes first.
// So mail that arrives takes no UIDL from mail that is there, except by a name
// that sorts before it, which a delivery agent does not make. A header field
// claims last, because strangers write it.
type source uint8

const (
	fromList   source = iota + 1 // a list of a previous server
	fromName                     // the scheme
	fromHeader                   // X-UIDL
	sources                      // one more than the last
)

// validUIDL says that the characters are those of a UIDL (RFC 1939, section 7),
// and no more than most.
func validUIDL(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E {
			return false
		}
	}
	return true
}

// usable gives uidl if clients can take it, else the hash of the unique name.
func usable(uidl, unique string) string {
	if validUIDL(uidl, maxUIDL) {
		return uidl
	}
	return hashUIDL(unique)
}

func hashUIDL(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:hashDigits/2])
}

// courierName is how Courier writes a name as a UIDL.
func courierName(unique string) string {
	plain := func(c byte) bool {
		return c >= 0x21 && c <= 0x7E && c != '\'' && c != '"' && c != '+'
	}
	var b strings.Builder
	for i := range len(unique) {
		if c := unique[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}

// assignUIDLs finds those entries, in the order in which they are served, that
// can't have the UIDL that they claim, and gives them others.
//
// A message keeps its UIDL whatever comes and goes, but for one case: of those
// that claim the same UIDL all but one get a substitute, and when the one that
// has it is removed, another one gets it. Nothing is remembered, so this cannot
// be told from a mailbox where that one never was.
func assignUIDLs(entries []*entry) (renamed map[*entry]string) {
	taken := make(map[string]struct{}, len(entries))
	for s := source(1); s < sources; s++ {
		for _, e := range entries {
			if e.source != s {
				continue
			}
			uidl := e.claim()
			for try := 0; ; try++ {
				if _, ok := taken[uidl]; !ok {
					break
				}
				uidl = substitute(e.unique, max(int(e.nth)-1, 0), try)
				if renamed == nil {
					renamed = make(map[*entry]string)
				}
				renamed[e] = uidl
			}
			taken[uidl] = struct{}{}
		}
	}
	return renamed
}

// substitute is the UIDL of a message whose own one is taken: the hash of the
// unique name, of the number of files with this name before it, and of how many
// substitutes are taken too, which needs a forged list. No file name has a
// slash, so no name is hashed to the same by its own.
func substitute(unique string, nth, try int) string {
	return hashUIDL(fmt.Sprintf("%s/%d/%d", unique, nth, try))
}

// headerUIDL finds the X-UIDL field in the beginning of a message. It gives ""
// where there is none, or its value cannot be a UIDL, or the first one is
// continued on a second line.
func headerUIDL(header []byte) string {
	const field = "x-uidl:"
	for {
		line, rest, whole := bytes.Cut(header, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if !whole && len(header) == 0 || len(line) == 0 {
			return ""
		}
		if len(line) >= len(field) && strings.EqualFold(string(line[:len(field)]), field) {
			value := string(bytes.Trim(line[len(field):], " \t"))
			folded := len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t')
			if !whole || folded || !validUIDL(value, maxUIDL) {
				return ""
			}
			return value
		}
		header = rest
	}
}
