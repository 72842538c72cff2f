package maillog

import (
	"errors"
	"syscall"

	"github.com/sirupsen/logrus"

	"sidepop/index/store"
	"sidepop/index/watch"
)

// Skipped implements [index.Events]. It is told once for each path and reason.
func (l *Log) Skipped(path, reason string) {
	if l.skipped.first(path + "\x00" + reason) {
		l.logger.WithFields(logrus.Fields{"path": Escape(path), "reason": Escape(reason)}).Warn("not served")
	}
}

// Counting implements [index.Events].
func (l *Log) Counting(maildir string, done, total int) {
	l.logger.WithFields(logrus.Fields{"path": Escape(maildir), "done": done, "total": total}).Info("counting")
}

// Repaired implements [index.Events].
func (l *Log) Repaired(path, what string) {
	l.logger.WithFields(logrus.Fields{"path": Escape(path), "reason": Escape(what)}).Warn("index repaired")
}

// NotWatched implements [index.Events]. It is told once for each kind of reason,
// since one reason usually holds for all mailboxes.
func (l *Log) NotWatched(maildir string, err error) {
	if !l.notWatched.first(kind(err)) {
		return
	}
	e := l.logger.WithField("reason", escapeError(err))
	if maildir != "" {
		e = e.WithField("path", Escape(maildir))
	}
	e.Warn("not watched")
}

// kind is an error of the watch without the folder that it happened to.
func kind(err error) string {
	for _, known := range []error{watch.ErrLimit, watch.ErrNested} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return err.Error()
}

// Lagging implements [index.Events].
func (l *Log) Lagging() { l.logger.Warn("watch lost events") }

// Recovered implements [index.Events].
func (l *Log) Recovered(maildir string, messages int, err error) {
	e := l.logger.WithFields(logrus.Fields{"path": Escape(maildir), "messages": messages})
	if err != nil {
		e.WithField("reason", escapeError(err)).Error("interrupted removal not finished")
		return
	}
	e.Info("interrupted removal finished")
}

// notices is how the store's events are told.
var notices = map[store.Event]struct {
	level   logrus.Level
	message string
}{
	store.SetAside:      {logrus.ErrorLevel, "index set aside"},
	store.Failed:        {logrus.ErrorLevel, "index not saved"},
	store.Recovered:     {logrus.InfoLevel, "index saved again"},
	store.Forgotten:     {logrus.WarnLevel, "mailboxes forgotten by the index"},
	store.Refused:       {logrus.WarnLevel, "mailbox too large for the index"},
	store.Compacted:     {logrus.InfoLevel, "index compacted"},
	store.CompactFailed: {logrus.WarnLevel, "index not compacted"},
}

// Store implements [index.Events].
func (l *Log) Store(n store.Notice) {
	e := l.logger.WithField("path", Escape(n.Path))
	if n.Mailbox != "" {
		e = e.WithField("maildir", Escape(n.Mailbox))
	}
	if n.Count > 0 {
		e = e.WithField("mailboxes", n.Count)
	}
	if n.Err != nil {
		e = e.WithField("reason", escapeError(n.Err))
	}
	told := notices[n.Event]
	e.Log(told.level, told.message)
}
