package index

import (
	"io"
	"strconv"
	"strings"
)

// parseCourier reads a courierpop3dsizelist. The versions:
//
//	/3 <nextuid> <uidvalidity>    <file name> <size> <uid>:<uidvalidity>:<utf8>
//	/2 <nextuid> <uidvalidity>    <file name> <size> <uid>:<uidvalidity>
//	/1 <nextuid>                  <file name> <size> <uid>
//	no header                     <file name> <size>
//
// File names may hold spaces, so lines are read from the right.
func parseCourier(lines *lineReader, use func(listed)) error {
	version := -1
	for {
		line, err := lines.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if version < 0 {
			var header, ok bool
			if version, header, ok = courierHeader(string(line)); !ok {
				return errHeader
			}
			if header {
				continue
			}
		}
		l, ok := courierLine(version, string(line))
		if !ok {
			lines.malformed()
			continue
		}
		use(l)
	}
}

// courierHeader reads the first line of a list. One that does not begin with a
// slash, as no file name does, is no header but a line of version 0.
func courierHeader(line string) (version int, header, ok bool) {
	if !strings.HasPrefix(line, "/") {
		return 0, false, true
	}
	fields := strings.Fields(line)
	wants := map[string]int{"/1": 2, "/2": 3, "/3": 3}
	if wants[fields[0]] != len(fields) {
		return 0, false, false
	}
	for _, f := range fields[1:] {
		if _, err := strconv.ParseUint(f, 10, 64); err != nil {
			return 0, false, false
		}
	}
	return int(fields[0][1] - '0'), true, true
}

// courierLine reads a line for a message.
func courierLine(version int, line string) (l listed, ok bool) {
	var uid, validity uint64
	if version > 0 {
		var ids string
		if line, ids, ok = cutLast(line); !ok {
			return l, false
		}
		numbers := strings.Split(ids, ":")
		if len(numbers) != version {
			return l, false
		}
		var err error
		if uid, err = strconv.ParseUint(numbers[0], 10, 64); err != nil {
			return l, false
		}
		if version > 1 {
			if validity, err = strconv.ParseUint(numbers[1], 10, 64); err != nil {
				return l, false
			}
		}
	}
	name, size, ok := cutLast(line)
	if !ok || name == "" {
		return l, false
	}
	if _, err := strconv.ParseUint(size, 10, 64); err != nil {
		return l, false
	}
	l.unique = uniqueName(name)
	l.uidl = courierUIDL(uid, validity, l.unique)
	return l, true
}

// cutLast cuts s at its last space.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// courierUIDL is the UIDL that Courier gives; 0 stands for no number.
func courierUIDL(uid, validity uint64, unique string) string {
	switch {
	case uid == 0:
		return courierName(unique)
	case validity == 0:
		return "UID" + strconv.FormatUint(uid, 10)
	}
	return "UID" + strconv.FormatUint(uid, 10) + "-" + strconv.FormatUint(validity, 10)
}
