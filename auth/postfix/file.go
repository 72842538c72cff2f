package postfix

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"sidepop/auth/internal/version"
)

// maxFile limits a file of a table or list in bytes, which is held in memory: about
// half a million mailboxes.
const maxFile = 64 << 20

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// parsed is what a file says, as the file is now.
type parsed[T any] struct {
	path  string
	parse func(content string) (T, error)

	mu      sync.Mutex
	version version.Version // of the value and err; "" before the first read
	settled bool
	value   T
	err     error
}

// current reads the file if it has changed. Errors wrap ErrTemporary or ErrConfig.
func (f *parsed[T]) current() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, settled := version.Look(f.path)
	if v == f.version && f.settled {
		return f.value, f.err
	}
	f.version, f.settled = v, settled
	content, err := readFile(f.path)
	if err != nil {
		var none T
		f.value, f.err = none, err
		// It may become readable without any change of its own.
		f.settled = false
		return f.value, f.err
	}
	if f.value, f.err = f.parse(content); f.err != nil {
		f.err = fmt.Errorf("%w: %s: %w", ErrConfig, f.path, f.err)
	}
	return f.value, f.err
}

func readFile(path string) (string, error) {
	// O_NONBLOCK: opening a FIFO must not wait for somebody to write to it.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	var content []byte
	if err == nil {
		content, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrTemporary, path, err)
	}
	if len(content) > maxFile {
		return "", fmt.Errorf("%w: %s: larger than %d bytes: make it an indexed table", ErrConfig, path, maxFile)
	}
	return string(content), nil
}
