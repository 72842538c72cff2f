package auth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"sidepop/auth/internal/version"
)

const (
	// maxFileOctets limits a passwd file, which is held in memory: about half
	// a million users.
	maxFileOctets = 64 << 20

	// maxWarnings limits what is said about one version of a file.
	maxWarnings = 20
)

// kept is what a file says as it is now: it is read when it is first needed, and again
// when it has changed.
type kept[T any] struct {
	path  string
	parse func(path, content string) (*T, error)

	mu      sync.Mutex
	value   *T // nil until read, and while the file cannot be read
	content string
	version version.Version
	settled bool // the version proves that the value is current
}

func keep[T any](path string, parse func(path, content string) (*T, error)) *kept[T] {
	return &kept[T]{path: path, parse: parse}
}

// current gives the value of the file as it is now. Errors wrap ErrTemporary or
// ErrPermanent.
func (k *kept[T]) current() (*T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.path)
	if err == nil && k.value != nil && k.settled {
		if v, _ := version.Of(info); v == k.version {
			return k.value, nil
		}
	}
	// Whoever takes a file away wants nobody in: what it held is forgotten.
	old, before := k.value, k.content
	k.value, k.content = nil, ""
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	content, v, settled, err := readFile(k.path)
	if err != nil {
		return nil, err
	}
	if old == nil || before != content {
		if old, err = k.parse(k.path, content); err != nil {
			return nil, &fault{ErrPermanent, err}
		}
	}
	k.value, k.content, k.version, k.settled = old, content, v, settled
	return old, nil
}

// file is one passwd file and its users.
type file struct {
	*kept[table]
	used uint64 // when it was used last; guarded by Passwd.mu
}

// newFile makes one that warn is told the malformed lines of.
func newFile(path string, warn func(error)) *file {
	return &file{kept: keep(path, func(path, content string) (*table, error) {
		return parseTable(path, content, warn), nil
	})}
}

// readFile reads a file, and says which version of it that is.
func readFile(path string) (text string, v version.Version, settled bool, err error) {
	fail := func(err error) (string, version.Version, bool, error) { return "", "", false, err }
	// O_NONBLOCK: opening a FIFO must not wait for somebody to write to it.
	opened, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrTemporary, err))
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrTemporary, err))
	}
	if !info.Mode().IsRegular() {
		return fail(fmt.Errorf("%w: %s: not a regular file", ErrPermanent, path))
	}
	v, settled = version.Of(info)
	var content strings.Builder
	content.Grow(int(min(info.Size(), maxFileOctets)) + 1)
	n, err := io.Copy(&content, io.LimitReader(opened, maxFileOctets+1))
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrTemporary, err))
	}
	if n > maxFileOctets {
		return fail(fmt.Errorf("%w: %s: larger than %d octets: split it by domain", ErrPermanent, path, maxFileOctets))
	}
	return content.String(), v, settled, nil
}

// table holds the users of one version of a file. Lines are kept as text and
// parsed again at each login: a hundred thousand users then take little more
// memory than their file.
type table struct {
	path   string
	users  map[string]line
	usable []string            // lines with a password that can be tried
	clear  int                 // so many of them have it as it is
	scram  [scrams]int         // so many are of use for SCRAM
	shapes [scrams]scramShapes // of these
}

// line is one line of a file, numbered from 1.
type line struct {
	text   string
	number int
}

func parseTable(path, content string, warn func(error)) *table {
	t := &table{path: path, users: make(map[string]line, strings.Count(content, "\n")+1)}
	for kind := range t.shapes {
		t.shapes[kind] = make(scramShapes)
	}
	faults := 0
	report := func(number int, err error) {
		if faults++; faults <= maxWarnings {
			warn(fmt.Errorf("%s:%d: %w", path, number, err))
		}
	}
	number := 0
	for text := range strings.SplitSeq(content, "\n") {
		number++
		text = strings.TrimSuffix(text, "\r")
		name, ok := lineUser(text)
		if !ok {
			continue
		}
		if first, twice := t.users[name]; twice {
			report(number, fmt.Errorf("user is defined before, in line %d, which counts", first.number))
			continue
		}
		rec, err := parseLine(text)
		if err != nil {
			report(number, fmt.Errorf("user cannot log in: %w", err))
		} else if !rec.locked {
			t.add(text, rec.secret)
		}
		if name != "" {
			t.users[name] = line{text, number}
		}
	}
	if faults > maxWarnings {
		warn(fmt.Errorf("%s: %d more lines are malformed", path, faults-maxWarnings))
	}
	return t
}

// add takes a line with a password that can be tried.
func (t *table) add(text string, s secret) {
	t.usable = append(t.usable, text)
	if s.clear != "" {
		t.clear++
	}
	for kind := range SCRAM(scrams) {
		if shape, ok := s.shape(kind); ok {
			t.scram[kind]++
			t.shapes[kind].add(shape)
		}
	}
}

// holds says how many have their password in a form.
func (t *table) holds(f Form) Extent {
	n := t.clear
	if kind, ok := f.scram(); ok {
		n = t.scram[kind]
	}
	switch n {
	case 0:
		return None
	case len(t.usable):
		return All
	}
	return Some
}

// find looks a user up by several names, the best first.
func (t *table) find(names []string) (line, bool) {
	for _, name := range names {
		if found, ok := t.users[name]; ok {
			return found, true
		}
	}
	return line{}, false
}

// isAbsent says that a path names nothing, for reasons that a domain in the
// path can be the cause of.
func isAbsent(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG)
}
