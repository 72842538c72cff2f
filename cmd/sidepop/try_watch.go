package main

import (
	"fmt"
	"io"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fsnotify/fsnotify"

	"sidepop/pop3"
)

// maxHead is how much of a new message is read for sender and subject, in
// bytes.
const maxHead = 64 << 10

// watch tells of each message that is delivered into a Maildir, until the
// watcher is closed.
func watch(dir string, told *words) (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("can't watch for new mail: %w", err)
	}
	if err := w.Add(filepath.Join(dir, "new")); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("can't watch for new mail: %w", err)
	}
	go func() {
		for {
			select {
			case e, ok := <-w.Events:
				if !ok {
					return
				}
				if e.Has(fsnotify.Create) {
					tellDelivery(e.Name, told)
				}
			case err, ok := <-w.Errors:
				if !ok {
					return
				}
				told.Failed(pop3.Peer{}, "", "watching for new mail", err)
			}
		}
	}()
	return w, nil
}

// tellDelivery tells of a file in new, if it is a message. What is none is told
// of when it is not served.
func tellDelivery(path string, told *words) {
	if strings.HasPrefix(filepath.Base(path), ".") {
		return
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return
	}
	from, subject := head(f)
	told.Delivered(from, subject, fi.Size())
}

// head is the sender and the subject of a message, fit to be shown.
func head(r io.Reader) (from, subject string) {
	m, err := mail.ReadMessage(io.LimitReader(r, maxHead))
	if err != nil {
		return "somebody", "a message without a readable header"
	}
	from, subject = m.Header.Get("From"), decode(m.Header.Get("Subject"))
	if a, err := mail.ParseAddress(from); err == nil {
		from = a.Address
	}
	if from = decode(from); from == "" {
		from = "nobody"
	}
	return quoted(from), quoted(subject)
}

// decode is a header field without encoded words (RFC 2047), where they can be
// decoded.
func decode(field string) string {
	if s, err := new(mime.WordDecoder).DecodeHeader(field); err == nil {
		return s
	}
	return field
}
