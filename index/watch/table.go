package watch

import (
	"path/filepath"
	"slices"
)

// identity says which directory a path leads to.
type identity struct {
	ino uint64
	dev uint32 // the kernel gives no more bits
}

// entry is one path. It is as small as an identity.
type entry struct {
	ino       uint64
	dev       uint32
	overflows uint32 // how many there had been when the watch began
}

func (e entry) identity() identity { return identity{e.ino, e.dev} }

// table is what is watched. inotify has one watch for one directory, however
// many paths lead to it, and fsnotify knows it by the first of them only; the
// others are kept here.
type table struct {
	watched map[string]entry      // by path, as the caller gave it
	first   map[identity]string   // the path that fsnotify knows
	others  map[identity][]string // further paths, where there are any
	parents map[string]int        // how many of watched are in this directory

	// overflows counts them. The end of any watch that began before the last one
	// may have been lost, so whether it still lives is not known.
	overflows uint32
}

func newTable() table {
	return table{
		watched: make(map[string]entry),
		first:   make(map[identity]string),
		others:  make(map[identity][]string),
		parents: make(map[string]int),
	}
}

// insert adds dir, which is not in the table. It says whether it is the first
// path of that directory, which is the one to give to fsnotify.
func (t *table) insert(dir string, id identity) bool {
	t.watched[dir] = entry{id.ino, id.dev, t.overflows}
	t.parents[filepath.Dir(dir)]++
	if _, ok := t.first[id]; ok {
		t.others[id] = append(t.others[id], dir)
		return false
	}
	t.first[id] = dir
	return true
}

// has says whether the directory id is watched as dir for certain.
func (t *table) has(dir string, id identity) bool {
	e, ok := t.watched[dir]
	return ok && e.identity() == id && e.overflows == t.overflows
}

func (t *table) isWatched(dir string) bool {
	_, ok := t.watched[dir]
	return ok
}

// isOther says whether dir is watched and not the first path of its directory.
func (t *table) isOther(dir string) bool {
	e, ok := t.watched[dir]
	return ok && t.first[e.identity()] != dir
}

// lookup gives the paths that an event in path is for; none unless path is a
// first one. The caller must not change others.
func (t *table) lookup(path string) (first string, others []string) {
	e, ok := t.watched[path]
	id := e.identity()
	if !ok || t.first[id] != path {
		return "", nil
	}
	return t.first[id], t.others[id]
}

// drop takes out the directory that has path as its first one, and gives all
// its paths, path first. It gives none if there is no such directory.
func (t *table) drop(path string) []string {
	first, others := t.lookup(path)
	if first == "" {
		return nil
	}
	id := t.watched[path].identity()
	dirs := append([]string{first}, others...)
	for _, dir := range dirs {
		t.delete(dir)
	}
	delete(t.first, id)
	delete(t.others, id)
	return dirs
}

// dropOther takes out dir, which is not the first path of its directory.
func (t *table) dropOther(dir string) {
	id := t.watched[dir].identity()
	t.delete(dir)
	// A new slice, since lookup has given out the old one.
	rest := slices.DeleteFunc(slices.Clone(t.others[id]), func(s string) bool { return s == dir })
	if len(rest) == 0 {
		delete(t.others, id)
		return
	}
	t.others[id] = rest
}

func (t *table) delete(dir string) {
	delete(t.watched, dir)
	parent := filepath.Dir(dir)
	if t.parents[parent]--; t.parents[parent] == 0 {
		delete(t.parents, parent)
	}
}
