package index

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// parseDovecot reads a dovecot-uidlist. Version 3, of Dovecot since 1.1:
//
//	3 V<uidvalidity> N<nextuid> G<mailbox GUID>
//	<uid>[ <key><value>]... :<unique name>
//
// with the keys P (saved UIDL, empty for the name itself) and O (POP3 order)
// among others. Version 1:
//
//	1 <uidvalidity> <nextuid>
//	<uid> <file name>
//
// UIDs ascend strictly, and a line where they do not is malformed. The default
// UIDL is that of pop3_uidl_format = %08Xu%08Xv: both numbers in lower-case
// hexadecimal, the UID first.
func parseDovecot(lines *lineReader, use func(listed)) error {
	header, err := lines.next()
	if err == io.EOF {
		return errHeader
	}
	if err != nil {
		return err
	}
	version, validity, ok := dovecotHeader(string(header))
	if !ok || lines.number != 1 {
		return errHeader
	}
	var last uint32
	for {
		line, err := lines.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		l, ok := dovecotLine(version, validity, line)
		if !ok || l.rank.uid <= last {
			lines.malformed()
			continue
		}
		last = l.rank.uid
		use(l)
	}
}

// dovecotHeader reads the first line of a list. The uidvalidity must be there;
// the next UID is of no use here.
func dovecotHeader(line string) (version byte, validity uint32, ok bool) {
	fields := strings.Fields(line)
	switch {
	case len(fields) >= 2 && fields[0] == "1":
		validity, ok = number(fields[1])
		return 1, validity, ok
	case len(fields) >= 2 && fields[0] == "3":
		for _, f := range fields[1:] {
			if f[0] == 'V' {
				validity, ok = number(f[1:])
			}
		}
		return 3, validity, ok
	}
	return 0, 0, false
}

// number reads a decimal number of 32 bits that is not 0.
func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0
}

// dovecotLine reads a line for a message.
func dovecotLine(version byte, validity uint32, line []byte) (l listed, ok bool) {
	uid, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return l, false
	}
	if l.rank.uid, ok = number(string(uid)); !ok {
		return l, false
	}
	saved, named := []byte(nil), false
	for version == 3 && (len(rest) == 0 || rest[0] != infoSeparator) {
		var field []byte
		if field, rest, ok = bytes.Cut(rest, []byte(" ")); !ok || len(field) == 0 || field[0] < 'A' || field[0] > 'Z' {
			return l, false
		}
		switch field[0] {
		case 'P':
			saved, named = field[1:], true
		case 'O':
			if l.rank.pop3, ok = number(string(field[1:])); !ok {
				return l, false
			}
		}
	}
	if version == 3 {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return l, false
	}
	l.unique = uniqueName(string(rest))
	switch {
	case len(saved) > 0:
		l.uidl = string(saved)
	case named:
		l.uidl = l.unique
	default:
		l.uidl, l.computed = fmt.Sprintf("%08x%08x", l.rank.uid, validity), true
	}
	return l, true
}
