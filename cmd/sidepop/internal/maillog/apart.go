package maillog

import (
	"io"
	"log/syslog"

	"github.com/sirupsen/logrus"
)

// NewApart makes a log for a process whose standard error is not for logs: in the
// journal or, where there is none, the system's log (syslog(3), facility mail). Where
// there is neither nothing is logged.
func NewApart(level string) (*Log, error) {
	l, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, err
	}
	logger := logrus.New()
	logger.SetLevel(l)
	logger.SetOutput(io.Discard)
	if f := newJournalFormat(journalSocket); f.conn != nil {
		logger.SetFormatter(f)
	} else if w, err := syslog.New(syslog.LOG_MAIL|syslog.LOG_INFO, "sidepop"); err == nil {
		logger.SetFormatter(syslogFormat{w})
	}
	return &Log{logger: logger}, nil
}

// syslogFormat sends entries to the system's log. It formats nothing.
type syslogFormat struct{ to *syslog.Writer }

// Format implements [logrus.Formatter].
func (f syslogFormat) Format(e *logrus.Entry) ([]byte, error) {
	send := map[logrus.Level]func(string) error{
		logrus.ErrorLevel: f.to.Err,
		logrus.WarnLevel:  f.to.Warning,
		logrus.DebugLevel: f.to.Debug,
	}[e.Level]
	if send == nil {
		send = f.to.Info
	}
	return nil, send(line(e))
}
